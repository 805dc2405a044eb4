import { setTimeout as pause } from 'node:timers/promises';
import type { Stack } from '../scripts/stack.ts';
import { batchCycles, singleCycles } from './cycles.ts';
import { median } from './load.ts';
import { cpuMsOf } from './work.ts';

interface System {
  readonly stack: Stack;
  readonly keys: { client: string; miner: string };
}

interface Cost {
  readonly releasedPerSecond: number;
  /** Of all processes, for one job. */
  readonly cpuMs: number;
}

const SHAPES = { single: singleCycles, batch: batchCycles };
type Shape = keyof typeof SHAPES;

/** What follows a job's end is work of the job, too. */
const AFTER_MS = 1_500;
const WARM_UP = { single: 1_000, batch: 5_000 };

const cpuMs = ({ stack }: System): number =>
  stack.processes.reduce((sum, { pid }) => sum + (pid === undefined ? 0 : cpuMsOf(pid)), 0);

/** Runs paid cycles; the other system stands idle meanwhile. */
const run = async (system: System, shape: Shape, jobs: number): Promise<Cost> => {
  const before = cpuMs(system);
  let after = before;
  const { releasedPerSecond } = await SHAPES[shape](system.stack.url, system.keys, {
    jobs,
    onReleased: async () => {
      await pause(AFTER_MS);
      after = cpuMs(system);
    },
  });
  return { releasedPerSecond, cpuMs: (after - before) / jobs };
};

/**
 * Two systems of this project, in turns on one machine.
 * @returns what a paid cycle costs and how many there are; ratios are medians of those of the rounds
 */
export const against = async (
  ours: System,
  theirs: System,
  size: { rounds: number; single: number; batch: number },
) => {
  const rows = [];
  for (const shape of ['single', 'batch'] as const) {
    const pairs: { mine: Cost; before: Cost }[] = [];
    for (const system of [ours, theirs]) await run(system, shape, WARM_UP[shape]);
    for (let round = 0; round < size.rounds; round++) {
      const mine = await run(ours, shape, size[shape]);
      pairs.push({ mine, before: await run(theirs, shape, size[shape]) });
    }
    const compare = (read: (one: Cost) => number) => ({
      ours: median(pairs.map(({ mine }) => read(mine))),
      theirs: median(pairs.map(({ before }) => read(before))),
      ratio: median(pairs.map(({ mine, before }) => read(mine) / read(before))),
    });
    rows.push(
      {
        what: `processor time of a paid cycle, ${shape}`,
        unit: 'ms',
        goal: 'at most 0.55',
        ...compare((one) => one.cpuMs),
      },
      {
        what: `paid cycles to released escrow, ${shape}`,
        unit: '/s',
        goal: shape === 'batch' ? 'at least 1.9' : '',
        ...compare((one) => one.releasedPerSecond),
      },
    );
  }
  return rows;
};
