import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { builtOf } from './built.ts';
import { keepOutput } from './scratch.ts';

export interface ServiceProcess {
  readonly child: ChildProcess;
  readonly url: string;
}

const children: ChildProcess[] = [];
/** For `afterEach` or `afterAll`: ends what a test left running. */
export const killServices = async (): Promise<void> => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
};

/**
 * A service as a process of its own, to be stopped in the middle and killed.
 * @param main its `main.ts`
 * @param flags for Node
 * @throws when it ends before it is ready
 */
export const spawnService = async (
  main: URL,
  env: Record<string, string>,
  flags: readonly string[] = [],
): Promise<ServiceProcess> => {
  const child = spawn(process.execPath, [...flags, builtOf(fileURLToPath(main))], {
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
