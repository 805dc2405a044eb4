import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createFollower, type Follower } from '../libs/chassis/src/continuous/index.ts';

const size = (bytes: number): string =>
  bytes < 1_048_576 ? `${Math.ceil(bytes / 1_024)} KiB` : `${(bytes / 1_048_576).toFixed(1)} MiB`;

const lookAt = async (follower: Follower): Promise<boolean> => {
  try {
    const startedAt = performance.now();
    const { entry, heldMs } = await follower.look();
    if (entry === null) return true;
    const what = entry.number === 1 ? 'all' : String(entry.changed);
    const tookMs = Math.round(performance.now() - startedAt);
    console.log(
      `${entry.at} ${follower.service.padEnd(12)}${what} of ${entry.pages} pages, ${size(entry.bytes)}, ${tookMs} ms, ${Math.round(heldMs)} ms of them reading`,
    );
    return true;
  } catch (error) {
    console.error(`${follower.service}: ${(error as Error).message}; what was written before stays whole`);
    return false;
  }
};

/**
 * Backs up services' files until this process is told to end; a step that was begun is finished first.
 * @returns the code to end with: 1 when the last look at a file failed
 */
export const followAll = async (options: {
  paths: readonly string[];
  to: string;
  everyMs: number;
  chainMs: number;
  keptMs: number;
}): Promise<number> => {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort());
  const { signal } = stopping;
  const { chainMs, keptMs } = options;
  const followers = options.paths.map((path) =>
    createFollower({ path, folder: join(options.to, basename(path, '.db')), chainMs, keptMs }),
  );
  let isWell = true;
  // Said once, until it is well again.
  let isLate = false;
  while (!signal.aborted) {
    const startedAt = performance.now();
    isWell = true;
    for (const follower of followers) if (!signal.aborted) isWell = (await lookAt(follower)) && isWell;
    const lateMs = performance.now() - startedAt - options.everyMs;
    if (lateMs > 0 && !isLate)
      console.error(`A look at all files took ${(lateMs / 1_000).toFixed(1)} s longer than it comes back`);
    isLate = lateMs > 0;
    await pause(Math.max(0, -lateMs), undefined, { signal }).catch(() => {});
  }
  for (const follower of followers) follower.close();
  return isWell ? 0 : 1;
};
