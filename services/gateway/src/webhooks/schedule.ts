import { type Purge, type Reader, type Scheduled, type Store, sendAs, type Trx } from '@aitbc/chassis';
import { LISTENERS_TOLD_MAX } from '@aitbc/contracts';
import { giveUp } from './commands.ts';
import { GIVEN_UP_AFTER_MS, KEPT_PER_ENDPOINT_MAX } from './domain.ts';
import type { Pump } from './pump.ts';
import * as rows from './store.ts';

const send = sendAs<'gateway'>();

const RECOVER_EVERY_MS = 5_000;
const LOST_MAX = 200;
const TIDY_EVERY_MS = 10_000;
/** Rows a transaction. 50 a second go, and no more are made in the long run: what ends is what was sent. */
const BATCH = 500;
/** How far a log may grow beyond its bound before it is cut back. */
const KEPT_SLACK = 100;
const OVERFULL_MAX = 20;
const TELL_EVERY_MS = 3_600_000;

/** What is in the log of an endpoint beyond its bound. */
const surplusOf = async (read: Reader, limit: number) => {
  const found: { id: string; webhook_id: string }[] = [];
  for (const { id, kept } of await rows.overfull(read, KEPT_PER_ENDPOINT_MAX + KEPT_SLACK, OVERFULL_MAX))
    if (found.length < limit)
      found.push(
        ...(await rows.oldestOf(read, id, Math.min(limit - found.length, kept - KEPT_PER_ENDPOINT_MAX))),
      );
  return found;
};

const dropDeliveries = async (trx: Trx, found: readonly { id: string }[]): Promise<void> => {
  const counts = new Map<string, number>();
  for (const { webhook_id } of await rows.deleteDeliveries(trx, found))
    counts.set(webhook_id, (counts.get(webhook_id) ?? 0) + 1);
  for (const [id, n] of counts) await rows.takeKept(trx, id, n);
};

export const createWebhookSchedule = (options: {
  store: Store;
  pump: Pump;
  purge: Purge;
  /** For how long deliveries that are over are kept. */
  keptMs: number;
  now: () => number;
}): Scheduled[] => {
  const { store, pump, purge, keptMs, now } = options;
  const old = purge({
    what: 'deliveries',
    find: (limit) => rows.oldDeliveries(store.read, now() - keptMs, limit),
    dueAtMs: ({ ended_at_ms }) => Number(ended_at_ms) + keptMs,
    drop: dropDeliveries,
  });
  const surplus = purge({
    what: 'surplus_deliveries',
    find: (limit) => surplusOf(store.read, limit),
    drop: dropDeliveries,
  });
  return [
    {
      name: 'webhooks.recover',
      everyMs: RECOVER_EVERY_MS,
      run: async () => {
        await pump.recover(LOST_MAX);
        pump.wake();
      },
    },
    {
      name: 'webhooks.tidy',
      everyMs: TIDY_EVERY_MS,
      run: async (signal) => {
        for (const id of await rows.hopeless(store.read, now() - GIVEN_UP_AFTER_MS, BATCH))
          await store.transact('webhooks.give_up', (trx) => giveUp(trx, id, now()));
        await old(signal);
        await surplus(signal);
        const deleted = await rows.findDeleted(store.read);
        if (deleted === undefined) return;
        const left = await rows.anyOf(store.read, deleted.id, BATCH);
        await store.transact('webhooks.delete', async (trx) => {
          if (left.length > 0) await rows.deleteDeliveries(trx, left);
          if (left.length === BATCH) return;
          await rows.deleteSeed(trx, deleted.id);
          await rows.deleteWebhookRow(trx, deleted.id);
        });
      },
    },
    {
      name: 'webhooks.tell',
      everyMs: TELL_EVERY_MS,
      // Again: a file that was put back from an older copy may have missed it.
      run: async (signal) => {
        for (let after = ''; !signal.aborted; ) {
          const page = await rows.listenersAfter(store.read, after, LISTENERS_TOLD_MAX);
          const last = page.at(-1);
          if (last === undefined) return;
          await store.transact('webhooks.tell', (trx) =>
            send(trx, 'gateway.listeners_changed', {
              accounts: page.map(({ account_id, revision, listens }) => ({
                account_id,
                revision,
                listens: listens === 1,
              })),
            }),
          );
          after = last.account_id;
        }
      },
    },
  ];
};
