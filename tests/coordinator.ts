import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseRedisUrl } from '@aitbc/chassis/redis';
import { type Client, createClient, type Miner, type Reply, routes } from '@aitbc/contracts';
import {
  eventually,
  rememberSecret,
  scratchDirectory,
  scratchPostgres,
  scratchRedis,
  testEngine,
} from '@aitbc/testing';
import type { z } from 'zod';
import { type Stack, type StackOptions, startStack } from '../scripts/stack.ts';

export interface Said {
  readonly from: string | undefined;
  readonly line: string;
}

export interface Coordinator {
  readonly url: string;
  readonly stack: Stack;
  readonly dataDir: string;
  readonly keys: { client: string; client2: string; miner: string; admin: string };
  /** Callers with a key of their own each, and one with none. */
  readonly client: Client;
  readonly client2: Client;
  readonly miner: Client;
  readonly admin: Client;
  readonly anyone: Client;
  /** Every line that any process wrote. */
  readonly said: readonly Said[];
  /** A new account: its id, key and caller. */
  newAccount(
    scopes: ('client' | 'miner' | 'trade' | 'vote')[],
  ): Promise<{ id: string; key: string; caller: Client }>;
  stop(): Promise<void>;
}

/** For the hook that starts it: nine processes; ten seconds on two idle cores, more on busy ones. */
export const STARTING_MS = 120_000;

/** Nobody is to be slowed down here but by a test of the limits. */
const UNLIMITED = {
  RATE_LIMIT_CLIENT_PER_MINUTE: '10000000',
  RATE_LIMIT_MINER_PER_MINUTE: '10000000',
  RATE_LIMIT_USER_PER_MINUTE: '10000000',
  RATE_LIMIT_STREAM_PER_MINUTE: '10000000',
};

/**
 * The whole coordinator as real processes, in an empty folder.
 * @param options.ownBroker a broker for it alone, in its folder: for tests that kill or wipe it
 * @param options.dataDir a folder for it; without one it is a scratch folder
 */
export const startCoordinator = async (
  options: {
    dispatchers?: number;
    gateways?: number;
    processesOf?: StackOptions['processesOf'];
    demoMiner?: boolean;
    ownBroker?: boolean;
    dataDir?: string;
    env?: Record<string, string>;
  } = {},
): Promise<Coordinator> => {
  const dataDir = options.dataDir ?? scratchDirectory();
  const said: Said[] = [];
  const stack = await startStack({
    dataDir,
    apiHost: '127.0.0.1',
    apiPort: 0,
    dispatchers: options.dispatchers ?? 1,
    gateways: options.gateways ?? 1,
    processesOf: options.processesOf ?? {},
    demoMiner: options.demoMiner ?? false,
    extraEnv: {
      ...UNLIMITED,
      LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'info',
      REDIS_URL: options.ownBroker === true ? '' : await scratchRedis(),
      POSTGRES_URL: testEngine === 'postgres' ? scratchPostgres(dataDir) : '',
      ...options.env,
    },
    log: (line, from) => {
      said.push({ from, line });
      appendFileSync(join(dataDir, 'said.log'), `${from ?? ''} ${line}\n`);
      if (process.env.TEST_LOG_LEVEL !== undefined) console.log(`${from ?? ''} | ${line}`);
    },
  });
  const { password } = parseRedisUrl(stack.broker.url);
  if (password !== undefined) rememberSecret(password);
  const keys = stack.keys as Coordinator['keys'];
  const as = (key: string) => createClient(stack.url, { 'x-api-key': key });
  const admin = as(keys.admin);
  return {
    url: stack.url,
    stack,
    dataDir,
    keys,
    client: as(keys.client),
    client2: as(keys.client2),
    miner: as(keys.miner),
    admin,
    anyone: createClient(stack.url),
    said,
    newAccount: async (scopes) => {
      const made = must(
        await admin.call(routes.gateway.adminCreateKey, { body: { scopes, label: 'for a test' } }),
      );
      return { id: made.account_id, key: made.key, caller: as(made.key) };
    },
    stop: async () => {
      // For the search at the end of the run. A test may have left it without a gateway.
      const metrics = await fetch(`${stack.url}/metrics`).catch(() => undefined);
      if (metrics !== undefined) writeFileSync(join(dataDir, 'metrics.txt'), await metrics.text());
      await stack.stop();
    },
  };
};

type Answer = { ok: boolean; status: number; body: unknown };

/** The body of an answer that has to be a good one. */
export const must = <T extends Answer>(answer: T): Extract<T, { ok: true }>['body'] => {
  if (!answer.ok) throw new Error(`answered ${answer.status}: ${JSON.stringify(answer.body)}`);
  return answer.body as Extract<T, { ok: true }>['body'];
};

/** What a refusal says, short enough to compare: `409 STALE_LEASE`. */
export const refusal = (answer: Answer): string =>
  `${answer.status} ${(answer.body as { error?: { code?: string } }).error?.code ?? 'no error'}`;

/** Waits until expectations hold; fails with the last one that did not. */
export const passes = (check: () => Promise<void>, options?: { withinMs?: number; everyMs?: number }) =>
  eventually(async () => {
    await check();
    return true;
  }, options);

/** The account of a key. */
export const accountOf = async (caller: Client): Promise<string> =>
  must(await caller.call(routes.gateway.me, {})).user_id;

/** A registered miner that a test plays itself. */
export const registerMiner = async (
  caller: Client,
  changes: Partial<z.input<typeof import('@aitbc/contracts').MinerRegistration>> = {},
): Promise<z.output<typeof Miner>> =>
  must(
    await caller.call(routes.miners.register, {
      body: {
        address: 'ait1-a-miner-in-a-test',
        capabilities: ['embedding', 'custom'],
        gpus: [{ model: 'RTX 4090', vram_gb: 24, count: 1 }],
        models: ['m'],
        concurrency: 8,
        ...changes,
      },
    }),
  );

export type Work = Extract<Reply<typeof routes.jobs.poll>, { ok: true }>['body']['items'][number];

/** Polls until there is work. */
export const takeWork = (caller: Client, minerId: string, maxJobs = 1): Promise<Work[]> =>
  eventually(
    async () => {
      const { items } = must(
        await caller.call(routes.jobs.poll, {
          query: { wait_seconds: 5, max_jobs: maxJobs, miner_id: minerId },
        }),
      );
      return items.length > 0 && items;
    },
    { withinMs: 20_000 },
  );

/** A submission whose text names it. */
export const embedding = (input: string, more: object = {}) => ({
  job_type: 'embedding',
  parameters: { model: 'm', input },
  ...more,
});
