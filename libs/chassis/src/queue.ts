import { type ConnectionOptions, type Job, Queue, Worker } from 'bullmq';
import type { Log } from './log.ts';
import { occasionally } from './occasionally.ts';
import { connectRedis, keysTogether, type RedisClient } from './redis/index.ts';

// The only file that knows BullMQ. All workers of a queue must share one stalledInterval, so options come from here.
const LOCK_DURATION_MS = 10_000;
const STALLED_INTERVAL_MS = 5_000;
/** A worker that dies over and over must not make a message disappear: attempts bound it, not stalls. */
const STALLED_COUNT_MAX = 100;
/** Half a day of a store that is away; then its sender says it again. */
const BATCH_ATTEMPTS = 10_000;
const RETRY_FIRST_MS = 200;
/** Without an end to the doubling a batch that met an outage would wait as long as that once more, and those behind a full window with it. */
const RETRY_MAX_MS = 5_000;
/**
 * Entries in hand at once, where nothing else is asked for. More would ask Redis for another entry beside each that runs, in
 * vain unless many wait; and when many wait, each holds up to a hundred messages.
 */
const CONCURRENCY = 1;
const KEPT_FAILED = 1_000;

/** Where BullMQ keeps the queues of a deployment: two of them on one Redis never meet. */
export const queuePrefix = (prefix: string): string => `${prefix}:bull`;

/** BullMQ's scripts touch all keys of a queue; the queues of a deployment may lie on different masters. */
const prefixOf = (prefix: string, name: string, connection: RedisClient): string =>
  connection.isCluster ? keysTogether(prefix, name, true) : prefix;

export interface BatchQueue {
  add(name: string, data: unknown): Promise<void>;
  /** Something waits for a worker: what runs does not count, its worker may be dead. */
  hasWaiting(): Promise<boolean>;
  close(): Promise<void>;
}

/**
 * A producer. Its connection is shared by all queues of the process; without one `add` throws at once.
 * @param prefix from {@link queuePrefix}
 */
export const openQueue = (name: string, connection: RedisClient, prefix: string): BatchQueue => {
  let opened: Queue | undefined;
  const ready = (): Queue => {
    if (connection.status !== 'ready') throw new Error(`redis connection is ${connection.status}`);
    opened ??= new Queue(name, {
      connection: connection as unknown as ConnectionOptions,
      prefix: prefixOf(prefix, name, connection),
      // A first look at the server is never repeated: one that failed would fail every `add` for ever.
      skipVersionCheck: true,
      skipWaitingForReady: true,
      defaultJobOptions: {
        attempts: BATCH_ATTEMPTS,
        // The worker says how long: what BullMQ knows by itself doubles without an end.
        backoff: { type: 'custom' },
        removeOnComplete: { count: 0 },
        removeOnFail: { count: KEPT_FAILED },
      },
      // Nobody listens to queue events: keep the stream from growing to its default of 10,000.
      streams: { events: { maxLen: 100 } },
    }).on('error', () => {});
    return opened;
  };
  return {
    add: async (jobName, data) => {
      await ready().add(jobName, data);
    },
    hasWaiting: async () => {
      const counts = await ready().getJobCounts('waiting', 'delayed');
      return Object.values(counts).some((count) => count > 0);
    },
    close: async () => {
      await opened?.close();
    },
  };
};

/** Queues to look at, for a dashboard; they share `connection`. */
export const openQueuesToWatch = (
  names: readonly string[],
  connection: RedisClient,
  prefix: string,
): Queue[] =>
  names.map((name) => {
    const queue = new Queue(name, {
      connection: connection as unknown as ConnectionOptions,
      prefix: prefixOf(prefix, name, connection),
      skipVersionCheck: true,
      skipWaitingForReady: true,
    });
    queue.on('error', () => {});
    return queue;
  });

export interface QueueWorker {
  /** Finishes what runs, takes nothing new. */
  stop(): Promise<void>;
}

/** How long work may wait with nothing moving before the process gives up its place to a fresh one. */
const WATCHDOG_MS = 30_000;

/**
 * A consumer.
 * @param options.onStuck called once when work waits and nothing moved for 30 s: end the process.
 */
export const openWorker = (options: {
  queue: string;
  /** From {@link queuePrefix}. */
  prefix: string;
  redisUrl: string;
  log: Log;
  concurrency?: number;
  /** @param isAgain another worker had it before, which ended in the middle of it. */
  process: (data: unknown, isAgain: boolean) => Promise<void>;
  onStuck: (reason: string) => void;
}): QueueWorker => {
  const { log } = options;
  let lastMovedAt = performance.now();
  const inHand = new Set<Promise<void>>();
  const connection = connectRedis(options.redisUrl, log, {
    maxRetriesPerRequest: null,
    enableOfflineQueue: true,
  });
  const prefix = prefixOf(options.prefix, options.queue, connection);
  const worker = new Worker(
    options.queue,
    async (job: Job) => {
      lastMovedAt = performance.now();
      const work = options.process(job.data, job.stalledCounter > 0);
      inHand.add(work);
      await work.finally(() => inHand.delete(work));
      lastMovedAt = performance.now();
    },
    {
      connection: connection as unknown as ConnectionOptions,
      prefix,
      concurrency: options.concurrency ?? CONCURRENCY,
      lockDuration: LOCK_DURATION_MS,
      stalledInterval: STALLED_INTERVAL_MS,
      maxStalledCount: STALLED_COUNT_MAX,
      settings: {
        backoffStrategy: (attemptsMade) => Math.min(RETRY_FIRST_MS * 2 ** (attemptsMade - 1), RETRY_MAX_MS),
      },
      removeOnComplete: { count: 0 },
      removeOnFail: { count: KEPT_FAILED },
    },
  );
  let lastError = '';
  worker.on('error', (error) => {
    if (error.message !== lastError) log.warn({ err: error.message, queue: options.queue }, 'worker');
    lastError = error.message;
  });
  const tell = occasionally();
  worker.on('failed', (_job, error) => {
    const keptBack = tell('failed');
    if (keptBack === undefined) return;
    log.error(
      { err: error, queue: options.queue, kept_back: keptBack },
      'batch failed; it will be tried again',
    );
  });

  const watch = connectRedis(options.redisUrl, log);
  const watchdog = setInterval(async () => {
    try {
      const waiting = await watch.llen(`${prefix}:${options.queue}:wait`);
      if (waiting === 0) lastMovedAt = performance.now();
      else if (performance.now() - lastMovedAt > WATCHDOG_MS)
        options.onStuck(`${options.queue}: work waits and nothing moves`);
    } catch {
      // Redis is away: nothing can move, and that is not this process's fault.
      lastMovedAt = performance.now();
    }
  }, 5_000);

  return {
    stop: async () => {
      clearInterval(watchdog);
      watch.disconnect();
      // A graceful close waits for Redis, which may be away for long. What is in hand is waited for here instead:
      // its effect is in the file, and when Redis hands the batch out again it is a duplicate.
      const lost = new Promise<void>((resolve) => connection.once('close', resolve));
      const closing = worker.close(connection.status !== 'ready');
      await Promise.race([closing, lost]);
      await Promise.allSettled(inHand);
      connection.disconnect();
    },
  };
};
