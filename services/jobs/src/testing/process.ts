import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { keepOutput } from '@aitbc/testing';

const MAINS = { jobs: '../main.ts', dispatcher: '../dispatcher/main.ts' };

const children: ChildProcess[] = [];
/** For `afterAll`: ends what a test left running. */
export const killProcesses = async (): Promise<void> => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
};

export interface Process {
  readonly child: ChildProcess;
  readonly url: string;
}

/** Jobs or a dispatcher as a process of its own, to be stopped in the middle and killed. */
export const spawnProcess = async (
  main: keyof typeof MAINS,
  env: Record<string, string>,
): Promise<Process> => {
  const child = spawn(process.execPath, [fileURLToPath(new URL(MAINS[main], import.meta.url))], {
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
