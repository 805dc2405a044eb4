import { type Destination, inboxQueue } from '@aitbc/contracts';
import { createEnvelopes, type Envelopes } from './envelope.ts';
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

/** The way into `to`'s mailbox. What goes in is sealed by `from`. */
export const openSender = (options: {
  from: Destination;
  to: Destination;
  /** Of the one process that is to have it: for messages without a number alone. */
  place?: number | undefined;
  redis: RedisClient;
  postal: Postal;
}): Sender => {
  const { from, to, postal } = options;
  const queue = openQueue(inboxQueue(to, options.place), options.redis, queuePrefix(postal.prefix));
  return {
    send: (batch) =>
      queue.add(
        'batch',
        postal.envelopes.seal(from, to, typeof batch === 'string' ? batch : JSON.stringify(batch)),
      ),
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
}): QueueWorker => {
  const { to, postal, log } = options;
  const queue = inboxQueue(to, options.place);
  const tell = occasionally({ everyMs: WARN_EVERY_MS });
  return openWorker({
    queue,
    prefix: queuePrefix(postal.prefix),
    redisUrl: options.redisUrl,
    log,
    onStuck: options.onStuck,
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    process: async (data, isAgain) => {
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
    },
  });
};
