import { type Batch, type Log, occasionally, type Sender, type Store } from '@aitbc/chassis';
import { messages, type Payload } from '@aitbc/contracts';
import type { DeliveryTable, WebhookTable } from '../tables.ts';
import { bodyOf, type FindResult } from './bodies.ts';
import { called, DUE, type Due, passOn, take } from './commands.ts';
import { CALL_BEFORE_MS, FAILING_SHARE, LOST_AFTER_MS } from './domain.ts';
import { type Letter, lock } from './locked.ts';
import type { Secrets } from './secrets.ts';
import { signWebhook } from './signature.ts';
import * as rows from './store.ts';

/** Webhooks that are looked at in one turn. */
const TURN_MAX = 200;
/** Calls in one queue entry: one worker has them all in hand, and when it dies all are interrupted. */
const ENTRY_CALLS_MAX = 10;
/** Of what is everybody's, told in one transaction. */
const PAGE_MAX = 100;
/** After a turn that could not do all: no room, or Redis or the store away. */
const AGAIN_MS = 250;
const SLEEP_MAX_MS = 60_000;
/**
 * From one turn to the next at least. A turn costs a commit, however little is due: by sixty events a second they took a third
 * of a slow disk's time.
 */
const TURN_GAP_MS = 50;

/**
 * Hands calls that are due to the workers. The rows are the outbox: a call is written down as being made before it is in the
 * queue, and what comes of it, or that nothing is heard in time, brings it back. Where several processes share the rows the
 * one that leads does this; two for a moment take nothing twice.
 */
export const createPump = (options: {
  store: Store;
  sender: Sender;
  isConnected: () => boolean;
  secrets: Secrets;
  lockKey: Buffer;
  findResult: FindResult;
  /** At once, over all. */
  callsMax: number;
  /** Names this sender. */
  stream: string;
  now: () => number;
  log: Log;
}) => {
  const { store, sender, secrets, now, log } = options;
  const tell = occasionally();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> | undefined;
  let isWanted = false;
  let isStopped = false;
  let turnedAt = Number.NEGATIVE_INFINITY;
  const preparing = new Set<Promise<void>>();

  const giveBack = ({ id, attempt }: Pick<DeliveryTable, 'id' | 'attempt'>): Promise<void> =>
    store.transact('webhooks.give_back', (trx) =>
      called(
        trx,
        {
          delivery_id: id,
          attempt,
          started_at_ms: now(),
          duration_ms: null,
          status: null,
          error: 'not_called',
          response: null,
        },
        now(),
        Math.random(),
      ),
    );

  const callOf = async (
    webhook: WebhookTable,
    delivery: DeliveryTable,
  ): Promise<Payload<'gateway.call_due'>> => {
    const body = await bodyOf(delivery, webhook, options.findResult);
    const signer = webhook.kind === 'callback' ? webhook.account_id : webhook.id;
    const live = await secrets.live(store.read, signer, now());
    return {
      delivery_id: delivery.id,
      attempt: delivery.attempt,
      call_before_ms: now() + CALL_BEFORE_MS,
      locked: lock(
        options.lockKey,
        JSON.stringify({
          url: delivery.url ?? webhook.url,
          // The wall clock's: the receiver compares it with its own.
          headers: signWebhook({ id: delivery.event_id, atMs: Date.now(), body }, live),
          body,
        } satisfies Letter),
      ),
    };
  };

  /** What cannot be handed out waits on: nobody was called. */
  const handOut = async (due: readonly Due[]): Promise<void> => {
    const ready: Batch['messages'] = [];
    const prepared: Due[] = [];
    for (const one of due) {
      try {
        const payload = await callOf(one.webhook, one.delivery);
        ready.push({
          seq: null,
          name: 'gateway.call_due',
          version: messages['gateway.call_due'].version,
          payload,
        });
        prepared.push(one);
      } catch (error) {
        if (tell('prepare') !== undefined) log.warn({ err: error }, 'a webhook could not be made ready');
        await giveBack(one.delivery);
      }
    }
    try {
      if (ready.length > 0) await sender.send({ stream: options.stream, messages: ready });
    } catch {
      for (const { delivery } of prepared) await giveBack(delivery);
    }
  };

  /** In the background: what waits for jobs holds up nobody else. What fails here is found again by its time. */
  const prepare = (due: readonly Due[]): void => {
    const work = handOut(due).catch((error) => {
      if (tell('hand_out') !== undefined) log.warn({ err: error }, 'webhooks were not handed out');
    });
    preparing.add(work);
    void work.finally(() => preparing.delete(work));
  };

  /** @returns when to look again; null when nothing is to be done */
  const turn = async (): Promise<number | null> => {
    if (!store.leads()) return null;
    const broadcast = await rows.firstBroadcast(store.read);
    if (broadcast !== undefined)
      await store.transact('webhooks.pass_on', (trx) => passOn(trx, PAGE_MAX, now()));
    if (!options.isConnected()) return now() + AGAIN_MS;
    const due = await rows.dueWebhooks(store.read, now(), TURN_MAX);
    if (due.length > 0) {
      const busy = await rows.busy(store.read);
      let room = options.callsMax - busy.all;
      let failingRoom = Math.ceil(options.callsMax * FAILING_SHARE) - busy.failing;
      const taken = await Promise.all(
        due.map(({ id, failures }) => {
          // One each at least is reserved; what one takes more than that is within its own small bound.
          const mine = failures > 0 ? Math.min(room, failingRoom) : room;
          if (mine <= 0) return [];
          room -= 1;
          if (failures > 0) failingRoom -= 1;
          return store.transact('webhooks.take', (trx) => take(trx, id, mine, now()));
        }),
      );
      const calls = taken.flat();
      // Those that ask for a result first apart, one after the other: they wait for another service.
      const slow = calls.filter(({ webhook }) => webhook.include_result === 1);
      const quick = calls.filter(({ webhook }) => webhook.include_result === 0);
      for (const group of [quick, slow])
        for (let from = 0; from < group.length; from += ENTRY_CALLS_MAX)
          prepare(group.slice(from, from + ENTRY_CALLS_MAX));
      if (calls.length === 0) return now() + AGAIN_MS;
    }
    return broadcast === undefined ? await rows.nextAt(store.read) : now();
  };

  const run = async (): Promise<void> => {
    do {
      const gapMs = turnedAt + TURN_GAP_MS - performance.now();
      if (gapMs > 0) await new Promise((resolve) => setTimeout(resolve, gapMs));
      turnedAt = performance.now();
      isWanted = false;
      let nextAtMs: number | null;
      try {
        nextAtMs = await turn();
      } catch (error) {
        if (tell('turn') !== undefined) log.warn({ err: error }, 'webhooks were not looked at');
        nextAtMs = now() + AGAIN_MS;
      }
      clearTimeout(timer);
      if (nextAtMs !== null && !isStopped)
        timer = setTimeout(wake, Math.min(Math.max(1, nextAtMs - now()), SLEEP_MAX_MS));
    } while (isWanted && !isStopped);
  };
  const wake = (): void => {
    isWanted = true;
    if (isStopped) return;
    running ??= run().finally(() => {
      running = undefined;
      if (isWanted) wake();
    });
  };
  const unsubscribe = store.subscribe(DUE, wake);

  return {
    /** For the schedule: what lost its wake-up is found. */
    wake,
    /** Calls that nothing was heard of: who had them is gone. What waits in the queue was not lost. */
    recover: async (limit: number): Promise<void> => {
      const lost = await rows.lostCalls(store.read, now(), limit);
      if (lost.length === 0 || !options.isConnected()) return;
      if (await sender.hasWaiting()) {
        const ids = lost.map(({ id }) => id);
        await store.transact('webhooks.postpone', (trx) =>
          rows.postponeCalls(trx, ids, now() + CALL_BEFORE_MS),
        );
        return;
      }
      for (const { id, attempt, due_at_ms } of lost)
        await store.transact('webhooks.lost', (trx) =>
          called(
            trx,
            {
              delivery_id: id,
              attempt,
              started_at_ms: due_at_ms - LOST_AFTER_MS,
              duration_ms: null,
              status: null,
              error: 'interrupted',
              response: null,
            },
            now(),
            Math.random(),
          ),
        );
    },
    stop: async (): Promise<void> => {
      isStopped = true;
      unsubscribe();
      clearTimeout(timer);
      await running;
      await Promise.allSettled(preparing);
    },
  };
};
export type Pump = ReturnType<typeof createPump>;
