import {
  type Destination,
  type MessageName,
  messages,
  newId,
  type Payload,
  type ReceivedBy,
} from '@aitbc/contracts';
import { z } from 'zod';
import { clock } from '../clock.ts';
import { failpoint } from '../failpoint.ts';
import type { Log } from '../log.ts';
import { type Batch, maySendUnnumbered, openReceiver, type Postal } from '../mailbox.ts';
import type { Metrics } from '../metrics.ts';
import type { ChassisTables } from '../migrations/index.ts';
import type { RedisClient } from '../redis/index.ts';
import { WINDOW_MESSAGES } from '../send-window.ts';
import { builder } from '../sql.ts';
import { isStoreFault, TookTooLong } from '../store/fault.ts';
import type { Store, Trx } from '../store/index.ts';
import type { Scheduled } from '../ticker.ts';
import { BatchSchema, type Incoming, type Missed } from './batch.ts';
import { receiveInOrder } from './in-order.ts';
import { compact, receiveSideBySide } from './side-by-side.ts';

const ACK_EVERY_MS = 500;
/** After so many it acknowledges at once: a sender that has {@link WINDOW_MESSAGES} under way waits for it. */
const ACK_MESSAGES = WINDOW_MESSAGES / 10;
/** What did not change is said again so often: a Redis that was wiped has it back before a sender takes it for lost. */
const ACK_AGAIN_MS = 2_000;
const RETRY_EVERY_MS = 250;
/** While none waits here: an operator, or another process, may have one tried again. */
const RETRY_LOOK_MS = 1_000;
const RETRY_BATCH = 50;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 60_000;
const ERROR_LENGTH_MAX = 1_000;
/**
 * Messages of one transaction on a store that several processes share. They are some 400 statements there, a way to a server
 * each, and a transaction has 5 s: time for a way of 12 ms. One of 1,000 messages would never end where a way takes a few.
 * What takes too long all the same (a match may start 32 jobs) is heard in halves.
 */
const PART_MAX = 50;

const db = builder<ChassisTables>();

/** Handles one message inside the transaction that marks it heard. May run twice, in any order; must not be async. */
export type Consumer<N extends MessageName> = (trx: Trx, payload: Payload<N>) => void | Promise<void>;

/** One consumer for every message addressed to `D`: a missing one does not compile. */
export type Consumers<D extends Destination> = { [N in ReceivedBy<D>]: Consumer<N> };

/**
 * Receives the mailbox of `service`, beside other processes of it where the store is shared: a batch in one transaction, and when
 * that fails once more with a savepoint for each message. What was heard is kept as one watermark per stream plus the few rows ahead of it,
 * so nothing grows with time. A message that fails
 * is set aside in dead_letter, tried again with back-off up to its `attempts`, then left there for an operator.
 */
export const startInbox = <D extends Destination>(options: {
  service: D;
  store: Store;
  redis: RedisClient;
  redisUrl: string;
  postal: Postal;
  consumers: Consumers<D>;
  log: Log;
  metrics: Metrics;
  onStuck: (reason: string) => void;
}) => {
  const { store, log, metrics, postal, service } = options;
  const receiveEach = store.isShared ? receiveSideBySide : receiveInOrder;
  const consumers = options.consumers as Record<string, (trx: Trx, payload: unknown) => void | Promise<void>>;

  /** Where each message of a stream is noted for itself, a batch need not be heard whole. */
  const partsOf = (batch: Batch): Batch[] =>
    store.isShared
      ? Array.from({ length: Math.max(1, Math.ceil(batch.messages.length / PART_MAX)) }, (_, part) => ({
          ...batch,
          messages: batch.messages.slice(part * PART_MAX, (part + 1) * PART_MAX),
        }))
      : [batch];

  let retryLookAt = 0;
  /** @throws what the consumer throws; `Unreadable` when no retry could help. */
  const handle = async (trx: Trx, name: string, payload: unknown): Promise<void> => {
    const consumer = Object.hasOwn(consumers, name) ? consumers[name] : undefined;
    const message = Object.hasOwn(messages, name) ? messages[name as MessageName] : undefined;
    if (consumer === undefined || message === undefined) throw new Unreadable(`no consumer for ${name}`);
    const parsed = message.schema.safeParse(payload);
    if (!parsed.success) throw new Unreadable(`unreadable: ${z.prettifyError(parsed.error)}`);
    await consumer(trx, parsed.data);
    trx.afterCommit(() => metrics.messages.inc({ name, outcome: 'handled' }));
  };

  const setAside = async (trx: Trx, stream: string, message: Incoming, error: unknown): Promise<void> => {
    const isFinal = error instanceof Unreadable;
    trx.afterCommit(() => {
      metrics.messages.inc({ name: known(message.name), outcome: isFinal ? 'dead' : 'failed' });
      log.error({ err: error, message: message.name, stream, seq: message.seq }, 'message failed');
      retryLookAt = 0;
    });
    await trx.run(
      db.insertInto('dead_letter').values({
        id: newId(),
        stream,
        seq: message.seq,
        name: message.name,
        version: message.version,
        payload: JSON.stringify(message.payload) ?? 'null',
        attempts: 1,
        error: String(error).slice(0, ERROR_LENGTH_MAX),
        retry_at_ms: isFinal ? null : clock.nowMs() + RETRY_FIRST_MS,
        created_at_ms: clock.nowMs(),
      }),
    );
  };

  /** @param hear one message; what it throws undoes those before it, too */
  const walk = (trx: Trx, batch: Batch, hear: (message: Incoming) => Promise<void>): Promise<void> =>
    receiveEach(trx, batch, hear, {
      duplicate: ({ name }: Incoming) =>
        trx.afterCommit(() => metrics.messages.inc({ name: known(name), outcome: 'duplicate' })),
      missed: (missed: Missed) =>
        trx.afterCommit(() => {
          // Only a file that was restored from an older copy is behind what it acknowledged; the sender has them no more.
          log.error(
            missed,
            'messages were missed: this file is older than what it acknowledged; reconcilers take over',
          );
          metrics.missedMessages.inc(missed.to - missed.from + 1);
        }),
    });

  const hear = async (trx: Trx, message: Incoming, from: Destination): Promise<void> => {
    demandSender(message, from, service);
    await handle(trx, message.name, message.payload);
  };

  /** Nearly always all of a batch succeeds, and a savepoint costs as much as a small message: so there is none. */
  const receiveWhole = (trx: Trx, batch: Batch, from: Destination): Promise<void> =>
    orFailed(async () => {
      await walk(trx, batch, (message) => hear(trx, message, from));
      // What it has to say is part of it: what cannot be said undoes it here, and not the whole group.
      await trx.flush();
    });

  /** The same once more, so that a failing message is undone and set aside alone. */
  const receiveOneByOne = (trx: Trx, batch: Batch, from: Destination): Promise<void> =>
    walk(trx, batch, async (message) => {
      try {
        await trx.savepoint(async () => {
          await hear(trx, message, from);
          await trx.flush();
        });
      } catch (error) {
        // Not this message's fault: its batch stays as it is, unacknowledged, and comes again.
        if (isStoreFault(error)) throw error;
        await setAside(trx, batch.stream, message, error);
      }
    });

  const receive = async (batch: Batch, from: Destination): Promise<void> => {
    try {
      await store.transact('inbox.receive', (trx) => receiveWhole(trx, batch, from));
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      await store.transact('inbox.receive_one_by_one', (trx) => receiveOneByOne(trx, batch, from));
    }
  };

  const receivePart = async (part: Batch, from: Destination): Promise<void> => {
    try {
      await receive(part, from);
    } catch (error) {
      const half = part.messages.length >> 1;
      if (!(error instanceof TookTooLong)) throw error;
      // Alone it is too slow, too: those behind it would wait for it for ever.
      if (half === 0) {
        await store.transact('inbox.set_aside', (trx) =>
          walk(trx, part, (message) => setAside(trx, part.stream, message, error)),
        );
        return;
      }
      await receivePart({ ...part, messages: part.messages.slice(0, half) }, from);
      await receivePart({ ...part, messages: part.messages.slice(half) }, from);
    }
  };

  /**
   * What a store that several processes shared had noted of each message becomes a watermark, where the rows were moved to a file: in
   * order it is not looked for behind the highest number.
   */
  let takenOver: Promise<void> | undefined;
  const takeOver = async (): Promise<void> => {
    // The rows that the watermark passed go a round later.
    for (let round = 0; round < 2; round += 1) await compact(store);
  };
  const takeOverOnce = (): Promise<void> => {
    takenOver ??= takeOver().catch((error) => {
      takenOver = undefined;
      throw error;
    });
    return takenOver;
  };

  const receiving = {
    to: service,
    postal,
    redisUrl: options.redisUrl,
    log,
    metrics,
    onStuck: options.onStuck,
    process: async (data: unknown, from: Destination): Promise<void> => {
      const batch = BatchSchema.safeParse(data);
      if (!batch.success) {
        // No sender of ours writes this; keep it where an operator looks instead of trying it for ever.
        await store.transact('inbox.unreadable_batch', (trx) =>
          setAside(
            trx,
            'unknown',
            { seq: null, name: 'batch', version: 0, payload: data },
            new Unreadable('not a batch'),
          ),
        );
        return;
      }
      if (!store.isShared) await takeOverOnce();
      failpoint('inbox:before-commit');
      for (const part of partsOf(batch.data)) await receivePart(part, from);
      heardSince += batch.data.messages.length;
      // In vain without the store or Redis: the schedule says it again.
      if (heardSince >= ACK_MESSAGES && store.leads()) void acknowledge().catch(() => {});
      failpoint('inbox:after-commit');
    },
  };
  // What is for one process alone goes to its own place, where there are several.
  const direct = hearsHints(service) ? options.redis : undefined;
  const isPlaced = store.isShared && direct !== undefined;
  const worker = openReceiver({ ...receiving, direct: isPlaced ? undefined : direct });
  const ownWorker = isPlaced ? followPlace(store, { ...receiving, direct }) : null;

  const handleLetter = (trx: Trx, { id, attempts, name, payload }: Letter): Promise<void> =>
    orFailed(async () => {
      // An operator dropped it, or another process was quicker.
      if ((await trx.run(takeLetter(id, attempts))) === 1) await handle(trx, name, JSON.parse(payload));
      await trx.flush();
    });

  const noteFailure = async (trx: Trx, letter: Letter, error: unknown): Promise<void> => {
    const attempts = letter.attempts + 1;
    const max = messages[letter.name as MessageName]?.attempts ?? 1;
    const isFinal = error instanceof Unreadable || attempts >= max;
    trx.afterCommit(() => {
      if (isFinal) log.error({ err: error, message: letter.name }, 'message given up; see the dead letters');
      metrics.messages.inc({ name: known(letter.name), outcome: isFinal ? 'dead' : 'failed' });
    });
    const backOffMs = Math.min(RETRY_FIRST_MS * 2 ** (attempts - 1), RETRY_MAX_MS);
    await trx.run(
      db
        .updateTable('dead_letter')
        .set({
          attempts,
          error: String(error).slice(0, ERROR_LENGTH_MAX),
          retry_at_ms: isFinal ? null : clock.nowMs() + backOffMs,
        })
        .where('id', '=', letter.id)
        .where('attempts', '=', letter.attempts),
    );
  };

  const retry = async (): Promise<void> => {
    if (performance.now() < retryLookAt) return;
    retryLookAt = performance.now() + RETRY_LOOK_MS;
    const waiting = await store.read.all(
      db
        .selectFrom('dead_letter')
        .selectAll()
        .where('retry_at_ms', 'is not', null)
        .orderBy('retry_at_ms')
        .limit(RETRY_BATCH),
    );
    if (waiting.length > 0) retryLookAt = 0;
    const nowMs = clock.nowMs();
    for (const letter of waiting.filter(({ retry_at_ms }) => (retry_at_ms as number) <= nowMs)) {
      try {
        await store.transact('inbox.retry', (trx) => handleLetter(trx, letter));
      } catch (error) {
        // A small row may fit where a message does not: no attempt counts while the disk has no room. One that takes too
        // long counts: the letters behind it would wait for it for ever.
        if (!(error instanceof Failed || error instanceof TookTooLong)) throw error;
        const reason = error instanceof Failed ? error.cause : error;
        await store.transact('inbox.retry_failed', (trx) => noteFailure(trx, letter, reason));
      }
    }
  };

  let lastSaid = '';
  let sayAgainAt = 0;
  const sayHeard = async (): Promise<void> => {
    if (store.isShared) await compact(store);
    if (options.redis.status !== 'ready') return;
    const streams = await store.read.all(db.selectFrom('inbox_stream').selectAll());
    if (streams.length === 0) return;
    const said = streams.map(({ stream, watermark, highest }) => `${stream} ${watermark}:${highest}`).join();
    const now = performance.now();
    if (said === lastSaid && now < sayAgainAt) return;
    await options.redis.hset(
      postal.ackKey(service),
      Object.fromEntries(
        streams.map(({ stream, watermark, highest }) => [
          stream,
          postal.envelopes.sealWatermark(service, stream, watermark, highest),
        ]),
      ),
    );
    lastSaid = said;
    sayAgainAt = now + ACK_AGAIN_MS;
  };
  let heardSince = 0;
  let acknowledging: Promise<void> = Promise.resolve();
  /** One after the other: what was read first is written first. */
  const acknowledge = (): Promise<void> => {
    heardSince = 0;
    acknowledging = acknowledging.then(sayHeard, sayHeard);
    return acknowledging;
  };

  const schedule: Scheduled[] = [
    { name: 'inbox.acknowledge', everyMs: ACK_EVERY_MS, run: acknowledge },
    { name: 'inbox.retry', everyMs: RETRY_EVERY_MS, run: retry },
  ];
  return {
    schedule,
    stop: async (): Promise<void> => {
      await Promise.all([worker.stop(), ownWorker?.stop()]);
    },
  };
};

/** Whether dispatchers send to it: only a match goes to one process alone. */
const hearsHints = (service: Destination): boolean =>
  Object.values(messages).some(
    (message) => (message.to as readonly Destination[]).includes(service) && message.from === 'dispatcher',
  );

/** Empties the mailbox of the place that this process holds, and another when that is another. */
const followPlace = (store: Store, receiving: Omit<Parameters<typeof openReceiver>[0], 'place'>) => {
  let { place } = store;
  let worker = openReceiver({ ...receiving, place });
  let leaving = Promise.resolve();
  const unsubscribe = store.streams.onChange(() => {
    if (store.place === place) return;
    place = store.place;
    const before = worker;
    leaving = leaving.then(() => before.stop());
    worker = openReceiver({ ...receiving, place });
  });
  return {
    stop: async (): Promise<void> => {
      unsubscribe();
      await leaving;
      await worker.stop();
    },
  };
};

type Letter = Pick<ChassisTables['dead_letter'], 'id' | 'attempts' | 'name' | 'payload'>;

const takeLetter = (id: string, attempts: number) =>
  db.deleteFrom('dead_letter').where('id', '=', id).where('attempts', '=', attempts);

class Unreadable extends Error {}

/** By what it was to do, and not by the store: its cause. */
class Failed extends Error {}

/** @throws Failed for all that is no fault of the store */
const orFailed = async (run: () => Promise<void>): Promise<void> => {
  try {
    await run();
  } catch (error) {
    throw isStoreFault(error) ? error : new Failed(String(error), { cause: error });
  }
};

/** @throws Unreadable for what this sender may not say, or not without a number. */
const demandSender = (message: Incoming, from: Destination, to: Destination): void => {
  const owner = Object.hasOwn(messages, message.name) ? messages[message.name as MessageName].from : from;
  if (owner !== from) throw new Unreadable(`${message.name} is not ${from}'s to say`);
  if (message.seq === null && !maySendUnnumbered(from, to)) {
    throw new Unreadable(`a message of ${from} must have a number`);
  }
};

// A metric's label must come from a closed list, and a poisoned message may bring any name.
const known = (name: string): string => (Object.hasOwn(messages, name) ? name : 'unknown');
