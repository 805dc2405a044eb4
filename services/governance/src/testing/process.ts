import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { keepOutput } from '@aitbc/testing';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

const children: ChildProcess[] = [];
/** For `afterEach`: ends what a test left running. */
export const killServices = (): void => {
  for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
};

/** The service as a process of its own; it may end before it is ready. */
export const spawnService = async (
  env: Record<string, string>,
): Promise<{ child: ChildProcess; url: string }> => {
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env.PATH, ...env, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  keepOutput(child);
  if (child.stdout === null) throw new Error('no output');
  for await (const line of createInterface({ input: child.stdout })) {
    const { msg, url } = JSON.parse(line) as { msg: string; url?: string };
    if (msg === 'ready' && url !== undefined) {
      child.stdout.resume();
      return { child, url };
    }
  }
  throw new Error('ended before it was ready');
};
