import { clock, createSmallSteps, type Metrics, type Scheduled, type Trx } from '@aitbc/chassis';
import { Counter, Gauge } from 'prom-client';
import { eraseContent } from './store/content.ts';
import { contentDue, dropFront, dropJobs, erasedFront, jobsDue, TEXTS } from './store/purge.ts';
import type { Work } from './work.ts';

const EVERY_MS = 1_000;
/** What leaves from the front leaves behind what was just erased; beside that, a look reads 1,500 rows in vain. */
const FRONT_EVERY_MS = 60_000;
/** Rows a step: what is bound in one statement, and what a reader of texts looks at beyond its margin. */
const STEP_MAX = 500;
/** On PostgreSQL a step is mostly its ways to the server, and holds up this process alone. */
const SHARED_STEP_LEAST = 64;

export interface Periods {
  /** Parameters, results and what miners said, after the end of a job. */
  readonly contentMs: number;
  /** The job and its events, after its end. Its content never stays longer. */
  readonly jobsMs: number;
}

/**
 * Takes out what is older than it is kept, in steps that nobody notices, in this order: texts are erased where they stand, erased
 * texts leave from the front of their tables, jobs without texts leave. Each step finds its work anew in the file, so it may
 * end anywhere and begin again, and two processes that do it side by side do it once.
 */
export const createPurge = (work: Work, periods: Periods, metrics: Metrics): Scheduled => {
  const registers = [metrics.registry];
  const purged = new Counter({
    name: 'purged_rows_total',
    help: 'Rows whose time was over, by what: content erased, texts and jobs taken out',
    labelNames: ['what'] as const,
    registers,
  });
  const overdue = new Gauge({
    name: 'purge_overdue_seconds',
    help: 'For how long the oldest row that is still there should be gone, by what',
    labelNames: ['what'] as const,
    registers,
  });
  const { store } = work;
  const contentMs = Math.min(periods.contentMs, periods.jobsMs);

  const steps = <T>(
    what: string,
    find: (limit: number) => Promise<readonly T[]>,
    dueAtMs: (row: T) => number,
    act: (trx: Trx, rows: readonly T[]) => Promise<unknown>,
  ) => {
    const small = createSmallSteps({ max: STEP_MAX, least: store.isShared ? SHARED_STEP_LEAST : 1 });
    return (signal: AbortSignal): Promise<number> =>
      small.run(signal, async (limit) => {
        const rows = await find(limit);
        const [oldest] = rows;
        overdue.set(
          { what },
          oldest === undefined ? 0 : Math.max(0, clock.nowMs() - dueAtMs(oldest)) / 1_000,
        );
        if (rows.length === 0) return { found: 0, tookMs: 0 };
        const tookMs = await store.transact(`purge.${what}`, async (trx) => {
          const since = performance.now();
          await act(trx, rows);
          return performance.now() - since;
        });
        purged.inc({ what }, rows.length);
        return { found: rows.length, tookMs };
      });
  };

  const content = steps(
    'content',
    (limit) => contentDue(store.read, { nowMs: clock.nowMs(), keptMs: contentMs }, limit),
    (job) => job.dueAtMs,
    (trx, due) =>
      eraseContent(trx, { seqs: due.map(({ seq }) => seq), nowMs: clock.nowMs(), place: store.place }),
  );
  const jobs = steps(
    'jobs',
    (limit) => jobsDue(store.read, clock.nowMs() - periods.jobsMs, limit),
    (job) => Number(job.ended_at_ms) + periods.jobsMs,
    dropJobs,
  );
  const textsOf = (what: keyof typeof TEXTS) => {
    const small = createSmallSteps({ max: STEP_MAX, least: store.isShared ? SHARED_STEP_LEAST : 1 });
    return (signal: AbortSignal): Promise<number> =>
      small.run(signal, async (limit) => {
        const front = await erasedFront(store.read, TEXTS[what], limit);
        if (front === undefined) return { found: 0, tookMs: 0 };
        const tookMs = await store.transact(`purge.${what}`, async (trx) => {
          const since = performance.now();
          await dropFront(trx, TEXTS[what], front.upto);
          return performance.now() - since;
        });
        purged.inc({ what }, front.count);
        return { found: front.count, tookMs };
      });
  };
  const texts = [textsOf('parameters'), textsOf('results')];
  let frontAt = Number.NEGATIVE_INFINITY;

  return {
    name: 'jobs.purge',
    everyMs: EVERY_MS,
    run: async (signal) => {
      const erased = await content(signal);
      if (erased > 0) await work.erasures.finish();
      if (erased > 0 || performance.now() - frontAt >= FRONT_EVERY_MS) {
        frontAt = performance.now();
        for (const drop of texts) await drop(signal);
      }
      await jobs(signal);
    },
  };
};
