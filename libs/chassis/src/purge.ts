import { Counter, Gauge } from 'prom-client';
import { clock } from './clock.ts';
import { failpoint } from './failpoint.ts';
import type { Metrics } from './metrics.ts';
import { createSmallSteps, type Turn } from './small-steps.ts';
import { startStopwatch } from './stopwatch.ts';
import type { Store, Trx } from './store/index.ts';
import type { Scheduled } from './ticker.ts';

/** Rows a step: what is bound in one statement. */
const STEP_MAX = 500;
/** On PostgreSQL a step is mostly its ways to the server, and holds up this process alone. */
const SHARED_STEP_LEAST = 64;

/** Rows that are kept for a time. */
export interface Kept<T> {
  /** As the metrics name it. */
  readonly what: string;
  /** Rows whose time is over, the oldest first. */
  readonly find: (limit: number) => Promise<readonly T[]>;
  /** When it was over; without it, for how long they are late is not told. */
  readonly dueAtMs?: (row: T) => number;
  /** May find that another process did it, or that a row is not due any more. */
  readonly drop: (trx: Trx, rows: readonly T[]) => Promise<unknown>;
}

/** Drops what is due of one kind, for a second at most. */
export type Drop = (signal: AbortSignal) => Promise<Turn>;

/**
 * The one way in which old rows leave: steps that nobody notices, each of which finds its work anew in the rows. So it may die
 * anywhere and go on, and two processes that do it side by side do it once.
 * @returns for each kind of rows what drops those that are due
 */
export const createPurge = (store: Store, metrics: Metrics) => {
  const registers = [metrics.registry];
  const purged = new Counter({
    name: 'purged_rows_total',
    help: 'Rows whose time was over and that were taken out, or erased, by what',
    labelNames: ['what'] as const,
    registers,
  });
  const overdue = new Gauge({
    name: 'purge_overdue_seconds',
    help: 'For how long the oldest row that is still there should be gone, by what',
    labelNames: ['what'] as const,
    registers,
  });
  return <T>({ what, find, dueAtMs, drop }: Kept<T>): Drop => {
    const small = createSmallSteps({ max: STEP_MAX, least: store.isShared ? SHARED_STEP_LEAST : 1 });
    return (signal) =>
      small.run(signal, async (limit) => {
        const rows = await find(limit);
        const [oldest] = rows;
        if (dueAtMs !== undefined)
          overdue.set(
            { what },
            oldest === undefined ? 0 : Math.max(0, clock.nowMs() - dueAtMs(oldest)) / 1_000,
          );
        if (rows.length === 0) return { found: 0, tookMs: 0 };
        const tookMs = await store.transact(`purge.${what}`, async (trx) => {
          const took = startStopwatch();
          await drop(trx, rows);
          failpoint(`purge:${what}:before-commit`);
          trx.afterCommit(() => failpoint(`purge:${what}:after-commit`));
          return took();
        });
        purged.inc({ what }, rows.length);
        return { found: rows.length, tookMs };
      });
  };
};
/** Scheduled work that takes out several kinds of rows, in turns until nothing is due: none waits for another to have no more. */
export const schedulePurge = (name: string, drops: readonly Drop[], everyMs = 60_000): Scheduled => ({
  name,
  everyMs,
  run: async (signal) => {
    for (let isCut = true; isCut && !signal.aborted; ) {
      isCut = false;
      for (const drop of drops) isCut = (await drop(signal)).isCut || isCut;
    }
  },
});

export type Purge = ReturnType<typeof createPurge>;
