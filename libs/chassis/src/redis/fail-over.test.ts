import { newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  hasRedisServer,
  scratchDirectory,
  serviceEnv,
  someone,
  startCluster,
  startSentinel,
} from '@aitbc/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { effectsOf, standInRoutes, startStandIn } from '../testing-processes/stand-in.ts';

// A fail-over may lose the last that was written: hints. Each message still has exactly one effect.
vi.setConfig({ testTimeout: 90_000 });

type StandIn = Awaited<ReturnType<typeof startStandIn>>;
const client = someone(['client']);
let stops: (() => Promise<void>)[];
let said: string[];
beforeEach(() => {
  stops = [];
  said = [];
});
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
});

const startPair = async (redisUrl: string): Promise<[StandIn, StandIn]> => {
  const directory = scratchDirectory();
  const start = async (name: 'jobs' | 'payments') => {
    const service = await startStandIn(name, serviceEnv(name, directory, redisUrl), (reason) =>
      expect.fail(reason),
    );
    stops.push(service.stop);
    return service;
  };
  return [await start('jobs'), await start('payments')];
};
const say = async (service: StandIn, count: number) => {
  const job_ids = Array.from({ length: count }, newId);
  const reply = await callerOf(service.url, client).call(standInRoutes.say, { body: { job_ids } });
  expect(reply.status).toBe(201);
  said.push(...job_ids);
};
const unacknowledged = async (service: StandIn) =>
  Number(
    /^outbox_unacknowledged\{.*\} (\d+)$/m.exec(await (await fetch(`${service.url}/metrics`)).text())?.[1],
  );
const settled = async (jobs: StandIn, payments: StandIn) => {
  await eventually(async () => (await unacknowledged(jobs)) + (await unacknowledged(payments)) === 0, {
    withinMs: 60_000,
    everyMs: 100,
  });
  const once = new Map(said.map((id) => [id, 1]));
  expect(await effectsOf(payments.store, 'jobs.submitted')).toEqual(once);
  expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(once);
};
const redisHealth = async (service: StandIn) =>
  ((await (await fetch(`${service.url}/health/ready`)).json()) as { dependencies: { redis: object } })
    .dependencies.redis;

test.skipIf(!hasRedisServer)(
  'a cluster: queues lie on several masters; one dies and its replica takes over, another comes back',
  async () => {
    const cluster = await startCluster(scratchDirectory(), { replicas: 1 });
    stops.push(cluster.stop);
    const [jobs, payments] = await startPair(cluster.url);
    await say(jobs, 100);
    await settled(jobs, payments);
    expect(await redisHealth(jobs)).toMatchObject({ ok: true });

    const keyOf = (queue: string) => `test:bull:{test:bull:${queue}}:${queue}:wait`;
    const mailboxes = ['gateway', 'jobs', 'miners', 'market', 'payments', 'governance', 'dispatcher'];
    const masters = mailboxes.map((name) => cluster.masterOf(keyOf(`${name}-inbox`)));
    expect(new Set(masters).size).toBeGreaterThan(1);

    const holder = cluster.masterOf(keyOf('payments-inbox'));
    await say(jobs, 50);
    await holder.kill();
    for (let turn = 0; turn < 10; turn += 1) await say(jobs, 5);
    await settled(jobs, payments);
    expect(cluster.masterOf(keyOf('payments-inbox'))).not.toBe(holder);

    // The old one is back as a replica, and the new one dies: it has the place again.
    await holder.start();
    await eventually(async () => (await holder.client.info('replication')).includes('master_link_status:up'));
    const second = cluster.masterOf(keyOf('payments-inbox'));
    await second.kill();
    await say(jobs, 50);
    await settled(jobs, payments);
  },
);

test.skipIf(!hasRedisServer)('Sentinels: the master dies, and everything goes on at the next', async () => {
  const sentinel = await startSentinel(scratchDirectory());
  stops.push(sentinel.stop);
  const [jobs, payments] = await startPair(sentinel.url);
  await say(jobs, 100);
  await settled(jobs, payments);
  const first = sentinel.master();
  await say(jobs, 50);
  await first.kill();
  for (let turn = 0; turn < 10; turn += 1) await say(jobs, 5);
  await settled(jobs, payments);
  expect(sentinel.master()).not.toBe(first);
  await eventually(async () => 'ok' in (await redisHealth(jobs)));
});
