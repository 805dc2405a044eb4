import { inboxQueue } from '@aitbc/contracts';
import { eventually, scratchRedis, TEST_PREFIX, TEST_SECRET } from '@aitbc/testing';
import { Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { connectRedis, createLog, createMetrics, createPostal, openReceiver, openSender } from './index.ts';

const log = createLog('jobs', 'silent');
const postal = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX });
const entries = `${TEST_PREFIX}:bull:${inboxQueue('jobs')}:id`;
const batch = { stream: 'a dispatcher', messages: [] };
let stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  stops = [];
});

const setUp = async () => {
  const redisUrl = await scratchRedis();
  const redis = connectRedis(redisUrl, log);
  const plain = new Redis(redisUrl);
  const channel = `${TEST_PREFIX}:direct:${plain.options.db}:${inboxQueue('jobs')}`;
  stops.push(
    () => redis.disconnect(),
    () => plain.disconnect(),
  );
  await eventually(() => redis.status === 'ready');
  const sender = openSender({ from: 'dispatcher', to: 'jobs', isDirect: true, redis, postal });
  stops.push(() => sender.close());
  const metrics = createMetrics('jobs');
  const forgeries = async () =>
    (await metrics.forgeries.get()).values.find(({ labels }) => labels.what === 'batch')?.value ?? 0;
  const receive = async (process: () => Promise<void>) => {
    const receiver = openReceiver({
      to: 'jobs',
      postal,
      redisUrl,
      log,
      metrics,
      process,
      onStuck: () => {},
      direct: redis,
    });
    stops.push(() => receiver.stop());
    await eventually(async () => expect(await plain.pubsub('NUMSUB', channel)).toEqual([channel, 1]));
  };
  const mailed = async () => Number((await plain.get(entries)) ?? 0);
  return { plain, channel, sender, receive, forgeries, mailed };
};

test('what is said directly is heard by who listens, and never was in the mailbox', async () => {
  const { sender, receive, mailed } = await setUp();
  let heard = 0;
  await receive(async () => {
    heard += 1;
  });
  await sender.send(batch);
  await eventually(() => heard === 1);
  expect(await mailed()).toBe(0);
});

test('while nobody listens it waits in the mailbox', async () => {
  const { sender, receive, mailed } = await setUp();
  await sender.send(batch);
  expect(await mailed()).toBe(1);
  let heard = 0;
  await receive(async () => {
    heard += 1;
  });
  await eventually(() => heard === 1);
});

test('what could not be handled comes again, by the mailbox', async () => {
  const { sender, receive, mailed } = await setUp();
  let heard = 0;
  await receive(async () => {
    heard += 1;
    if (heard === 1) throw new Error('the disk is full');
  });
  await sender.send(batch);
  await eventually(() => heard === 2);
  expect(await mailed()).toBe(1);
});

test('what a stranger says is dropped and counted', async () => {
  const { plain, channel, sender, receive, forgeries } = await setUp();
  let heard = 0;
  await receive(async () => {
    heard += 1;
  });
  const envelope = postal.envelopes.seal('dispatcher', 'jobs', JSON.stringify(batch));
  for (const text of [
    'no JSON',
    JSON.stringify({ ...envelope, text: `${envelope.text} ` }),
    JSON.stringify(postal.envelopes.seal('dispatcher', 'payments', envelope.text)),
  ])
    await plain.publish(channel, text);
  await eventually(async () => expect(await forgeries()).toBe(3));
  await sender.send(batch);
  await eventually(() => heard === 1);
});

test('who says it over and over is heard so often at once, and no more', async () => {
  const { plain, channel, sender, receive, mailed } = await setUp();
  const done = Promise.withResolvers<void>();
  let heard = 0;
  await receive(async () => {
    heard += 1;
    await done.promise;
  });
  const said = JSON.stringify(postal.envelopes.seal('dispatcher', 'jobs', JSON.stringify(batch)));
  const pipeline = plain.pipeline();
  for (let at = 0; at < 700; at++) pipeline.publish(channel, said);
  await pipeline.exec();
  await eventually(() => heard === 500);
  done.resolve();
  // With room again it is heard; those beyond never were.
  await eventually(async () => {
    await sender.send(batch);
    return heard > 500;
  });
  expect(heard).toBeLessThan(600);
  expect(await mailed()).toBe(0);
});
