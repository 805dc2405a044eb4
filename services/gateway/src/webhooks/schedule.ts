import { type Scheduled, type Store, sendAs } from '@aitbc/chassis';
import { LISTENERS_TOLD_MAX } from '@aitbc/contracts';
import { giveUp } from './commands.ts';
import { GIVEN_UP_AFTER_MS, KEPT_MS, KEPT_PER_ENDPOINT_MAX } from './domain.ts';
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
const TELL_EVERY_MS = 3_600_000;

export const createWebhookSchedule = (store: Store, pump: Pump, now: () => number): Scheduled[] => [
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
    run: async () => {
      for (const id of await rows.hopeless(store.read, now() - GIVEN_UP_AFTER_MS, BATCH))
        await store.transact('webhooks.give_up', (trx) => giveUp(trx, id, now()));
      const forget = async (found: readonly { id: string; webhook_id: string }[]): Promise<void> => {
        if (found.length === 0) return;
        const counts = new Map<string, number>();
        for (const { webhook_id } of found) counts.set(webhook_id, (counts.get(webhook_id) ?? 0) + 1);
        await store.transact('webhooks.forget', async (trx) => {
          await rows.deleteDeliveries(trx, found);
          for (const [id, n] of counts) await rows.takeKept(trx, id, n);
        });
      };
      await forget(await rows.oldDeliveries(store.read, now() - KEPT_MS, BATCH));
      for (const { id, kept } of await rows.overfull(store.read, KEPT_PER_ENDPOINT_MAX + KEPT_SLACK, 20))
        await forget(await rows.oldestOf(store.read, id, Math.min(BATCH, kept - KEPT_PER_ENDPOINT_MAX)));
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
