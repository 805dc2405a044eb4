import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { spawnService } from '@aitbc/testing';

const MAIN = new URL('../main.ts', import.meta.url);
const KB_OF_A_MB = 1_024;

export interface GatewayProcess {
  readonly pid: number;
  readonly url: string;
  readonly child: ChildProcess;
  /** Open descriptors: what a connection that is never closed adds to. Linux alone can tell. */
  descriptors(): number;
  residentMb(): number;
  stop(): Promise<void>;
}

/**
 * The gateway as a process of its own, which can die of what a test does to it.
 * @param flags for Node
 */
export const spawnGateway = async (
  env: Record<string, string>,
  flags: readonly string[] = [],
): Promise<GatewayProcess> => {
  const { child, url } = await spawnService(MAIN, env, flags);
  const { pid } = child;
  if (pid === undefined) throw new Error('it could not be started');
  return {
    pid,
    url,
    child,
    descriptors: () => readdirSync(`/proc/${pid}/fd`).length,
    residentMb: () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / KB_OF_A_MB,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
};
