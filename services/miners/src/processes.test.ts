import { loadConfig, type Running } from '@aitbc/chassis';
import { type Caller, minersRoutes, newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  hasPostgres,
  openPeers,
  type PostgresServer,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  startPostgres,
} from '@aitbc/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { configShape } from './config.ts';
import { startMiners } from './service.ts';

let server: PostgresServer;
let peers: Awaited<ReturnType<typeof openPeers>>;
let processes: [Running, Running];
/** The clock of both runs ahead of the wall's by so much. */
let skewMs = 0;
const miner = someone(['miner']);

const as = (index: number, caller: Caller = miner) => callerOf(processes[index % 2]?.url as string, caller);
const register = (index: number, name: string, instance_id?: string) =>
  as(index).call(minersRoutes.register, {
    body: {
      address: 'a',
      capabilities: ['ocr'],
      gpus: [],
      models: [],
      concurrency: 8,
      name,
      ...(instance_id === undefined ? {} : { instance_id }),
    },
  });
const beat = async (index: number, body: object) => {
  const reply = await as(index).call(minersRoutes.heartbeat, { body });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body;
};
const statusOf = async (index: number, id: string) => {
  const reply = await as(index).call(minersRoutes.me, { query: {} });
  return reply.ok ? reply.body.items.find((item) => item.id === id)?.status : undefined;
};
const enrolled = async (name: string): Promise<string> => {
  const reply = await eventually(async () => {
    const answer = await register(0, name);
    return answer.ok ? answer : undefined;
  });
  return reply.body.id;
};
const started = async (job_id: string, miner_id: string) => {
  await peers.send('jobs.started', {
    job_id,
    miner_id,
    miner_account_id: miner.account_id,
    attempt: 1,
    deadline_at_ms: Date.now() + 3_600_000,
  });
};
describe.skipIf(!hasPostgres)('two processes on one PostgreSQL', () => {
  beforeAll(async () => {
    server = await startPostgres();
    const redisUrl = await scratchRedis();
    const env = {
      ...serviceEnv('miners', scratchDirectory(), redisUrl),
      DATABASE_URL: await server.database(),
    };
    const start = () =>
      startMiners(
        loadConfig(configShape, env),
        (reason) => expect.fail(reason),
        () => Date.now() + skewMs,
      );
    processes = [await start(), await start()];
    peers = await openPeers(redisUrl);
  }, 60_000);
  afterAll(async () => {
    await Promise.all((processes ?? []).map((service) => service.stop()));
    await peers?.close();
    await server?.stop();
  });
  beforeEach(() => {
    skewMs = 0;
  });

  test('beats of one miner alternate: both know it, and what it does not hold is lost after three', {
    timeout: 60_000,
  }, async () => {
    const toJobs = peers.listen('jobs');
    const id = await enrolled('alternating');
    const [held, lost] = [newId(), newId()];
    await started(held, id);
    await started(lost, id);
    await eventually(async () => {
      const reply = await as(1).call(minersRoutes.me, { query: {} });
      return reply.ok && reply.body.items.find((item) => item.id === id)?.inflight === 2;
    });
    const abandoned = () =>
      toJobs.flatMap((message) => (message.name === 'miners.attempts_abandoned' ? [message.payload] : []));
    // Named in the last of three, which the other process heard: in a row is in a row for both.
    for (const inflight of [[held], [held], [held, lost], [held], [held], [held, lost]]) {
      await beat(inflight.length, { miner_id: id, inflight, attempts: inflight.map(() => 1) });
      skewMs += 5_000;
    }
    for (let turn = 0; turn < 3; turn += 1) {
      expect(abandoned()).toEqual([]);
      await beat(turn, { miner_id: id, inflight: [held], attempts: [1] });
      skewMs += 5_000;
    }
    await eventually(() => abandoned().length > 0);
    expect(abandoned()).toEqual([{ miner_id: id, attempts: [{ job_id: lost, attempt: 1 }] }]);
  });

  test('what ended is told once, to the beat that is held at either', { timeout: 60_000 }, async () => {
    for (const index of [0, 1]) {
      const id = await enrolled(`told-${index}`);
      const job_id = newId();
      await started(job_id, id);
      await eventually(
        async () => (await beat(index, { miner_id: id })).next_heartbeat_seconds === 5 || undefined,
      );
      const holding = beat(index, { miner_id: id, wait_seconds: 5 });
      await peers.send('jobs.attempt_ended', {
        job_id,
        miner_id: id,
        client_account_id: newId(),
        attempt: 1,
        outcome: 'cancelled',
      });
      expect((await holding).cancel).toEqual([job_id]);
      expect((await beat(index + 1, { miner_id: id })).cancel).toEqual([]);
    }
  });

  test('nobody is inactive who beats at one of them; silence at both is noticed, and a beat brings back', {
    timeout: 90_000,
  }, async () => {
    const toMarket = peers.listen('market');
    await peers.send('governance.parameter_changed', {
      name: 'heartbeat_timeout_seconds',
      value: 10,
      version: 1,
      proposal_id: newId(),
    });
    const loud = await enrolled('loud');
    const silent = await enrolled('silent');
    // First at the one, then at the other: whichever judges, it does not hear all of them itself.
    const startedAt = performance.now();
    await eventually(
      async () => {
        const index = performance.now() - startedAt < 8_000 ? 0 : 1;
        await beat(index, { miner_id: loud, inflight: [] });
        return (await statusOf(0, silent)) === 'inactive';
      },
      { withinMs: 60_000, everyMs: 500 },
    );
    const told = (id: string) =>
      toMarket.some(
        ({ name, payload }) =>
          name === 'miners.changed' && payload.miner_id === id && payload.status === 'inactive',
      );
    await eventually(() => told(silent));
    expect(told(loud)).toBe(false);
    expect(await statusOf(1, loud)).toBe('active');
    expect(await beat(1, { miner_id: silent, inflight: [] })).toMatchObject({ status: 'active' });
    expect(await statusOf(0, silent)).toBe('active');
  });

  test('a name in use at one is in use at the other', { timeout: 60_000 }, async () => {
    expect(await register(0, 'box', 'instance-one')).toMatchObject({ status: 201 });
    expect(await register(1, 'box', 'instance-two')).toMatchObject({ status: 409 });
    skewMs += 60_000;
    expect(await register(1, 'box', 'instance-two')).toMatchObject({ status: 200 });
    const [id] = (await as(0)
      .call(minersRoutes.me, { query: {} })
      .then((reply) =>
        reply.ok ? reply.body.items.filter(({ name }) => name === 'box').map((item) => item.id) : [],
      )) as [string];
    const late = await as(0).call(minersRoutes.heartbeat, {
      body: { miner_id: id, instance_id: 'instance-one' },
    });
    expect(late).toMatchObject({ status: 409 });
  });
});
