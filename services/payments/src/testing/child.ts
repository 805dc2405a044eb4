import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { builtOf, keepOutput } from '@aitbc/testing';

/**
 * A program of this folder or the service itself as a process of its own, to be killed. It ends with the test.
 * @param isReady the line of its output that says so
 */
export const startChild = (options: {
  script: string;
  env: Record<string, string>;
  isReady: (line: string) => boolean;
}) => {
  const child: ChildProcess = spawn(process.execPath, [builtOf(options.script)], {
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  keepOutput(child);
  const errors: string[] = [];
  child.stderr?.on('data', (data: Buffer) => errors.push(data.toString()));
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  const ready = new Promise<boolean>((resolve) => {
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (options.isReady(line)) resolve(true);
    });
    void exited.then(() => resolve(false));
  });
  return {
    /** False when it ended before it was ready. */
    ready,
    exited,
    isRunning: () => child.exitCode === null && child.signalCode === null,
    errors: () => errors.join(''),
    kill: (signal: NodeJS.Signals = 'SIGKILL') => child.kill(signal),
  };
};
export type Child = ReturnType<typeof startChild>;
