import { type Log, type Purge, type Scheduled, type Store, schedulePurge } from '@aitbc/chassis';
import { type Deps, passDeadline, SETTLE } from './commands/resolve.ts';
import { settle, settleAll } from './commands/settle.ts';
import { createSealer } from './seal.ts';
import type { Signer } from './signing.ts';
import { dropUnpaidJobs, unpaidJobsDue } from './store/jobs.ts';
import { findPastDeadline, findUnsettled } from './store/payments.ts';
import { postponeSettlement } from './store/settlements.ts';

/** Carried out together, in one transaction of a few milliseconds: others wait for it. */
const SETTLE_BATCH = 64;
/** A settlement that failed is not tried again at once: something is wrong that time alone may heal. */
const SETTLE_RETRY_MS = 5_000;
const DEADLINE_BATCH = 200;
const SEAL_CHECK_MS = 250;
const PURGE_EVERY_MS = 1_000;

/** Carries decisions out in the process that leads, woken by each and, as the net under it, once a second. */
export const createSettler = (store: Store, deps: Deps, log: Log) => {
  let running: Promise<void> | null = null;
  let isWoken = false;
  let isStopped = false;

  const settleOne = async (paymentId: string): Promise<void> => {
    try {
      await store.transact('payment.settle', (trx) => settle(trx, deps, paymentId));
    } catch (error) {
      log.error(
        { err: error, payment_id: paymentId },
        'payment could not be settled; it will be tried again',
      );
      await store.transact('payment.postpone', (trx) =>
        postponeSettlement(trx, paymentId, deps.now() + SETTLE_RETRY_MS),
      );
    }
  };

  const settleDue = async (due: readonly string[]): Promise<void> => {
    try {
      await store.transact('payment.settle', (trx) => settleAll(trx, deps, due));
    } catch {
      // One of them fails, and all were undone: the others are carried out, each by itself.
      await Promise.all(due.map(settleOne));
    }
  };

  const drain = async (): Promise<void> => {
    do {
      isWoken = false;
      for (;;) {
        const due = await findUnsettled(store.read, deps.now(), SETTLE_BATCH);
        if (due.length === 0 || isStopped) break;
        await settleDue(due);
      }
    } while (isWoken && !isStopped);
  };

  const run = (): Promise<void> => {
    isWoken = true;
    running ??= drain().finally(() => {
      running = null;
    });
    return running;
  };

  let unsubscribe = (): void => {};
  return {
    run,
    start: () => {
      unsubscribe = store.subscribe(SETTLE, () => {
        if (!store.leads()) return;
        // It comes back with the schedule.
        run().catch((error) => log.error({ err: error }, 'settling failed'));
      });
    },
    stop: async (): Promise<void> => {
      isStopped = true;
      unsubscribe();
      await running?.catch(() => {});
    },
  };
};
export type Settler = ReturnType<typeof createSettler>;

/** @returns how many payments were past their deadline. */
export const passDeadlines = async (store: Store, deps: Deps): Promise<number> => {
  const due = await findPastDeadline(store.read, deps.now(), DEADLINE_BATCH);
  await Promise.all(
    due.map((id) => store.transact('payment.deadline', (trx) => passDeadline(trx, deps, id))),
  );
  return due.length;
};

export const createSchedule = (
  store: Store,
  deps: Deps,
  signer: Signer,
  settler: Settler,
  jobs: { readonly keptMs: number; readonly purge: Purge },
): readonly Scheduled[] => [
  { name: 'payments.settle', everyMs: 1_000, run: () => settler.run() },
  {
    name: 'payments.deadlines',
    everyMs: 1_000,
    run: async (signal) => {
      while (!signal.aborted && (await passDeadlines(store, deps)) === DEADLINE_BATCH);
    },
  },
  {
    name: 'payments.seal',
    everyMs: SEAL_CHECK_MS,
    run: createSealer(store, signer, {
      intervalMs: () => deps.parameters.get('block_interval_seconds') * 1_000,
      now: deps.now,
    }),
  },
  schedulePurge(
    'payments.purge',
    [
      jobs.purge({
        what: 'unpaid_jobs',
        find: (limit) => unpaidJobsDue(store.read, deps.now() - jobs.keptMs, limit),
        dueAtMs: ({ ended_at_ms }) => Number(ended_at_ms) + jobs.keptMs,
        drop: dropUnpaidJobs,
      }),
    ],
    PURGE_EVERY_MS,
  ),
];
