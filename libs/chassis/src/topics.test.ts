import { eventually, scratchRedis, TEST_PREFIX, TEST_SECRET } from '@aitbc/testing';
import { Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { connectRedis, createLog, createMetrics, createPostal, type Store } from './index.ts';
import { linkTopics } from './topics.ts';

const log = createLog('jobs', 'silent');
const postal = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX });
const channel = `${TEST_PREFIX}:topics:jobs`;
const slow = { withinMs: 20_000 };
let stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops) stop();
  stops = [];
});

/** A process of jobs: what it says, and what wakes it. */
const join = async (redisUrl: string) => {
  const redis = connectRedis(redisUrl, log);
  const woken: string[] = [];
  const metrics = createMetrics('jobs');
  let say: (topics: readonly string[]) => void = () => {};
  const store = {
    linkTopics: (publish: typeof say) => {
      say = publish;
      return (topics: readonly string[]) => woken.push(...topics);
    },
  } as unknown as Store;
  const link = linkTopics({ service: 'jobs', store, redis, redisUrl, postal, log, metrics });
  stops.push(() => {
    link.stop();
    redis.disconnect();
  });
  await eventually(() => redis.status === 'ready', slow);
  const forgeries = async () =>
    (await metrics.forgeries.get()).values.find(({ labels }) => labels.what === 'topics')?.value ?? 0;
  return { woken, forgeries, say: (topics: readonly string[]) => say(topics) };
};

test('what one says wakes the others and not itself; who can write to Redis can only say it again', async () => {
  const redisUrl = await scratchRedis();
  const stranger = new Redis(redisUrl);
  const ear = new Redis(redisUrl);
  stops.push(
    () => stranger.disconnect(),
    () => ear.disconnect(),
  );
  const heard: string[] = [];
  ear.on('message', (_channel, text) => heard.push(text));
  await ear.subscribe(channel);
  const [here, there] = [await join(redisUrl), await join(redisUrl)];
  await eventually(() => {
    here.say(['job:1', 'x'.repeat(500)]);
    return there.woken.length > 0;
  }, slow);
  expect(there.woken[0]).toBe('job:1');
  expect(new Set(there.woken)).toEqual(new Set(['job:1']));
  expect(here.woken).toEqual([]);

  const said = heard[0] as string;
  const forged = [
    said.replace('job:1', 'job:2'),
    'A'.repeat(200_000),
    '',
    postal.envelopes.sealTopics('payments', '{"from":"x","topics":["job:3"]}'),
    JSON.stringify(postal.envelopes.seal('jobs', 'jobs', '{"from":"x","topics":["job:4"]}')),
  ];
  for (const text of forged) await stranger.publish(channel, text);
  const before = there.woken.length;
  await stranger.publish(channel, said);
  await eventually(() => there.woken.length > before, slow);
  expect(new Set(there.woken)).toEqual(new Set(['job:1']));
  // The longest is dropped by its length, before anything is computed.
  expect(await there.forgeries()).toBe(4);
  // And what is said here is nothing to a mailbox.
  expect(postal.envelopes.open('jobs', said)).toBe(null);

  const many = there.woken.length;
  for (let n = 0; n < 10_000; n += 1) void stranger.publish(channel, said);
  await stranger.ping();
  here.say(['job:5']);
  await eventually(() => {
    here.say(['job:5']);
    return there.woken.includes('job:5');
  }, slow);
  expect(there.woken.length - many).toBeLessThan(10_000);
});
