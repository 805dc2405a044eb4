import { type Hot, type Purge, type Scheduled, type Store, schedulePurge, type Trx } from '@aitbc/chassis';
import { reprice, repriceEveryMs } from './commands/offer.ts';
import { absent, begin, due as endDue, type Moment, nudge, unanswered } from './commands/saga.ts';
import { absentBookings, dropPrices, gpusToReprice, pricesDue } from './store/gpu.ts';
import { due } from './store/order.ts';
import { dropHours, hoursDue } from './store/stats.ts';

/** Rows a turn: a burst is spread over turns, and nobody waits long for the writer. */
const BATCH = 200;
/** How late a window may begin or end. What is paid does not depend on it. */
const WINDOWS_EVERY_MS = 250;

export const createSchedule = (
  store: Store,
  clock: () => Moment,
  times: { readonly absenceMs: number; readonly pricesMs: number },
  purge: Purge,
): Scheduled[] => {
  const { absenceMs, pricesMs } = times;
  /** Each in a transaction of its own, sharing the commit: one that fails does not hold up the others. */
  const each = async (
    ids: string[],
    name: string,
    fn: (trx: Trx, id: string) => void | Promise<void>,
  ): Promise<void> => {
    const results = await Promise.allSettled(ids.map((id) => store.transact(name, (trx) => fn(trx, id))));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };
  const idsDue = async (query: Hot<{ now: number; limit: number }, { id: string }>): Promise<string[]> =>
    (await store.read.all(query, { now: clock().now, limit: BATCH })).map(({ id }) => id);

  return [
    {
      name: 'market.holds',
      everyMs: 1_000,
      run: async () =>
        each(await idsDue(due.unanswered), 'market.unanswered', (trx, id) => unanswered(trx, id, clock())),
    },
    {
      name: 'market.windows',
      everyMs: WINDOWS_EVERY_MS,
      run: async () => {
        // Ends first: the next booking of a GPU begins where the one before ended.
        await each(await idsDue(due.ends), 'market.due', (trx, id) => endDue(trx, id, clock()));
        await each(await idsDue(due.starts), 'market.begin', (trx, id) => begin(trx, id, clock()));
      },
    },
    {
      name: 'market.absence',
      everyMs: 1_000,
      run: async () =>
        each(await absentBookings(store.read, clock().now - absenceMs, BATCH), 'market.absent', (trx, id) =>
          absent(trx, id, absenceMs, clock()),
        ),
    },
    {
      name: 'market.nudge',
      everyMs: 5_000,
      run: async () => each(await idsDue(due.nudges), 'market.nudge', (trx, id) => nudge(trx, id, clock())),
    },
    {
      name: 'market.reprice',
      // 100,000 dynamic offers, each every 10 minutes, are 167 a second.
      everyMs: Math.min(500, repriceEveryMs(clock().scale)),
      run: async () =>
        each(await gpusToReprice(store.read, clock().now, BATCH), 'market.reprice', (trx, id) =>
          reprice(trx, id, clock()),
        ),
    },
    schedulePurge('market.purge', [
      purge({
        what: 'hours',
        find: (limit) => hoursDue(store.read, clock(), limit),
        drop: dropHours,
      }),
      purge({
        what: 'prices',
        find: (limit) => pricesDue(store.read, clock().now - pricesMs, limit),
        dueAtMs: ({ at_ms }) => at_ms + pricesMs,
        drop: dropPrices,
      }),
    ]),
  ];
};
