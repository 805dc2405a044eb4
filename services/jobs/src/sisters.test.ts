import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { CALLER_HEADER, deriveKey, signCaller } from '@aitbc/chassis';
import { type Caller, jobsRoutes, newId, type Payload } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  hasPostgres,
  killServices,
  openPeers,
  type PostgresServer,
  type Received,
  type ServiceProcess,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  spawnService,
  startPostgres,
  TEST_PREFIX,
  TEST_SECRET,
} from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { onlyFor, workFor } from './stack.fixture.ts';

const MAIN = new URL('./main.ts', import.meta.url);
const DISPATCHER = new URL('./dispatcher/main.ts', import.meta.url);

// Two processes of jobs and a dispatcher, real ones, on one schema.
describe.skipIf(!hasPostgres)('two processes of jobs on one PostgreSQL', () => {
  let postgres: PostgresServer;
  let database: string;
  let env: (name: string) => Record<string, string>;
  let one: ServiceProcess;
  let other: ServiceProcess;
  let peers: Awaited<ReturnType<typeof openPeers>>;
  let toPayments: Received[];

  const startJobs = () => spawnService(MAIN, { ...env('jobs'), DATABASE_URL: database });

  beforeAll(async () => {
    postgres = await startPostgres();
    database = await postgres.database();
    const redisUrl = await scratchRedis();
    const directory = scratchDirectory();
    env = (name) => serviceEnv(name, directory, redisUrl);
    peers = await openPeers(redisUrl);
    toPayments = peers.listen('payments');
    // At once, on a schema that is empty.
    [one, other] = await Promise.all([startJobs(), startJobs(), spawnService(DISPATCHER, env('dispatcher'))]);
  }, 120_000);
  afterAll(async () => {
    await killServices();
    await peers?.close();
    await postgres?.stop();
  });

  const sql = (text: string) => postgres.sql(text, new URL(database).pathname.slice(1));
  const both = () => [one, other];

  const newMiner = async (name: string, wish: Partial<Payload<'miners.changed'>> = {}) => {
    const caller = someone(['miner']);
    let offer: Payload<'miners.changed'> = {
      miner_id: newId(),
      account_id: caller.account_id,
      revision: 1,
      status: 'active',
      ...onlyFor(name),
      gpus: [],
      cuda_version: null,
      region: null,
      price_per_job_minor: 0,
      concurrency: 1,
      reputation: 1,
      ...wish,
    };
    await peers.send('miners.changed', offer, 'jobs');
    await eventually(
      async () => (await sql(`SELECT 1 FROM jobs.miner WHERE id = '${offer.miner_id}'`)).length > 0,
    );
    return {
      id: offer.miner_id,
      poll: async (at: ServiceProcess, wait_seconds = 20, max_jobs = 1) => {
        const reply = await callerOf(at.url, caller).call(jobsRoutes.poll, {
          query: { wait_seconds, miner_id: offer.miner_id, max_jobs },
        });
        if (!reply.ok) throw new Error(JSON.stringify(reply.body));
        return reply.body.items;
      },
      complete: (at: ServiceProcess, job: { id: string; lease: string }) =>
        callerOf(at.url, caller).call(jobsRoutes.result, {
          body: { job_id: job.id, lease: job.lease, status: 'completed', result: { ok: true } },
        }),
      fallSilent: async () => {
        offer = { ...offer, status: 'inactive', revision: offer.revision + 1 };
        await peers.send('miners.changed', offer, 'jobs');
      },
    };
  };
  const submit = async (
    at: ServiceProcess,
    caller: Caller,
    name: string,
    extra: object = {},
  ): Promise<string> => {
    const reply = await callerOf(at.url, caller).call(jobsRoutes.submit, {
      body: { ...workFor(name), ...extra },
    });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body.id;
  };
  const statusOf = async (at: ServiceProcess, caller: Caller, jobId: string, wait_seconds = 0) => {
    const reply = await callerOf(at.url, caller).call(jobsRoutes.status, {
      params: { job_id: jobId },
      query: { wait_seconds },
    });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body.status;
  };
  const endsOf = (jobId: string) =>
    toPayments.filter((m) => m.name === 'jobs.ended' && m.payload.job_id === jobId);

  /** Without having been given back in between. */
  const expectNoneRanTwice = async (): Promise<void> => {
    const twice = await sql(`
      SELECT job_seq FROM jobs.job_event GROUP BY job_seq
      HAVING count(*) FILTER (WHERE type = 'running') > 1 + count(*) FILTER (WHERE type = 'retrying')`);
    expect(twice).toEqual([]);
  };

  test('start at once on an empty schema: one key, a place each, one that leads', async () => {
    const keys = await Promise.all(
      both().map(async ({ url }) => (await callerOf(url, null).call(jobsRoutes.jwks, {})).body),
    );
    expect(keys[0]).toMatchObject({ keys: [{ kty: 'OKP' }] });
    expect(keys[1]).toEqual(keys[0]);
    expect(
      (await sql('SELECT place FROM jobs.store_stream ORDER BY place')).map(({ place }) => Number(place)),
    ).toEqual([0, 1]);
  });

  test('each job is leased once, answered where its poll is, reported anywhere, with one receipt', async () => {
    const client = someone(['client']);
    const miners = await Promise.all(Array.from({ length: 4 }, () => newMiner('shared', { concurrency: 2 })));
    const leased: string[] = [];
    const left = new Set<string>();
    let isSubmitted = false;
    const working = miners.map(async (miner, index) => {
      for (let turn = index; !isSubmitted || left.size > 0; turn++) {
        const [here, there] = turn % 2 === 0 ? [one, other] : [other, one];
        for (const job of await miner.poll(here, 2, 2)) {
          leased.push(job.id);
          expect((await miner.complete(there, job)).status).toBe(200);
          left.delete(job.id);
        }
      }
    });
    const ids = await Promise.all(
      Array.from({ length: 24 }, async (_, at) => {
        const id = await submit(at % 2 === 0 ? one : other, client, 'shared');
        return id;
      }),
    );
    for (const id of ids) if (!leased.includes(id)) left.add(id);
    isSubmitted = true;
    await Promise.all(working);
    await eventually(() => ids.every((id) => endsOf(id).length > 0));
    expect([...leased].sort()).toEqual([...ids].sort());
    for (const id of ids) expect(endsOf(id)).toHaveLength(1);
    const [{ n }] = (await sql('SELECT count(*)::int AS n FROM jobs.receipt')) as [{ n: number }];
    expect(n).toBe(ids.length);
    await expectNoneRanTwice();
  }, 90_000);

  test('a slot that is freed at one is offered to the poll at the other', async () => {
    const client = someone(['client']);
    const miner = await newMiner('slot');
    await submit(one, client, 'slot');
    const [first] = await miner.poll(one);
    const second = await submit(one, client, 'slot');
    const waiting = miner.poll(other);
    await pause(300);
    await miner.complete(one, first as { id: string; lease: string });
    expect((await waiting).map(({ id }) => id)).toEqual([second]);
  });

  test('a job that names a miner finds its poll at the other, waiting and later', async () => {
    const client = someone(['client']);
    const [equal, miner] = [await newMiner('named'), await newMiner('named', { concurrency: 2 })];
    const elsewhere = equal.poll(other);
    const waiting = miner.poll(other);
    await pause(300);
    const constraints = { miner_id: miner.id };
    const first = await submit(one, client, 'named', { constraints });
    expect((await waiting).map(({ id }) => id)).toEqual([first]);
    const second = await submit(one, client, 'named', { constraints });
    const open = await submit(one, client, 'named');
    expect((await elsewhere).map(({ id }) => id)).toEqual([open]);
    expect((await miner.poll(other)).map(({ id }) => id)).toEqual([second]);
  });

  test('a job that names a miner before it registers takes no place, and finds its poll at either', async () => {
    const client = someone(['client']);
    const waitsAt = [
      { submitted: one, polled: other },
      { submitted: other, polled: one },
      { submitted: one, polled: one },
    ];
    for (const { submitted, polled } of waitsAt) {
      const miner_id = newId();
      const jobId = await submit(submitted, client, 'unknown', { constraints: { miner_id } });
      await pause(300);
      expect(await peers.redis.zscore(`${TEST_PREFIX}:dispatch:named`, miner_id)).toBeNull();
      const miner = await newMiner('unknown', { miner_id });
      // The slow walk would offer it after ten seconds.
      expect((await miner.poll(polled, 5)).map(({ id }) => id)).toEqual([jobId]);
      expect(await peers.redis.zscore(`${TEST_PREFIX}:dispatch:named`, miner_id)).not.toBeNull();
    }
  });

  const key = deriveKey(TEST_SECRET, 'caller');
  const watch = (at: ServiceProcess, caller: Caller, jobId: string): Promise<Response> => {
    const path = `/v1/client/jobs/${jobId}/events`;
    const envelope = { caller, request_id: newId(), at_ms: Date.now() };
    return fetch(at.url + path, { headers: { [CALLER_HEADER]: signCaller(key, envelope, 'GET', path) } });
  };

  /** How long it takes, in ms, from a cancel at one until the other has told of it. */
  const untilSeen = async (how: 'status' | 'events'): Promise<number> => {
    const client = someone(['client']);
    const jobId = await submit(other, client, newId());
    const seen =
      how === 'status'
        ? statusOf(one, client, jobId, 20)
        : watch(one, client, jobId).then((reply) => reply.text());
    await pause(150);
    await callerOf(other.url, client).call(jobsRoutes.cancel, { params: { job_id: jobId } });
    const cancelledAt = performance.now();
    expect(await seen).toContain('cancelled');
    return performance.now() - cancelledAt;
  };

  test('who watches at one sees at once what happens at the other', async () => {
    const took: number[] = [];
    // The quickest: a busy machine may delay some. Two seconds is what it takes without news.
    for (let at = 0; at < 3; at++)
      took.push(Math.max(...(await Promise.all([untilSeen('status'), untilSeen('events')]))));
    expect(Math.min(...took)).toBeLessThan(500);
  });

  test('...and within two seconds when no news travels', async () => {
    await peers.redis.call('ACL', 'SETUSER', 'default', 'resetchannels');
    try {
      const took = await Promise.all([untilSeen('status'), untilSeen('events'), untilSeen('status')]);
      expect(Math.min(...took)).toBeLessThan(2_500);
      expect(Math.max(...took)).toBeLessThan(8_000);
    } finally {
      await peers.redis.call('ACL', 'SETUSER', 'default', 'allchannels');
    }
  });

  test('cancelled at one while it is leased and reported at the other: one of the two happens', async () => {
    const client = someone(['client']);
    const race = async (delayMs: number): Promise<void> => {
      const name = newId();
      const miner = await newMiner(name);
      const polling = miner.poll(other, 2);
      const jobId = await submit(other, client, name);
      const cancelling = pause(delayMs).then(() =>
        callerOf(one.url, client).call(jobsRoutes.cancel, { params: { job_id: jobId } }),
      );
      const [job] = await polling;
      const reported = job === undefined ? undefined : await miner.complete(other, job);
      const cancelled = await cancelling;
      expect([cancelled.ok, reported?.ok === true].filter(Boolean)).toHaveLength(1);
      const status = await statusOf(one, client, jobId);
      expect(status).toBe(cancelled.ok ? 'cancelled' : 'completed');
      await eventually(() => endsOf(jobId).length > 0);
      expect(endsOf(jobId)).toHaveLength(1);
    };
    await Promise.all([0, 1, 5, 20, 0, 1, 5, 20].map(race));
  });

  test('one is killed with open polls and matches under way: the other goes on, nothing is stuck, nothing runs twice', async () => {
    const client = someone(['client']);
    const doomed = await Promise.all(Array.from({ length: 6 }, () => newMiner('killed', { concurrency: 4 })));
    const faithful = await Promise.all(
      Array.from({ length: 3 }, () => newMiner('killed', { concurrency: 4 })),
    );
    // A first job says that each is known here, and where: so all polls below are open at `other`.
    const polls = doomed.map((miner) => miner.poll(other, 20, 4).catch(() => []));
    await eventually(async () => {
      const names = await peers.redis.zrange('test:dispatch:idle:near', '0', '-1');
      return names.filter((name) => name.includes('@')).length >= doomed.length;
    });
    // It answers nobody from here on, as one that is about to die: what is proposed to it is left in its mailbox.
    other.child.kill('SIGSTOP');
    const ids = await Promise.all(Array.from({ length: 12 }, () => submit(one, client, 'killed')));
    await eventually(async () => {
      const records = await peers.redis.mget(ids.map((id) => `test:dispatch:job:${id}`));
      return records.some((record) => record?.startsWith('='));
    });
    const ended = once(other.child, 'exit');
    other.child.kill('SIGKILL');
    await ended;
    const killedAt = performance.now();
    await Promise.all(polls);
    // What was leased by it and never answered: its miner says so.
    for (const miner of doomed) await miner.fallSilent();
    const left = new Set(ids);
    const working = faithful.map(async (miner) => {
      while (left.size > 0)
        for (const job of await miner.poll(one, 2, 4)) {
          expect((await miner.complete(one, job)).status).toBe(200);
          left.delete(job.id);
        }
    });
    await Promise.all(working);
    // Four seconds until its polls count no more, one until that is noticed, one until all is offered again.
    expect(performance.now() - killedAt).toBeLessThan(15_000);
    await expectNoneRanTwice();
    await eventually(() => ids.every((id) => endsOf(id).length === 1));

    // Another takes its place, and serves at once.
    other = await startJobs();
    const miner = faithful[0] as (typeof faithful)[0];
    const waiting = miner.poll(other);
    const next = await submit(one, client, 'killed');
    expect((await waiting).map(({ id }) => id)).toEqual([next]);
  }, 60_000);
});
