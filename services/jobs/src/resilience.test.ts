import { loadConfig } from '@aitbc/chassis';
import { jobsRoutes, newId } from '@aitbc/contracts';
import { callerOf, eventually, scratchDirectory, serviceEnv, someone, TEST_PREFIX } from '@aitbc/testing';
import { afterEach, describe, expect, test } from 'vitest';
import { dispatchKeys } from './dispatcher/keys.ts';
import { requirementOf } from './dispatcher/match.ts';
import { configShape, startJobs } from './service.ts';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';

const DISPATCH = dispatchKeys(TEST_PREFIX);

const fail = (reason: string): void => {
  throw new Error(reason);
};

describe('without Redis', () => {
  test('jobs are taken in, shown, and kept', async () => {
    const env = serviceEnv('jobs', scratchDirectory(), 'redis://127.0.0.1:1');
    const jobs = await startJobs(loadConfig(configShape, env), fail);
    const http = callerOf(jobs.url, someone(['client']));
    const reply = await http.call(jobsRoutes.submit, { body: { ...workFor('alone') } });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    const status = await http.call(jobsRoutes.status, { params: { job_id: reply.body.id } });
    expect(status).toMatchObject({ status: 200, body: { status: 'pending', queue_position: null } });
    await jobs.stop();
  });
});

describe('configuration', () => {
  test('production without a signing key does not start; a key that is none does nowhere', async () => {
    const env = serviceEnv('jobs', scratchDirectory(), 'redis://127.0.0.1:1');
    const start = (changes: Record<string, string>) =>
      startJobs(loadConfig(configShape, { ...env, ...changes }), fail);
    await expect(start({ NODE_ENV: 'production' })).rejects.toThrow(/RECEIPT_SIGNING_KEY/);
    await expect(start({ RECEIPT_SIGNING_KEY: 'AAAA' })).rejects.toThrow(/RECEIPT_SIGNING_KEY/);
  });
});

describe('with Redis', () => {
  let stack: Stack;
  afterEach(() => stack.stop());

  test('polls of a process that is gone do not swallow jobs', async () => {
    stack = await startStack();
    const client = stack.client();
    const miner = await stack.miner(onlyFor('dead-polls'));
    const first = await client.submit(workFor('dead-polls'));
    await miner.complete(await miner.take());
    expect((await client.get(first.id)).status).toBe('completed');
    // Idle polls of this process, as a kill would leave them: the index still holds them after the restart.
    const away = new AbortController();
    const open = Array.from({ length: 5 }, () =>
      miner.poll({ wait_seconds: 20 }, away.signal).catch(() => []),
    );
    await eventually(async () => (await stack.peers.redis.keys(`${DISPATCH.prefix}idle:*`)).length > 0);
    const records = await stack.peers.redis.keys(`${DISPATCH.prefix}poll:*`);
    const dumps = await stack.peers.redis.mget(records);
    const [idle] = await stack.peers.redis.keys(`${DISPATCH.prefix}idle:*`);
    const members = await stack.peers.redis.zrange(idle as string, '0', '-1');
    away.abort();
    await Promise.all(open);
    await stack.restartJobs();
    for (const [at, key] of records.entries()) await stack.peers.redis.set(key, dumps[at] as string);
    for (const member of members) await stack.peers.redis.zadd(idle as string, 1, member);
    const job = await client.submit(workFor('dead-polls'));
    expect((await miner.take()).id).toBe(job.id);
  });

  test('a job that was offered while its commit failed keeps no miner from work', async () => {
    stack = await startStack();
    const client = stack.client();
    const miner = await stack.miner(onlyFor('never-committed'));
    const job_id = newId();
    await stack.peers.send(
      'jobs.queued',
      {
        job_id,
        account_id: client.caller.account_id,
        requirement: requirementOf({
          job_type: 'llm_inference',
          model: 'never-committed',
          constraints: {},
          pays_minor: 0,
        }),
        pays_minor: 0,
        priority: 0,
        offer: 1,
        avoid: [],
      },
      'dispatcher',
    );
    const { redis } = stack.peers;
    const isWaiting = async () => {
      const queues = await redis.keys(`${DISPATCH.prefix}*never-committed*`);
      const found = await Promise.all(
        queues.map(async (key) => (await redis.type(key)) === 'zset' && redis.zrange(key, '0', '-1')),
      );
      return JSON.stringify(found).includes(job_id);
    };
    await eventually(isWaiting);
    const taken = miner.take();
    // It is matched with that poll, jobs knows nothing of it, and it leaves the index.
    await eventually(async () => !(await isWaiting()));
    const job = await client.submit(workFor('never-committed'));
    expect((await taken).id).toBe(job.id);
    const gone = await client.http.call(jobsRoutes.get, { params: { job_id } });
    expect(gone.status).toBe(404);
  });

  test('an index built in another Redis is built again', async () => {
    stack = await startStack();
    const client = stack.client();
    const job = await client.submit(workFor('rebuilt'));
    await eventually(async () => (await client.status(job.id)).queue_position === 0);
    await stack.peers.redis.flushdb();
    await eventually(async () => (await client.status(job.id)).queue_position === 0);
    const runId = await eventually(
      async () => (await stack.peers.redis.get(DISPATCH.generation)) ?? undefined,
    );
    await stack.peers.redis.del(...(await stack.peers.redis.keys(`${DISPATCH.prefix}own:*`)));
    await stack.peers.redis.set(DISPATCH.generation, 'another');
    await eventually(async () => (await client.status(job.id)).queue_position === 0);
    const builtIn = (generation: string | null | undefined) => generation?.split('/')[0];
    await eventually(
      async () => builtIn(await stack.peers.redis.get(DISPATCH.generation)) === builtIn(runId),
    );
  });

  /** The index as it would be if the hint that a job ended had been lost: as it was before it ended. */
  const endUnheard = async (client: ReturnType<Stack['client']>, jobId: string): Promise<void> => {
    const { redis } = stack.peers;
    const inIndex = () => redis.keys(`${DISPATCH.prefix}own:*`);
    await eventually(async () => (await client.status(jobId)).queue_position === 0);
    const names = await redis.keys(`${DISPATCH.prefix}*`);
    const dumps = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
    await client.http.call(jobsRoutes.cancel, { params: { job_id: jobId } });
    await eventually(async () => (await inIndex()).length === 0);
    await Promise.all(
      names.map((name, at) => {
        const dump = dumps[at];
        return dump ? redis.restore(name, 0, dump, 'REPLACE') : undefined;
      }),
    );
    expect((await inIndex()).length).toBeGreaterThan(0);
  };

  test('a job that ended unheard is given to nobody, and the next is served', async () => {
    stack = await startStack();
    const client = stack.client();
    const ended = await client.submit(workFor('unheard'));
    await endUnheard(client, ended.id);
    const miner = await stack.miner(onlyFor('unheard'));
    const polling = miner.poll({ wait_seconds: 20 });
    const next = await client.submit(workFor('unheard'));
    expect((await polling).map(({ id }) => id)).toEqual([next.id]);
    expect(await client.get(ended.id)).toMatchObject({ status: 'cancelled', attempt: 0 });
  });

  test('a job that ended unheard leaves the index though nobody could run it', async () => {
    stack = await startStack();
    const client = stack.client();
    const ended = await client.submit(workFor('gone'));
    await endUnheard(client, ended.id);
    const stays = await client.submit(workFor('stays'));
    // What waits stays in it.
    await eventually(async () => {
      const names = await stack.peers.redis.keys(DISPATCH.job('*'));
      const records = await stack.peers.redis.mget(names);
      const waiting = names.filter((_, at) => records[at]?.startsWith('=') === false);
      return waiting.join() === DISPATCH.job(stays.id);
    });
    expect((await client.status(stays.id)).queue_position).toBe(0);
  });

  test('a job that was lost before a restart does not go back to who lost it, though the index forgot', async () => {
    stack = await startStack();
    const client = stack.client();
    const [loser, other] = [await stack.miner(onlyFor('lost')), await stack.miner(onlyFor('lost'))];
    const job = await client.submit(workFor('lost'));
    const taken = await loser.take();
    await loser.report({
      job_id: job.id,
      lease: taken.lease,
      status: 'failed',
      retryable: true,
      error: { code: 'BACKEND_ERROR', message: 'no' },
    });
    await stack.restartJobs();
    await eventually(async () => (await client.status(job.id)).queue_position === 0);
    await stack.peers.redis.del(`${DISPATCH.prefix}avoid`);
    expect(await loser.poll({ wait_seconds: 2 })).toEqual([]);
    expect(await other.take()).toMatchObject({ id: job.id, attempt: 2 });
  });
});
