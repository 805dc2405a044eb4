import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually, freePort, keepOutput } from '@aitbc/testing';

export interface Child {
  readonly url: string;
  readonly process: ChildProcess;
  readonly output: () => string;
  /** Code and signal of its end, which may be long ago. */
  readonly ended: Promise<[number | null, NodeJS.Signals | null]>;
}

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

/** Starts a stand-in as a process. It does not wait for it: see {@link ready}. */
export const spawnStandIn = async (env: Record<string, string>): Promise<Child> => {
  const port = env.PORT === undefined || env.PORT === '0' ? String(await freePort()) : env.PORT;
  const child = spawn(process.execPath, [main], {
    env: { PATH: process.env.PATH, ...env, PORT: port },
    // Over the channel it notices the end of the test process, however that came, and ends too.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  keepOutput(child);
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    output += chunk;
  });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  return { url: `http://127.0.0.1:${port}`, process: child, output: () => output, ended };
};

/** Waits until it answers. */
export const ready = async (child: Child): Promise<Child> => {
  await eventually(
    async () => {
      if (child.process.exitCode !== null) return true;
      return (await fetch(`${child.url}/health`)).ok;
    },
    // Half a second by itself; tens of them where every core is wanted by others.
    { withinMs: 45_000, everyMs: 50 },
  );
  if (child.process.exitCode !== null) throw new Error(`ended at once: ${child.output()}`);
  return child;
};
