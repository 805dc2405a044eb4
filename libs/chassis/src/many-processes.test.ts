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
} from '@aitbc/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Child, ready, spawnStandIn } from './testing-processes/child.ts';
import { effectsOf, type OnMessage, standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

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
    ['payments', 'inbox:after-commit@3'],
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
});
