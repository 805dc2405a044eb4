import { Redis } from 'ioredis';
import { afterAll, beforeAll, test } from 'vitest';
import { surviveChaos } from './chaos.ts';
import { type Coordinator, STARTING_MS, startCoordinator } from './coordinator.ts';

const SEED = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const SECONDS = Number(process.env.CHAOS_SECONDS ?? 60);
const JOBS = Number(process.env.CHAOS_JOBS ?? 2_000);

let coordinator: Coordinator;
let redis: Redis;

beforeAll(async () => {
  console.log(`chaos: CHAOS_SEED=${SEED}, ${SECONDS} s`);
  coordinator = await startCoordinator({ dispatchers: 2, ownBroker: true });
  redis = new Redis(coordinator.stack.broker.url, { maxRetriesPerRequest: 0 });
  redis.on('error', () => {});
}, STARTING_MS);
afterAll(async () => {
  redis?.disconnect();
  await coordinator?.stop();
});

const VICTIMS = [
  'gateway',
  'jobs',
  'miners',
  'payments',
  'dispatcher-1',
  'dispatcher-2',
  'broker',
  'FLUSHALL',
];

const strike = async (victim: string): Promise<void> => {
  if (victim === 'FLUSHALL') await redis.flushall().catch(() => {});
  else coordinator.stack.kill(victim, 'SIGKILL');
};

test(
  `${JOBS} jobs while processes are killed and Redis is wiped: none lost, each completed once, one receipt each`,
  {
    timeout: (SECONDS + 30) * 1_000,
  },
  () => surviveChaos(coordinator, { jobs: JOBS, seconds: SECONDS, seed: SEED, victims: VICTIMS, strike }),
);
