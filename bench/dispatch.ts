import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  type Batch,
  connectRedis,
  createLog,
  createPostal,
  openQueuesToWatch,
  openSender,
  queuePrefix,
} from '@aitbc/chassis';
import { inboxQueue, messages, newId } from '@aitbc/contracts';
import { findBroker } from '../libs/testing/src/broker.ts';
import { builtOf } from '../libs/testing/src/built.ts';
import { freePort } from '../libs/testing/src/ports.ts';
import { bundleServices } from '../scripts/bundle.ts';
import { supervise } from '../scripts/supervisor.ts';
import { dispatchKeys } from '../services/jobs/src/dispatcher/keys.ts';
import { kindName, type Requirement } from '../services/jobs/src/dispatcher/match.ts';
import { createPool, type Hint } from '../services/jobs/src/dispatcher/pool.ts';
import { readMetrics } from './load.ts';

// Dispatch alone: a broker and dispatch workers, with the mailbox filled before they may take from it. No gateway and
// no database share the cores, so what is seen is what workers and Redis can do.

const WORKER = resolve(import.meta.dirname, '../services/jobs/src/dispatcher/main.ts');
const INBOX = inboxQueue('dispatcher');
const SECRET_KEY = 'a key for nothing but this bench';
const REDIS_PREFIX = 'bench';
const MODELS = Array.from({ length: 10 }, (_, i) => `model-${i}`);
const CLIENTS = Array.from({ length: 20 }, newId);

type Redis = ReturnType<typeof connectRedis>;
type Queue = ReturnType<typeof openQueuesToWatch>[number];

let offer = 0;
const job = (client: string, wish: Partial<Requirement>): Hint => ({
  name: 'jobs.queued',
  payload: {
    offer: ++offer,
    job_id: newId(),
    account_id: client,
    requirement: {
      job_type: 'llm_inference',
      model: null,
      gpu_model: null,
      min_vram_gb: null,
      cuda_version_min: null,
      region: null,
      price_minor: 0,
      ...wish,
    },
    pays_minor: wish.price_minor ?? 0,
    priority: 5,
    avoid: [],
  },
});
const poll = (rank: number, models: string[], slots = 1): Hint => {
  const capability = {
    capabilities: ['llm_inference', 'embedding', 'ocr'],
    gpus: [{ model: 'NVIDIA GeForce RTX 4090', vram_gb: 24 }],
    cuda_version: '12.4',
    models,
    region: 'eu-west',
    price_per_job_minor: 0,
  };
  return {
    name: 'jobs.capacity_opened',
    payload: {
      offer: ++offer,
      epoch: 1,
      poll_id: newId(),
      miner_id: newId(),
      account_id: newId(),
      slots,
      kind: kindName(capability),
      capability,
      rank,
    },
  };
};
/** Jobs say what a miner can do once, as the jobs service does; after that its polls name it. */
const brief = (hint: Hint): Hint => {
  if (hint.name !== 'jobs.capacity_opened') return hint;
  const { capability: _described, ...payload } = hint.payload;
  return { name: hint.name, payload };
};

/** A job and a poll that takes it, and so on: as many matches as there are jobs. */
const pairs = (count: number): Hint[] =>
  Array.from({ length: count }, (_, i): Hint[] => [
    job(CLIENTS[i % CLIENTS.length] as string, { model: MODELS[i % MODELS.length] as string }),
    brief(poll(i % 7, MODELS)),
  ]).flat();

const readWorkers = (urls: readonly string[]) =>
  Promise.all(
    urls.map(async (url) => {
      const metric = await readMetrics(url);
      return {
        cpuSeconds: metric('process_cpu_seconds_total'),
        matches: metric('dispatch_matches_total'),
      };
    }),
  );
/** The processor's time: what commandstats counts goes on while another process has the core. */
const redisCpuSeconds = async (redis: Redis): Promise<number> => {
  const cpu = await redis.info('cpu');
  const of = (name: string) => Number(new RegExp(`^${name}:(\\S+)`, 'm').exec(cpu)?.[1]);
  return of('used_cpu_sys') + of('used_cpu_user');
};

/** Microseconds of Redis for one match in the dispatch script, with nothing of the queue around it. */
const scriptCost = async (redis: Redis, matches: number, perBatch: number): Promise<number> => {
  const pool = createPool(redis, dispatchKeys(REDIS_PREFIX));
  await pool.offer([poll(0, MODELS)]);
  const before = await redisCpuSeconds(redis);
  let found = 0;
  while (found < matches) {
    const made = await pool.offer(pairs(perBatch));
    found += made.matches.reduce((sum, { job_ids }) => sum + job_ids.length, 0);
  }
  return (((await redisCpuSeconds(redis)) - before) * 1e6) / found;
};

/** Wildcard polls, polls of twenty models, and how many different things are asked for: what one match costs. */
const COUNTS = [1, 1_000, 100_000];
const manyRequirements = async (redis: Redis, count: number, matches: number) => {
  await redis.flushdb();
  const pool = createPool(redis, dispatchKeys(REDIS_PREFIX));
  const clients = Array.from({ length: Math.max(20, count / 1_000) }, newId);
  const asked = (i: number) =>
    job(clients[i % clients.length] as string, { model: `model-${i % count}`, price_minor: 1 + (i % count) });
  const depth = Math.max(count, 1_000);
  for (let at = 0; at < depth; at += 500)
    await pool.offer(Array.from({ length: 500 }, (_, i) => asked(at + i)));
  const some = Array.from({ length: 20 }, (_, i) => `model-${i}`);
  await pool.offer([poll(0, []), poll(0, some)]);
  const before = await redisCpuSeconds(redis);
  let found = 0;
  for (let at = 0; found < matches; at++) {
    // What is taken comes again, so that as many wait at the end.
    const made = await pool.offer(
      Array.from({ length: 25 }, (_, i) => [
        asked(at * 50 + i * 2),
        brief(poll(i % 7, [])),
        asked(i % 20),
        brief(poll(i % 7, some)),
      ]).flat(),
    );
    found += made.matches.reduce((sum, { job_ids }) => sum + job_ids.length, 0);
  }
  return (((await redisCpuSeconds(redis)) - before) * 1e6) / found;
};

const untilEmpty = async (queue: Queue): Promise<void> => {
  const until = performance.now() + 120_000;
  for (;;) {
    const counts = await queue.getJobCounts('waiting', 'active', 'delayed');
    if (Object.values(counts).every((count) => count === 0)) return;
    if (performance.now() > until) throw new Error(`not taken in two minutes: ${JSON.stringify(counts)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

const drive = async (
  redis: Redis,
  redisUrl: string,
  options: { workers: number; matches: number; perBatch: number },
) => {
  await redis.flushdb();
  await createPool(redis, dispatchKeys(REDIS_PREFIX)).offer([poll(0, MODELS)]);
  const inbox = openSender({
    from: 'jobs',
    to: 'dispatcher',
    redis,
    postal: createPostal({ SECRET_KEY, REDIS_PREFIX }),
  });
  const [queue] = openQueuesToWatch([INBOX], redis, queuePrefix(REDIS_PREFIX)) as [Queue];
  const urls: string[] = [];
  const supervisor = supervise([], { log: (line, from) => /error/i.test(line) && console.error(from, line) });
  try {
    const starting = Array.from({ length: options.workers }, async (_, i) => {
      const port = await freePort();
      const env = {
        ...process.env,
        NODE_ENV: 'development',
        LOG_LEVEL: 'warn',
        SECRET_KEY,
        REDIS_PREFIX,
        REDIS_URL: redisUrl,
        HOST: '127.0.0.1',
        PORT: String(port),
      };
      supervisor.start({ name: `dispatcher-${i + 1}`, argv: [builtOf(WORKER)], env });
      urls.push(`http://127.0.0.1:${port}`);
      await supervisor.waitHealthy(`dispatcher-${i + 1}`, `http://127.0.0.1:${port}/health/ready`);
    });
    await Promise.all(starting);
    // After the start of the workers, which would end themselves when work waits long and nothing moves.
    await queue.pause();
    let given = 0;
    while (given < options.matches) {
      const batches = Array.from(
        { length: Math.min(200, Math.ceil((options.matches - given) / options.perBatch)) },
        () => ({
          stream: 'bench',
          messages: pairs(options.perBatch).map(({ name, payload }) => ({
            seq: null,
            name,
            version: messages[name].version,
            payload,
          })),
        }),
      );
      await Promise.all(batches.map((batch: Batch) => inbox.send(batch)));
      given += batches.length * options.perBatch;
    }
    const workersBefore = await readWorkers(urls);
    const redisBefore = await redisCpuSeconds(redis);
    const startedAt = performance.now();
    await queue.resume();
    await untilEmpty(queue);
    const seconds = (performance.now() - startedAt) / 1_000;
    const redisAfter = await redisCpuSeconds(redis);
    const workersAfter = await readWorkers(urls);
    const workers = workersAfter.map((after, i) => ({
      matches: after.matches - (workersBefore[i]?.matches ?? 0),
      cpuSeconds: after.cpuSeconds - (workersBefore[i]?.cpuSeconds ?? 0),
    }));
    const matches = workers.reduce((sum, worker) => sum + worker.matches, 0);
    if (matches !== given) throw new Error(`${matches} matches of ${given} jobs`);
    return {
      perSecond: matches / seconds,
      workerMicros: workers.map((worker) => (worker.cpuSeconds * 1e6) / worker.matches),
      shares: workers.map((worker) => worker.matches / matches),
      redisMicros: ((redisAfter - redisBefore) * 1e6) / matches,
    };
  } finally {
    await supervisor.stop();
    await inbox.close();
    await queue.close();
  }
};

/** Prints matches a second against the number of workers, and what one match costs each worker and Redis. */
export const dispatchWorkers = async (counts: readonly number[], scale: number): Promise<void> => {
  await bundleServices(console.log);
  const dataDir = mkdtempSync(join(tmpdir(), 'bench-dispatch-'));
  // Never somebody's own broker: it is emptied between rounds.
  const broker = await findBroker({ dataDir, log: () => {}, env: { ...process.env, REDIS_URL: '' } });
  const redis = connectRedis(broker.url, createLog('bench', 'warn'), { enableOfflineQueue: true });
  try {
    console.log(`${new Date().toISOString()}  Node ${process.version}  ${availableParallelism()} cores`);
    let least: number | undefined;
    for (const count of COUNTS) {
      const micros = await manyRequirements(redis, count, 4_000 * scale);
      least ??= micros;
      console.log(
        `${count.toLocaleString()} different requirements wait: ${micros.toFixed(0)} µs of Redis a match, ${(micros / least).toFixed(2)}× (at most 2)`,
      );
    }
    for (const [what, perBatch, matches] of [
      ['busy: a queue entry holds 50 jobs and 50 polls', 50, 20_000 * scale],
      ['idle: a queue entry holds one job and one poll', 1, 5_000 * scale],
    ] as const) {
      await redis.flushdb();
      const script = await scriptCost(redis, matches / 4, perBatch);
      console.log(`\n${what}; the dispatch script alone takes ${script.toFixed(0)} µs of Redis a match`);
      console.log(
        'workers   matches/s   worker CPU a match (each)            Redis CPU a match   share of each',
      );
      for (const workers of counts) {
        const figures = await drive(redis, broker.url, { workers, matches, perBatch });
        const each = figures.workerMicros.map((micros) => micros.toFixed(0)).join(' ');
        const shares = figures.shares.map((share) => `${(share * 100).toFixed(0)} %`).join(' ');
        console.log(
          `${String(workers).padStart(7)}   ${figures.perSecond.toFixed(0).padStart(9)}   ${`${each} µs`.padEnd(34)}   ${`${figures.redisMicros.toFixed(0)} µs`.padEnd(17)}   ${shares}`,
        );
      }
    }
  } finally {
    redis.disconnect();
    await broker.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
};
