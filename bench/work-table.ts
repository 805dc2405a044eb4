import { setTimeout as pause } from 'node:timers/promises';
import type { Stack } from '../scripts/stack.ts';
import { askingCycles, batchCycles, dispatchLatency, singleCycles } from './cycles.ts';
import { perJob, type WorkOfAJob, watchWork } from './work.ts';

/** What the counts are told apart by: how jobs are sent, and whether they are paid. */
export const SHAPES = ['single', 'asking', 'batch', 'unpaid'] as const;
export type Shape = (typeof SHAPES)[number];

/** What follows a job's end (its receipt's block, the outbox that is emptied) is work of the job, too. */
const AFTER_MS = 1_500;
/** The unpaid ones come at this rate, so that most find an idle system. */
const UNPAID_PER_SECOND = 50;

/** Runs jobs of each shape through a system that does nothing else, and counts its work for one job. */
export const workOfJobs = async (
  stack: Stack,
  keys: { client: string; miner: string },
  jobs: Record<Shape, number>,
): Promise<Record<Shape, WorkOfAJob>> => {
  const work = await watchWork(stack);
  /** @param run calls what it is given when all is done */
  const counted = async (
    count: number,
    run: (onDone: () => Promise<void>) => Promise<unknown>,
  ): Promise<WorkOfAJob> => {
    const before = await work.look();
    let after = before;
    await run(async () => {
      await pause(AFTER_MS);
      after = await work.look();
    });
    return perJob(before, after, count);
  };
  const paid = (cycles: typeof singleCycles, count: number): Promise<WorkOfAJob> =>
    counted(count, (onReleased) => cycles(stack.url, keys, { jobs: count, onReleased }));
  try {
    return {
      single: await paid(singleCycles, jobs.single),
      asking: await paid(askingCycles, jobs.asking),
      batch: await paid(batchCycles, jobs.batch),
      unpaid: await counted(jobs.unpaid, async (onDone) => {
        await dispatchLatency(stack.url, keys, {
          perSecond: UNPAID_PER_SECOND,
          seconds: jobs.unpaid / UNPAID_PER_SECOND,
        });
        await onDone();
      }),
    };
  } finally {
    work.close();
  }
};

/** Kinds of statements below this share of a job are left out of the table. */
const SHOWN_FROM = 0.05;

/** @returns the counts as lines of text, most first */
export const workTable = (found: Record<Shape, WorkOfAJob>): string => {
  const line = (what: string, read: (work: WorkOfAJob) => number | undefined): string =>
    what.padEnd(44) + SHAPES.map((shape) => (read(found[shape]) ?? 0).toFixed(2).padStart(12)).join('');
  const names = (read: (work: WorkOfAJob) => ReadonlyMap<string, unknown>): string[] => [
    ...new Set(SHAPES.flatMap((shape) => [...read(found[shape]).keys()])),
  ];
  const kindsFrom = (read: (work: WorkOfAJob) => ReadonlyMap<string, number>): string[] =>
    names(read)
      .filter((kind) => SHAPES.some((shape) => (read(found[shape]).get(kind) ?? 0) >= SHOWN_FROM))
      .sort((a, b) => (read(found.single).get(b) ?? 0) - (read(found.single).get(a) ?? 0));
  return [
    `${'for each job'.padEnd(44)}${SHAPES.map((shape) => shape.padStart(12)).join('')}`,
    line('SQL statements', (work) => work.statements),
    line('  begin, commit, savepoint, release', (work) => work.control),
    line('  commits', (work) => work.commits),
    line('messages', (work) => work.messages),
    line('HTTP requests', (work) => work.requests),
    line('Redis commands, those of scripts too', (work) => work.redisCommands),
    ...kindsFrom((work) => work.redisCalls).map((name) =>
      line(`  ${name}`, (work) => work.redisCalls.get(name)),
    ),
    line('Redis scripts', (work) => work.redisScripts),
    line('bytes sent to Redis', (work) => work.redisBytesIn),
    line('bytes to disk', (work) => [...work.diskBytes.values()].reduce((a, b) => a + b, 0)),
    line('processor time, ms', (work) => [...work.cpuMs.values()].reduce((a, b) => a + b, 0)),
    ...names((work) => work.cpuMs).map((name) => line(`  ${name}`, (work) => work.cpuMs.get(name))),
    ...names((work) => work.byKind).flatMap((service) => [
      line(`statements of ${service}`, (work) =>
        [...(work.byKind.get(service)?.values() ?? [])].reduce((a, b) => a + b, 0),
      ),
      ...kindsFrom((work) => work.byKind.get(service) ?? new Map()).map((kind) =>
        line(`  ${kind}`, (work) => work.byKind.get(service)?.get(kind)),
      ),
    ]),
  ].join('\n');
};
