import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Stack } from '../scripts/stack.ts';
import { median } from './load.ts';
import { cpuMsOf } from './work.ts';

/** After the start: until what is done once is done. */
const SETTLE_MS = 10_000;

const rssMbOf = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024;

/** What the processes of the system take while nobody asks anything of them; Redis is not counted. */
export const atRest = async (stack: Stack, seconds: number) => {
  const pids = stack.processes.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  const cpuMs = (): number => pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0);
  await pause(SETTLE_MS);
  const before = cpuMs();
  await pause(seconds * 1_000);
  const memory = pids.map(rssMbOf);
  return {
    processes: pids.length,
    cpuPercent: (cpuMs() - before) / seconds / 10,
    medianMb: median(memory),
    sumMb: memory.reduce((sum, mb) => sum + mb, 0),
  };
};
