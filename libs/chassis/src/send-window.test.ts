import { newId } from '@aitbc/contracts';
import { eventually, rowSaying, scratchDirectory, scratchRedis, serviceEnv } from '@aitbc/testing';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { builder, type ChassisTables } from './index.ts';
import { createSendWindow, WINDOW_BYTES, WINDOW_MESSAGES } from './send-window.ts';
import { effectsOf, startStandIn } from './testing-processes/stand-in.ts';

const db = builder<ChassisTables>();
type StandIn = Awaited<ReturnType<typeof startStandIn>>;

let redisUrl: string;
let directory: string;
let redis: Redis;
let services: StandIn[];
const start = async (name: 'jobs' | 'payments'): Promise<StandIn> => {
  const service = await startStandIn(
    name,
    serviceEnv(name, directory, redisUrl),
    (reason) => expect.fail(reason),
    () => {},
  );
  services.push(service);
  return service;
};
beforeEach(async () => {
  redisUrl = await scratchRedis();
  directory = scratchDirectory();
  redis = new Redis(redisUrl);
  services = [];
});
afterEach(async () => {
  redis.disconnect();
  for (const service of services) await service.stop();
});

/** Says `count` messages of `bytes` each. */
const say = async (jobs: StandIn, count: number, bytes: number) => {
  // Large ones a few at a time: a transaction has a second.
  const step = bytes > 0 ? 20 : 500;
  for (let from = 1; from <= count; from += step)
    await jobs.store.transact('test.say', async (trx) => {
      const rows = Array.from({ length: Math.min(step, count - from + 1) }, (_, index) => {
        const payload = JSON.stringify({
          job_id: newId(),
          account_id: newId(),
          credential_id: null,
          spend_cap_minor: null,
          payment_amount_minor: null,
          submitted_at_ms: 1,
        }).padEnd(bytes);
        const row = rowSaying('jobs.submitted', payload, jobs.store);
        return { destination: 'payments', seq: from + index, created_at_ms: 1, ...row };
      });
      await trx.run(db.insertInto('outbox').values(rows));
      trx.notify('outbox:payments');
    });
};
/** What waits in Redis for payments: messages, and bytes. */
const waiting = async () => {
  const list = (await redis.keys('*payments-inbox:wait'))[0] ?? '';
  const prefix = list.slice(0, -'wait'.length);
  const texts = await Promise.all(
    (await redis.lrange(list, 0, -1)).map((id) => redis.hget(prefix + id, 'data')),
  );
  const messages = texts.flatMap((text) => JSON.parse(JSON.parse(text ?? '{}').text).messages as unknown[]);
  return { messages: messages.length, bytes: texts.join('').length };
};
/** Looks until the relay has come to rest: for a second nothing was added. */
const atRest = async () => {
  let entries = 0;
  let atMs = 0;
  await eventually(
    async () => {
      const list = (await redis.keys('*payments-inbox:wait'))[0] ?? '';
      const now = await redis.llen(list);
      if (now === 0 || now !== entries) atMs = performance.now();
      entries = now;
      return now > 0 && performance.now() - atMs > 1_000;
    },
    { withinMs: 30_000 },
  );
  return waiting();
};
const heardAll = (payments: StandIn, count: number) =>
  eventually(async () => (await effectsOf(payments.store, 'jobs.submitted')).size === count, {
    withinMs: 30_000,
  });

test('a receiver that is away has so many messages waiting in Redis; the rest waits in the file and comes after them', async () => {
  const jobs = await start('jobs');
  await say(jobs, WINDOW_MESSAGES + 1_000, 0);
  const { messages } = await atRest();
  expect(messages).toBeGreaterThanOrEqual(WINDOW_MESSAGES);
  expect(messages).toBeLessThanOrEqual(WINDOW_MESSAGES + 100);
  const payments = await start('payments');
  await heardAll(payments, WINDOW_MESSAGES + 1_000);
  expect(new Set((await effectsOf(payments.store, 'jobs.submitted')).values())).toEqual(new Set([1]));
}, 120_000);

test('a receiver says what it heard as soon as it is a tenth of a window, so that its sender goes on', async () => {
  const count = 2 * WINDOW_MESSAGES;
  // The monitor must not hear the greetings of the connection it was made from.
  await redis.ping();
  const watching = await redis.monitor();
  const said: number[] = [];
  // It shows all of the server, which other files use, too: each has a database of its own.
  watching.on('monitor', (_time: string, args: string[], _source: string, database: string) => {
    const [command = '', key = '', ...values] = args;
    if (database !== String(redis.options.db ?? 0)) return;
    const watermark = /(\d+):\d+/.exec(values.at(-1) ?? '')?.[1];
    if (command.toLowerCase() === 'hset' && key.endsWith(':ack:payments')) said.push(Number(watermark));
  });
  const jobs = await start('jobs');
  const payments = await start('payments');
  await say(jobs, count, 0);
  await heardAll(payments, count);
  await eventually(() => said.at(-1) === count);
  watching.disconnect();
  // By the clock alone it hears up to a window between two of them. Before the first one it may have had no connection yet.
  const steps = said.slice(1).map((watermark, index) => watermark - (said[index] as number));
  expect(Math.max(...steps)).toBeLessThan(WINDOW_MESSAGES / 2);
}, 120_000);

test('large messages fill it by their bytes', async () => {
  const jobs = await start('jobs');
  await say(jobs, 150, 100 * 1024);
  const { messages, bytes } = await atRest();
  expect(messages).toBeLessThan(100);
  expect(bytes).toBeLessThan(WINDOW_BYTES * 1.1);
  // Redis loses them: they come again, and not more at once.
  await redis.flushdb();
  expect((await atRest()).bytes).toBeLessThan(WINDOW_BYTES * 1.1);
  const payments = await start('payments');
  await heardAll(payments, 150);
}, 120_000);

test('it counts what is under way, whatever is acknowledged twice or ahead', () => {
  const window = createSendWindow();
  window.sent(60, 60, 10);
  window.sent(100, WINDOW_MESSAGES - 60, 10);
  expect(window.isFull()).toBe(true);
  window.acknowledged(59);
  expect(window.isFull()).toBe(true);
  window.acknowledged(60);
  window.acknowledged(60);
  expect(window.isFull()).toBe(false);
  window.sent(101, 1, WINDOW_BYTES);
  expect(window.isFull()).toBe(true);
  window.acknowledged(500);
  expect(window.isFull()).toBe(false);
});
