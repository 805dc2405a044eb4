import { randomUUID } from 'node:crypto';
import type { ServiceName } from '@aitbc/contracts';
import { z } from 'zod';
import { listenTo } from './channel.ts';
import type { Log } from './log.ts';
import type { Postal } from './mailbox.ts';
import type { Metrics } from './metrics.ts';
import { occasionally } from './occasionally.ts';
import type { RedisClient } from './redis/index.ts';
import type { Store } from './store/index.ts';

/** Topics of one commit that are told to others: what is beyond, they see when they look again. */
const TOPICS_MAX = 500;
const TOPIC_LENGTH_MAX = 120;
/** The most that those can come to, with their seal. */
const TEXT_LENGTH_MAX = 128 * 1024;
/** Heard in a second at most: whoever writes to Redis must not keep this process busy. Ten of them commit 1,000 a second. */
const HEARD_MAX = 2_000;

const News = z.strictObject({
  from: z.string().max(40),
  topics: z.array(z.string().max(TOPIC_LENGTH_MAX)).max(TOPICS_MAX),
});

/**
 * Wakes those who wait in other processes of the service, by Redis, and is woken by them: a message for each commit that
 * notified something. A hint: with Redis away nothing is kept, and who waits looks again by itself. It is sealed, so who
 * can write to Redis can at most say again what was said before, and wake somebody for nothing.
 */
export const linkTopics = (options: {
  service: ServiceName;
  store: Store;
  redis: RedisClient;
  redisUrl: string;
  postal: Postal;
  log: Log;
  metrics: Metrics;
}) => {
  const { service, store, redis, postal, log } = options;
  const channel = `${postal.prefix}:topics:${service}`;
  const own = randomUUID();
  const tell = occasionally();

  const wake = store.linkTopics((topics) => {
    if (redis.status !== 'ready') return;
    const fitting = topics.filter(({ length }) => length <= TOPIC_LENGTH_MAX).slice(0, TOPICS_MAX);
    const text = JSON.stringify({ from: own, topics: fitting });
    redis.publish(channel, postal.envelopes.sealTopics(service, text)).catch(() => {});
  });

  let second = 0;
  let heard = 0;
  const isTooMany = (): boolean => {
    const now = Math.floor(performance.now() / 1_000);
    if (now !== second) {
      second = now;
      heard = 0;
    }
    heard += 1;
    return heard > HEARD_MAX;
  };

  return listenTo({
    channel,
    redisUrl: options.redisUrl,
    log,
    lengthMax: TEXT_LENGTH_MAX,
    hear: (sealed) => {
      if (isTooMany()) return;
      const text = postal.envelopes.openTopics(service, sealed);
      if (text === null) {
        options.metrics.forgeries.inc({ what: 'topics' });
        if (tell('forged') !== undefined)
          log.error({ channel }, 'a wake-up was not sealed by this deployment: dropped');
        return;
      }
      const news = News.safeParse(JSON.parse(text));
      if (news.success && news.data.from !== own) wake(news.data.topics);
    },
  });
};
