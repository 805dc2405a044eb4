import { openQueuesToWatch, queuePrefix, type RedisClient } from '@aitbc/chassis';
import { type Destination, inboxQueue, SERVICES, WORKERS } from '@aitbc/contracts';
import { remembered } from './services.ts';

/** An operator's page asks every few seconds, and several may be open. Workers are counted from a list of all clients. */
const COUNTED_EVERY_MS = 2_000;
const PATIENCE_MS = 2_000;

export interface MailboxCounts {
  readonly destination: Destination;
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly failed: number;
  readonly workers: number;
}

type Watched = ReturnType<typeof openQueuesToWatch>;

/** The mailboxes as Redis has them: opened when first looked at, for most processes never are. */
export const createQueues = (redis: RedisClient, redisPrefix: string) => {
  const destinations: readonly Destination[] = [...SERVICES, ...WORKERS];
  let opened: Watched | undefined;
  const open = (): Watched => {
    opened ??= openQueuesToWatch(
      destinations.map((destination) => inboxQueue(destination)),
      redis,
      queuePrefix(redisPrefix),
    );
    return opened;
  };
  const count = async (): Promise<MailboxCounts[]> =>
    Promise.all(
      open().map(async (queue, at): Promise<MailboxCounts> => {
        const [counts, workers] = await Promise.all([
          queue.getJobCounts('waiting', 'active', 'delayed', 'failed'),
          queue.getWorkersCount(),
        ]);
        const { waiting = 0, active = 0, delayed = 0, failed = 0 } = counts;
        const destination = destinations[at] as Destination;
        return { destination, waiting, active, delayed, failed, workers };
      }),
    );
  return {
    open,
    /** @returns null when Redis does not answer in time: nobody's page waits for it. */
    counts: remembered(COUNTED_EVERY_MS, async (): Promise<MailboxCounts[] | null> => {
      if (redis.status !== 'ready') return null;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<null>((resolve) => {
        timer = setTimeout(() => resolve(null), PATIENCE_MS);
      });
      return await Promise.race([count().catch(() => null), late]).finally(() => clearTimeout(timer));
    }),
    stop: async () => {
      for (const queue of opened ?? []) await queue.close();
    },
  };
};
export type Queues = ReturnType<typeof createQueues>;
