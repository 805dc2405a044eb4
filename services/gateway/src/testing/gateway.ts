import { loadConfig, type Running } from '@aitbc/chassis';
import { createClient } from '@aitbc/contracts';
import { rememberSecret, scratchDirectory, scratchRedis, serviceEnv } from '@aitbc/testing';
import { configShape } from '../config.ts';
import { startGateway } from '../service.ts';
import { startUpstream, type TestUpstream } from './upstream.ts';

export const KEYS = {
  client: 'client-key-of-the-tests',
  client2: 'second-client-key-of-the-tests',
  miner: 'miner-key-of-the-tests',
  admin: 'admin-key-of-the-tests',
};

export interface TestGateway extends Running {
  readonly env: Record<string, string>;
  readonly upstream: TestUpstream;
  /** Calls with a key, or with none. */
  client(key?: string): ReturnType<typeof createClient>;
  /** Calls with a session. */
  user(token: string): ReturnType<typeof createClient>;
}

const fail = (reason: string) => {
  throw new Error(reason);
};

/** What a gateway needs to start, with `upstream` in the place of all services behind it. */
export const gatewayEnv = async (upstream: Pick<TestUpstream, 'url'>): Promise<Record<string, string>> => {
  for (const key of Object.values(KEYS)) rememberSecret(key);
  return {
    ...serviceEnv('gateway', scratchDirectory(), await scratchRedis()),
    API_HOST: '127.0.0.1',
    API_PORT: '0',
    CLIENT_API_KEYS: `${KEYS.client},${KEYS.client2}`,
    MINER_API_KEYS: KEYS.miner,
    ADMIN_API_KEYS: KEYS.admin,
    ...Object.fromEntries(
      ['JOBS', 'MINERS', 'MARKET', 'PAYMENTS', 'GOVERNANCE'].map((name) => [`${name}_URL`, upstream.url]),
    ),
  };
};

/**
 * A gateway in this process, with one stand-in for all services behind it.
 * @param now by which keys and sessions end; the wall clock, which tests set, unless the test is about a jump of it.
 * @param beside shares the file, the Redis and the services of this one, as a second process would.
 */
export const startTestGateway = async (
  changes: Record<string, string> = {},
  beside?: Pick<TestGateway, 'env' | 'upstream'>,
  now: () => number = () => Date.now(),
): Promise<TestGateway> => {
  const upstream = beside?.upstream ?? (await startUpstream());
  const env = { ...(beside?.env ?? (await gatewayEnv(upstream))), ...changes };
  const running = await startGateway(loadConfig(configShape, env), fail, now);
  return {
    ...running,
    env,
    upstream,
    client: (key) => createClient(running.url, key === undefined ? {} : { 'x-api-key': key }),
    user: (token) => createClient(running.url, { 'x-session-token': rememberSecret(token) }),
    stop: async () => {
      await running.stop();
      if (beside === undefined) await upstream.stop();
    },
  };
};
