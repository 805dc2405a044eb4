import { newId } from '@aitbc/contracts';
import {
  type Broker,
  callerOf,
  eventually,
  findBroker,
  scratchDirectory,
  serviceEnv,
  someone,
} from '@aitbc/testing';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { ready, spawnStandIn } from './testing-processes/child.ts';
import { effectsOf, standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

// Redis holds hints, SQLite holds facts: whatever happens to Redis, each message has exactly one effect.
vi.setConfig({ testTimeout: 120_000 });

type StandIn = Awaited<ReturnType<typeof startStandIn>>;
const client = someone(['client']);

let broker: Broker;
let services: StandIn[];
let directory: string;
let said: string[];

beforeAll(async () => {
  const env: NodeJS.ProcessEnv = { ...process.env };
  // A broker of our own: this file takes it down.
  delete env.REDIS_URL;
  broker = await findBroker({ dataDir: scratchDirectory(), log: () => {}, env });
});
afterAll(() => broker.stop());
beforeEach(async () => {
  services = [];
  directory = scratchDirectory();
  said = [];
  // What a worker held when the server went away is handed out again seconds later: to the next test, with files of its own.
  const redis = new Redis(broker.url);
  await redis.flushall();
  redis.disconnect();
});
afterEach(async () => {
  for (const service of services) await service.stop();
});

const start = async (name: 'jobs' | 'payments') => {
  const service = await startStandIn(name, serviceEnv(name, directory, broker.url), (reason) =>
    expect.fail(reason),
  );
  services.push(service);
  return service;
};
const say = async (url: string, count: number) => {
  const job_ids = Array.from({ length: count }, newId);
  const reply = await callerOf(url, client).call(standInRoutes.say, { body: { job_ids } });
  expect(reply.status).toBe(201);
  said.push(...job_ids);
};
const unacknowledged = async (url: string) => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^outbox_unacknowledged\{.*\} (\d+)$/m.exec(text)?.[1]);
};
/** All went round, and the senders know it: nothing will be sent again. */
const settled = async (jobs: StandIn, payments: StandIn) => {
  await eventually(
    async () => (await unacknowledged(jobs.url)) + (await unacknowledged(payments.url)) === 0,
    { withinMs: 40_000, everyMs: 100 },
  );
  const once = new Map(said.map((id) => [id, 1]));
  expect(await effectsOf(payments.store, 'jobs.submitted')).toEqual(once);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(once);
};

test('FLUSHDB at any moment loses nothing and doubles nothing', async () => {
  const jobs = await start('jobs');
  const payments = await start('payments');
  const redis = new Redis(broker.url);
  for (let turn = 0; turn < 30; turn += 1) {
    await say(jobs.url, 20);
    // At once, so that it meets batches written, waiting, in hand and just done.
    if (turn % 3 === 0) await redis.flushdb();
  }
  await settled(jobs, payments);
  redis.disconnect();
});

test('FLUSHDB takes the last that was sent, with nobody there to miss it: it is sent again', async () => {
  const jobs = await start('jobs');
  const redis = new Redis(broker.url);
  await redis.flushdb();
  await say(jobs.url, 20);
  await eventually(async () => (await redis.llen('test:bull:payments-inbox:wait')) > 0);
  await redis.flushdb();
  redis.disconnect();
  await settled(jobs, await start('payments'));
});

test('Redis away: intake answers, and when it is back everything arrives once', async () => {
  const jobs = await start('jobs');
  const payments = await start('payments');
  await say(jobs.url, 50);
  await broker.stop();
  const startedAt = performance.now();
  let slowestMs = 0;
  while (performance.now() - startedAt < 5_000) {
    const before = performance.now();
    await say(jobs.url, 5);
    slowestMs = Math.max(slowestMs, performance.now() - before);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(slowestMs).toBeLessThan(1_000);
  const health = await fetch(`${jobs.url}/health/ready`);
  expect(health.status).toBe(200);
  expect(await health.json()).toMatchObject({ dependencies: { redis: { ok: false, required: false } } });
  await broker.start();
  await say(jobs.url, 50);
  await settled(jobs, payments);
});

test('Redis away at the start: the services stand up, take work, and deliver it later', async () => {
  await broker.stop();
  const jobs = await start('jobs');
  const payments = await start('payments');
  await say(jobs.url, 50);
  await broker.start();
  await settled(jobs, payments);
});

test('a stop with Redis away ends clean and soon, and keeps what was said', async () => {
  const env = serviceEnv('jobs', directory, broker.url);
  const child = await ready(await spawnStandIn({ ...env, STAND_IN: 'jobs' }));
  await eventually(async () => {
    const health = (await (await fetch(`${child.url}/health/ready`)).json()) as {
      dependencies: { redis: { ok: boolean } };
    };
    return health.dependencies.redis.ok;
  });
  await broker.stop();
  await say(child.url, 10);
  const slow = callerOf(child.url, client).call(standInRoutes.slow, { body: { ms: 1_000 } });
  // Answered on a later connection: the slow one has arrived.
  await fetch(`${child.url}/health`);
  const before = performance.now();
  child.process.kill('SIGTERM');
  expect((await slow).status).toBe(200);
  expect([await child.ended, child.output()]).toEqual([[0, null], '']);
  expect(performance.now() - before).toBeLessThan(5_000);

  const neverConnected = await ready(await spawnStandIn({ ...env, STAND_IN: 'jobs' }));
  neverConnected.process.kill('SIGTERM');
  expect([await neverConnected.ended, neverConnected.output()]).toEqual([[0, null], '']);

  await broker.start();
  await settled(await start('jobs'), await start('payments'));
});
