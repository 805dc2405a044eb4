import { newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  hasPostgres,
  type PostgresServer,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  startPostgres,
  TEST_PREFIX,
  TEST_SECRET,
} from '@aitbc/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { builder, type ChassisTables, connectRedis, createLog, createPostal, openSender } from './index.ts';
import { type Child, ready, spawnStandIn } from './testing-processes/child.ts';
import { effectsOf, type OnMessage, standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const db = builder<ChassisTables>();

type StandIn = Awaited<ReturnType<typeof startStandIn>>;
type Name = 'jobs' | 'payments';

const client = someone(['client']);
const slow = { withinMs: 60_000, everyMs: 50 };

describe.skipIf(!hasPostgres)('several processes of each service on one PostgreSQL', () => {
  let server: PostgresServer;
  let databaseUrl: string;
  let redisUrl: string;
  let directory: string;
  let children: Child[];
  let inProcess: StandIn[];
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    databaseUrl = await server.database();
    redisUrl = await scratchRedis();
    directory = scratchDirectory();
    children = [];
    inProcess = [];
  });
  afterEach(async () => {
    for (const child of children) child.process.kill('SIGKILL');
    await Promise.all(children.map(({ ended }) => ended));
    await Promise.all(inProcess.map((service) => service.stop()));
  });

  const envOf = (name: Name, more: Record<string, string> = {}) => ({
    ...serviceEnv(name, directory, redisUrl),
    DATABASE_URL: databaseUrl,
    STAND_IN: name,
    ...more,
  });
  const spawn = async (name: Name, more: Record<string, string>): Promise<Child> => {
    const child = await spawnStandIn(envOf(name, more));
    children.push(child);
    return ready(child);
  };
  const start = async (name: Name, onMessage?: OnMessage): Promise<StandIn> => {
    const service = await startStandIn(name, envOf(name), (reason) => expect.fail(reason), onMessage);
    inProcess.push(service);
    return service;
  };
  const say = (url: string, job_ids: string[]) =>
    callerOf(url, client).call(standInRoutes.say, { body: { job_ids } });
  const some = (count = 10) => Array.from({ length: count }, newId);

  /** What was said went there, had its answer, and had each effect once. */
  const expectAllOnce = async (jobs: StandIn, payments: StandIn, answered: readonly string[]) => {
    const said = await eventually(async () => {
      const all = await effectsOf(jobs.store, 'said');
      const back = await effectsOf(jobs.store, 'payments.escrowed');
      return back.size === all.size && all.size > 0 && all;
    }, slow);
    expect([...said.keys()]).toEqual(expect.arrayContaining([...answered]));
    expect(new Set(said.values())).toEqual(new Set([1]));
    expect(await effectsOf(payments.store, 'jobs.submitted')).toEqual(said);
    expect(await effectsOf(jobs.store, 'payments.escrowed')).toEqual(said);
  };

  const steps = [
    ['jobs', 'relay:before-publish@3'],
    ['jobs', 'relay:after-publish@3'],
    ['jobs', 'relay:before-purge'],
    ['jobs', 'store:commit-under-way@12'],
    ['payments', 'inbox:before-commit@3'],
  ] as const;
  test.each(steps)('%s killed at %s: the others carry on what it left', async (victim, failpoint) => {
    const killed = await spawn(victim, { FAILPOINT: failpoint });
    const [jobs, payments] = await Promise.all([start('jobs'), start('payments')]);
    const talksTo = victim === 'jobs' ? [killed.url, jobs.url] : [jobs.url];

    const answered: string[] = [];
    await eventually(async () => {
      const ids = some(5);
      const url = talksTo[answered.length % talksTo.length] as string;
      const reply = await say(url, ids).catch(() => undefined);
      if (reply?.status === 201) answered.push(...ids);
      return killed.process.signalCode !== null || killed.process.exitCode !== null;
    }, slow);
    expect(await killed.ended).toEqual([null, 'SIGKILL']);
    const last = some(5);
    expect(await say(jobs.url, last)).toMatchObject({ status: 201 });
    await expectAllOnce(jobs, payments, [...answered, ...last]);
    await eventually(() => jobs.store.leads() && jobs.store.streams.held().length === 1, slow);
  });

  test('PostgreSQL is killed and started again under all of them', async () => {
    const [jobs, other, payments, beside] = await Promise.all([
      start('jobs'),
      start('jobs'),
      start('payments'),
      start('payments'),
    ]);
    const answered: string[] = [];
    let isOver = false;
    const talk = async (url: string): Promise<void> => {
      while (!isOver) {
        const ids = some(5);
        const reply = await say(url, ids);
        if (reply.status === 201) answered.push(...ids);
        else expect(reply.status).toBe(503);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    const talking = [jobs, other].map(({ url }) => talk(url));
    await eventually(() => answered.length > 50, slow);
    await server.kill();
    await server.start();
    const before = answered.length;
    await eventually(() => answered.length > before + 50, slow);
    isOver = true;
    await Promise.all(talking);
    await expectAllOnce(jobs, payments, answered);
    const all = [jobs, other, payments, beside];
    const places = () => [jobs, other].map(({ store }) => store.place).sort();
    await eventually(() => all.every(({ store }) => store.streams.held().length === 1), slow);
    expect(places()).toEqual([0, 1]);
  });

  test('one of them wakes who waits in another; without Redis it looks again within 2 s', async () => {
    const [jobs, other] = await Promise.all([start('jobs'), start('jobs')]);
    let calls = 0;
    other.store.subscribe('a topic', () => {
      calls += 1;
    });
    const startedAt = performance.now();
    await eventually(() => calls > 0, slow);
    // By itself, as nobody notified.
    expect(performance.now() - startedAt).toBeGreaterThan(1_000);
    const before = calls;
    const notifiedAt = performance.now();
    await eventually(async () => {
      await jobs.store.transact('notify', (trx) => trx.notify('a topic'));
      return calls > before;
    }, slow);
    expect(performance.now() - notifiedAt).toBeLessThan(1_500);
  });

  test('two processes hear one stream, out of order and most of it twice: each message has one effect', async () => {
    const [one, two] = await Promise.all([start('jobs'), start('jobs')]);
    const ids = some(300);
    const message = (seq: number) => ({
      seq,
      name: 'payments.escrowed',
      version: 1,
      payload: { payment_id: newId(), job_id: ids[seq - 1], amount_minor: 1 },
    });
    /** Entries of other sizes the second time, as when a part of it is sent again. */
    const entries = [10, 7].flatMap((size) =>
      Array.from({ length: Math.ceil(ids.length / size) }, (_, n) =>
        Array.from({ length: size }, (__, m) => n * size + m + 1).filter((seq) => seq <= ids.length),
      ),
    );
    for (const seqs of entries.sort(() => Math.random() - 0.5))
      await one.publish({ stream: 'peer-1', messages: seqs.map(message) });
    const stream = () =>
      one.store.read.get(db.selectFrom('inbox_stream').selectAll().where('stream', '=', 'peer-1'));
    await eventually(async () => (await stream())?.watermark === ids.length, slow);
    await eventually(
      async () => (await two.store.read.all(db.selectFrom('inbox_ahead').selectAll())).length === 0,
      slow,
    );
    expect(await effectsOf(two.store, 'payments.escrowed')).toEqual(new Map(ids.map((id) => [id, 1])));
  });

  test('a message that fails is tried again by one of them, once; a place has a mailbox of its own', async () => {
    const tries: string[] = [];
    const heard: [number, string][] = [];
    const starting = [0, 1].map((n) =>
      start('jobs', (_trx, name, { job_id = '' }) => {
        if (name !== 'payments.escrowed') return void heard.push([n, name]);
        tries.push(job_id);
        if (tries.filter((id) => id === job_id).length === 1) throw new Error('not yet');
      }),
    );
    const both = await Promise.all(starting);
    const ids = some(5);
    for (const [index, job_id] of ids.entries())
      await both[0]?.publish({
        stream: 'peer-1',
        messages: [
          {
            seq: index + 1,
            name: 'payments.escrowed',
            version: 1,
            payload: { payment_id: newId(), job_id, amount_minor: 1 },
          },
        ],
      });
    const { store } = both[0] as StandIn;
    await eventually(async () => (await effectsOf(store, 'payments.escrowed')).size === ids.length, slow);
    expect(await effectsOf(store, 'payments.escrowed')).toEqual(new Map(ids.map((id) => [id, 1])));
    expect(await store.read.all(db.selectFrom('dead_letter').selectAll())).toEqual([]);

    const redis = connectRedis(redisUrl, createLog('test', 'silent'));
    const postal = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX });
    await eventually(() => redis.status === 'ready', slow);
    const hint = { poll_id: newId(), miner_id: newId(), job_ids: [newId()] };
    for (const { store: of } of both) {
      const sender = openSender({ from: 'dispatcher', to: 'jobs', place: of.place, redis, postal });
      const one = { seq: null, name: 'dispatch.matched', version: 1, payload: hint };
      await sender.send({ stream: 'dispatcher', messages: [one, one, one] });
      await sender.close();
    }
    await eventually(() => heard.length >= 6, slow);
    expect(heard.filter(([n]) => n === 0)).toHaveLength(3);
    redis.disconnect();
  });
});
