import { randomInt } from 'node:crypto';
import {
  hasPostgres,
  hasRedisServer,
  type PostgresServer,
  scratchDirectory,
  startCluster,
  startPostgres,
} from '@aitbc/testing';
import { afterAll, beforeAll, test } from 'vitest';
import { surviveChaos } from './chaos.ts';
import { type Coordinator, startCoordinator } from './coordinator.ts';

// Two processes of every service and two gateways, on one PostgreSQL and a cluster of three Redis masters.

const SEED = Number(process.env.CHAOS_SEED ?? randomInt(2 ** 31));
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 90);
const JOBS = Number(process.env.CHAOS_JOBS ?? 400);
const SERVICES = ['jobs', 'miners', 'market', 'payments', 'governance'] as const;
/** Fifteen processes on two cores. */
const STARTING_MS = 240_000;

const isPossible = hasPostgres && hasRedisServer;
let postgres: PostgresServer;
let cluster: Awaited<ReturnType<typeof startCluster>>;
let coordinator: Coordinator;

beforeAll(async () => {
  if (!isPossible) return;
  [postgres, cluster] = await Promise.all([startPostgres(), startCluster(scratchDirectory())]);
  coordinator = await startCoordinator({
    dispatchers: 2,
    gateways: 2,
    processesOf: Object.fromEntries(SERVICES.map((name) => [name, 2])),
    env: { REDIS_URL: cluster.url, POSTGRES_URL: await postgres.database() },
  });
}, STARTING_MS);
afterAll(async () => {
  await coordinator?.stop();
  await cluster?.stop();
  await postgres?.stop();
});

const PROCESSES = SERVICES.flatMap((name) => [name, `${name}-2`]);
const VICTIMS = [...PROCESSES, 'gateway', 'dispatcher-1', 'PostgreSQL', 'a Redis master'];

const strike = async (victim: string): Promise<void> => {
  if (victim === 'PostgreSQL') {
    // In order: its connections break, and what they had begun is undone.
    await postgres.kill('SIGINT');
    await postgres.start();
  } else if (victim === 'a Redis master') {
    const master = cluster.masterOf('aitbc:{aitbc:dispatch}:generation');
    await master.kill();
    await master.start();
  } else coordinator.stack.kill(victim, 'SIGKILL');
};

test.skipIf(!isPossible)(
  `${JOBS} jobs while processes, PostgreSQL and a Redis master are killed: none lost, each completed once, one receipt each`,
  { timeout: (SECONDS + 60) * 1_000 },
  () => surviveChaos(coordinator, { jobs: JOBS, seconds: SECONDS, seed: SEED, victims: VICTIMS, strike }),
);
