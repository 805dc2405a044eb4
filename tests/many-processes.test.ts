import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { routes } from '@aitbc/contracts';
import {
  eventually,
  hasPostgres,
  hasRedisServer,
  type PostgresServer,
  scratchDirectory,
  startCluster,
  startPostgres,
  startSentinel,
} from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nothingPlayed, playMiner } from './careful.ts';
import { surviveChaos } from './chaos.ts';
import { type Coordinator, must, passes, registerMiner, startCoordinator } from './coordinator.ts';
import { retryingOnce } from './retrying-once.ts';

// Two processes of every service and two gateways, on one PostgreSQL and a cluster of three Redis masters, or with
// CHAOS_REDIS=sentinel on a master with a replica, watched by Sentinels.

const SEED = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31));
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 60);
const JOBS = Number(process.env.CHAOS_JOBS ?? 200);
const SERVICES = ['jobs', 'miners', 'market', 'payments', 'governance'] as const;
/** Fifteen processes on two cores. */
const STARTING_MS = 240_000;

const isPossible = hasPostgres && hasRedisServer;
let postgres: PostgresServer;
let redis: { url: string; stop: () => Promise<void>; strike: () => Promise<void> };
let coordinator: Coordinator;

const startRedis = async (): Promise<typeof redis> => {
  if (process.env.CHAOS_REDIS === 'sentinel') {
    const sentinel = await startSentinel(scratchDirectory());
    const strike = async () => {
      const master = sentinel.master();
      await master.kill();
      await eventually(() => sentinel.master() !== master);
      await master.start();
    };
    return { url: sentinel.url, stop: sentinel.stop, strike };
  }
  const cluster = await startCluster(scratchDirectory());
  const strike = async () => {
    const master = cluster.masterOf('aitbc:{aitbc:dispatch}:generation');
    await master.kill();
    await master.start();
  };
  return { url: cluster.url, stop: cluster.stop, strike };
};

beforeAll(async () => {
  if (!isPossible) return;
  console.log(`chaos: CHAOS_SEED=${SEED}, ${SECONDS} s`);
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  coordinator = await startCoordinator({
    dispatchers: 2,
    gateways: 2,
    processesOf: Object.fromEntries(SERVICES.map((name) => [name, 2])),
    env: { REDIS_URL: redis.url, POSTGRES_URL: await postgres.database() },
  });
}, STARTING_MS);
afterAll(async () => {
  await coordinator?.stop();
  await redis?.stop();
  await postgres?.stop();
});

const PROCESSES = SERVICES.flatMap((name) => [name, `${name}-2`]);
const VICTIMS = [...PROCESSES, 'gateway', 'dispatcher-1', 'PostgreSQL', 'a Redis master'];

const strike = async (victim: string): Promise<void> => {
  if (victim === 'PostgreSQL') {
    // In order: its connections break, and what they had begun is undone.
    await postgres.kill('SIGINT');
    await postgres.start();
  } else if (victim === 'a Redis master') await redis.strike();
  else coordinator.stack.kill(victim, 'SIGKILL');
};

test.skipIf(!isPossible)(
  `${JOBS} jobs while processes, PostgreSQL and a Redis master are killed: none lost, each completed once, one receipt each`,
  { timeout: (SECONDS + 120) * 1_000 },
  () => surviveChaos(coordinator, { jobs: JOBS, seconds: SECONDS, seed: SEED, victims: VICTIMS, strike }),
);

/** Ends in order, and its supervisor starts it anew, as a roll to a new version does. */
const replace = async (name: string): Promise<void> => {
  const from = coordinator.said.length;
  coordinator.stack.kill(name, 'SIGTERM');
  const isReady = () =>
    coordinator.said.slice(from).some((said) => said.from === name && said.line.includes('"msg":"ready"'));
  await eventually(async () => isReady(), { withinMs: 90_000, everyMs: 100 });
};

test.skipIf(!isPossible)(
  'every process is replaced under load, half of the system at a time: who asks twice gets every answer',
  { timeout: 300_000 },
  async () => {
    const { stack, keys } = coordinator;
    const account = await coordinator.newAccount(['client']);
    const [client, miner] = [account.key, keys.miner].map((key) => retryingOnce(stack.urls, key));
    if (client === undefined || miner === undefined) throw new Error('two callers');
    const { id: minerId } = await registerMiner(miner, { name: 'through a roll' });
    const leaving = new AbortController();
    const played = nothingPlayed();
    const playing = playMiner({
      caller: miner,
      minerId,
      maxJobs: 8,
      played,
      leaving: leaving.signal,
      work: (items) => items.map(({ id }) => ({ id })),
    });

    let isRolling = true;
    const submitted: string[] = [];
    const load = async (caller: number): Promise<void> => {
      for (let n = 0; isRolling; n += 1) {
        const job = must(
          await client.call(routes.jobs.submit, {
            body: { job_type: 'custom', parameters: { input: { n } }, timeout_seconds: 8, max_attempts: 10 },
            idempotencyKey: `roll-${caller}-${n}`,
          }),
        );
        submitted.push(job.id);
        must(
          await client.call(routes.jobs.status, { params: { job_id: job.id }, query: { wait_seconds: 2 } }),
        );
        must(await client.call(routes.payments.balance, { params: { user_id: account.id } }));
        must(await client.call(routes.market.list, {}));
        must(await client.call(routes.governance.list, {}));
        await sleep(50);
      }
    };
    const loading = Promise.all([0, 1, 2, 3].map(load));
    const seconds = [...SERVICES.map((name) => `${name}-2`), 'dispatcher-2', 'gateway-2'];
    const firsts = [...SERVICES, 'dispatcher-1', 'gateway'];
    try {
      for (const half of [seconds, firsts]) await Promise.race([Promise.all(half.map(replace)), loading]);
    } finally {
      isRolling = false;
    }
    await loading;
    await passes(async () => expect(played.accepted.size).toBe(submitted.length), { withinMs: 30_000 });
    leaving.abort();
    await playing;
    expect([...client.failed, ...miner.failed]).toEqual([]);
    expect([...played.accepted.keys()].sort()).toEqual([...submitted].sort());
    // There was load all the time: five rounds of each caller, however long seven processes take to start side by side.
    expect(submitted.length).toBeGreaterThan(20);
    console.log(
      `roll: ${submitted.length} jobs, ${client.calls + miner.calls} requests, of them repeated: ` +
        JSON.stringify(Object.fromEntries([...client.repeated, ...miner.repeated])),
    );
  },
);
