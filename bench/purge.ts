import { setTimeout as pause } from 'node:timers/promises';
import type { Stack } from '../scripts/stack.ts';
import { call, demand, hammer, median, percentile } from './load.ts';

const KEPT_SECONDS = 20;
/** Content goes, and the job right after it. */
export const PURGED_SOON = {
  KEEP_CONTENT_DAYS: String(KEPT_SECONDS / 86_400),
  KEEP_JOBS_DAYS: String(KEPT_SECONDS / 86_400),
};
const WIDTH = 8;
const PATIENCE_MS = 300_000;

const purgedRows = async (url: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return [...text.matchAll(/^purged_rows_total\{.*what="content".*\} (\d+)$/gm)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
};

/**
 * Single submits, in turns: while nothing is due, and while the content of many jobs is. What is submitted waits, so it is
 * never due itself.
 * @returns milliseconds of each round, and how many rows went meanwhile
 */
export const whilePurging = async (
  stack: Stack,
  keys: { client: string },
  size: { rounds: number; seconds: number; old: number },
) => {
  const submission = (ttl_seconds: number) => ({
    job_type: 'ocr',
    parameters: { image_base64: 'aGVsbG8gd29ybGQh' },
    ttl_seconds,
  });
  const submit = () =>
    call(stack.url, 'POST', '/v1/client/jobs', keys.client, submission(86_400)).then((answer) =>
      demand(answer, 201),
    );
  const measure = async () => {
    const before = await purgedRows(stack.url);
    const { took } = await hammer(WIDTH, size.seconds, submit);
    return {
      p50: median(took),
      p99: percentile(took, 0.99),
      purged: (await purgedRows(stack.url)) - before,
    };
  };
  const until = async (isThere: () => Promise<boolean>) => {
    for (const since = performance.now(); !(await isThere()); await pause(200))
      if (performance.now() - since > PATIENCE_MS) throw new Error('old jobs were not purged');
  };
  await hammer(WIDTH, size.seconds, submit);
  const rounds: {
    quiet: Awaited<ReturnType<typeof measure>>;
    purging: Awaited<ReturnType<typeof measure>>;
  }[] = [];
  for (let round = 0; round < size.rounds; round++) {
    const quiet = await measure();
    const before = await purgedRows(stack.url);
    for (let given = 0; given < size.old; given += 1_000) {
      const body = { jobs: Array.from({ length: 1_000 }, () => submission(1)) };
      demand(await call(stack.url, 'POST', '/v1/client/jobs/batch', keys.client, body), 207);
    }
    await until(async () => (await purgedRows(stack.url)) > before);
    const purging = await measure();
    await until(async () => (await purgedRows(stack.url)) >= before + size.old);
    rounds.push({ quiet, purging });
  }
  return rounds;
};
