import { type Destination, inboxQueue } from '@aitbc/contracts';
import { listenTo } from './channel.ts';
import { createEnvelopes, type Envelope, type Envelopes } from './envelope.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { occasionally } from './occasionally.ts';
import { openQueue, openWorker, type QueueWorker, queuePrefix } from './queue.ts';
import type { RedisClient } from './redis/index.ts';

/** What travels in one BullMQ job. `seq` is null from a sender without a file: see {@link maySendUnnumbered}. */
export interface Batch {
  stream: string;
  /** The lowest seq its sender still has: all below was acknowledged once. A receiver that lacks them was rewound. */
  floor?: number | undefined;
  messages: { seq: number | null; name: string; version: number; payload: unknown }[];
}

/**
 * Whether a message without a number is heard: it has its effect each time it comes, so only between jobs and its
 * dispatchers, where all is a hint or a proposal and no money follows; and between the gateway and who calls webhooks.
 */
export const maySendUnnumbered = (from: Destination, to: Destination): boolean =>
  [`${from} ${to}`, `${to} ${from}`].some(
    (pair) => pair === 'jobs dispatcher' || pair === 'gateway webhooks',
  );

/** A deployment's place in a Redis that others may use too: where its keys begin, and how its messages are sealed. */
export interface Postal {
  readonly prefix: string;
  readonly envelopes: Envelopes;
  /** Where a receiver leaves its watermark of each stream. A hint: the fact is in the receiver's file. */
  readonly ackKey: (receiver: Destination) => string;
}

export const createPostal = (config: { SECRET_KEY: string; REDIS_PREFIX: string }): Postal => ({
  prefix: config.REDIS_PREFIX,
  envelopes: createEnvelopes(config),
  ackKey: (receiver) => `${config.REDIS_PREFIX}:ack:${receiver}`,
});

export interface Sender {
  /** @param batch or its JSON text. Throws at once without a connection. */
  send(batch: Batch | string): Promise<void>;
  /** Something waits for a worker: what runs does not count, its worker may be dead. */
  hasWaiting(): Promise<boolean>;
  close(): Promise<void>;
}

/** Where the one who empties `queue` listens too. Channels of Redis are not those of a database, as keys are. */
const channelOf = ({ prefix }: Postal, queue: string, redis: RedisClient): string =>
  `${prefix}:direct:${redis.options.db ?? 0}:${queue}`;
/** Of what is said there: a batch of a hundred proposals has some 20 KB. */
const DIRECT_LENGTH_MAX = 1_024 * 1_024;
/**
 * Of those in hand at once; what is beyond is not heard. The mailbox hands out one at a time, here nothing holds back who
 * writes to Redis. Each holds up to a hundred proposals, and each proposal answers an open poll: dispatchers do not get there.
 */
const DIRECT_IN_HAND_MAX = 500;

/** The way into `to`'s mailbox. What goes in is sealed by `from`. */
export const openSender = (options: {
  from: Destination;
  to: Destination;
  /** Of the one process that is to have it: for messages without a number alone. */
  place?: number | undefined;
  /**
   * To whoever listens now, where somebody does, and past the mailbox: one command of Redis instead of some 35, and no wait
   * for a worker. What is said so may be lost, so for messages without a number alone.
   */
  isDirect?: boolean;
  redis: RedisClient;
  postal: Postal;
}): Sender => {
  const { from, to, postal, redis } = options;
  const name = inboxQueue(to, options.place);
  const queue = openQueue(name, redis, queuePrefix(postal.prefix));
  /** A node of a cluster does not know who listens at the others. */
  const isDirect = options.isDirect === true && !redis.isCluster;
  const isHeard = async (envelope: Envelope): Promise<boolean> => {
    const listening = await redis
      .publish(channelOf(postal, name, redis), JSON.stringify(envelope))
      .catch(() => 0);
    return listening > 0;
  };
  return {
    send: async (batch) => {
      const text = typeof batch === 'string' ? batch : JSON.stringify(batch);
      const envelope = postal.envelopes.seal(from, to, text);
      if (isDirect && (await isHeard(envelope))) return;
      await queue.add('batch', envelope);
    },
    hasWaiting: () => queue.hasWaiting(),
    close: () => queue.close(),
  };
};

/** Undefined for what is no JSON: no sender of ours writes that, and its receiver sets it aside. */
const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** A stranger who writes without end must not fill the log. */
const WARN_EVERY_MS = 10_000;

/**
 * Takes what comes into the mailbox of `to`. What no sender of this deployment sealed is counted and dropped before it
 * is parsed: if it was a damaged message of ours, it is not acknowledged and comes again.
 * @param options.process gets the batch as its sender wrote it, parsed as JSON and nothing more.
 */
export const openReceiver = (options: {
  to: Destination;
  /** Of this process, whose own mailbox it is. */
  place?: number | undefined;
  postal: Postal;
  redisUrl: string;
  log: Log;
  metrics: Metrics;
  /** Batches in hand at once; one unless it says so. */
  concurrency?: number;
  /** @param isAgain another worker had it before, which ended in the middle of it. */
  process: (batch: unknown, from: Destination, isAgain: boolean) => Promise<void>;
  onStuck: (reason: string) => void;
  /** Hears what is sent directly as well. What it could not handle goes into the mailbox by this connection, to be tried again. */
  direct?: RedisClient | undefined;
}): QueueWorker => {
  const { to, postal, log, redisUrl } = options;
  const queue = inboxQueue(to, options.place);
  const prefix = queuePrefix(postal.prefix);
  const tell = occasionally({ everyMs: WARN_EVERY_MS });
  const process = async (data: unknown, isAgain = false): Promise<void> => {
    const opened = postal.envelopes.open(to, data);
    if (opened === null) {
      options.metrics.forgeries.inc({ what: 'batch' });
      if (tell('forged') !== undefined) {
        log.error(
          { queue },
          'a batch was not sealed by this deployment: dropped. Somebody else writes to Redis, or SECRET_KEY differs between processes',
        );
      }
      return;
    }
    await options.process(parsed(opened.text), opened.from, isAgain);
  };
  const worker = openWorker({
    queue,
    prefix,
    redisUrl,
    log,
    onStuck: options.onStuck,
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    process,
  });
  if (options.direct === undefined) return worker;

  const mailbox = openQueue(queue, options.direct, prefix);
  const inHand = new Set<Promise<void>>();
  const listener = listenTo({
    channel: channelOf(postal, queue, options.direct),
    redisUrl,
    log,
    lengthMax: DIRECT_LENGTH_MAX,
    hear: (text) => {
      if (inHand.size >= DIRECT_IN_HAND_MAX) return;
      const envelope = parsed(text);
      const work = process(envelope)
        .catch(() => mailbox.add('batch', envelope))
        .catch((error) => log.debug({ err: error, queue }, 'what was heard is lost; it will be said again'));
      inHand.add(work);
      void work.finally(() => inHand.delete(work));
    },
  });
  return {
    stop: async () => {
      listener.stop();
      await Promise.all([worker.stop(), ...inHand]);
      await mailbox.close();
    },
  };
};
