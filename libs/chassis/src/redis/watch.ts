import type { Log } from '../log.ts';
import { parseRedisUrl } from './address.ts';
import { mastersOf, type RedisClient } from './connect.ts';
import { explained } from './explained.ts';
import { missingRights } from './rights.ts';

/** ZMSCORE and SMISMEMBER came with 6.2, LPOS with 6.0.6; BullMQ recommends the same. */
const LEAST_VERSION = [6, 2] as const;

const field = (info: string, name: string): string | undefined =>
  new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];

const isOlder = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < LEAST_VERSION[0] || (major === LEAST_VERSION[0] && minor < LEAST_VERSION[1]);
};

/** What is wrong with one server, by its INFO. What it does not say (hosted ones hide things) is taken to be right. */
const serverProblem = (info: string, isCluster: boolean, isProduction: boolean): string | null => {
  if (!isCluster && field(info, 'cluster_enabled') === '1')
    return 'this redis is one of a cluster, and REDIS_URL names a single server: say redis+cluster://HOST:PORT,…';
  const version = field(info, 'redis_version');
  if (version !== undefined && isOlder(version))
    return `redis ${version} is too old: ${LEAST_VERSION.join('.')} or newer is needed`;
  const policy = field(info, 'maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction')
    return `redis may evict work: maxmemory-policy is ${policy}, set it to noeviction`;
  if (isProduction && field(info, 'aof_enabled') === '0')
    return 'redis forgets at a restart: set appendonly to yes';
  return null;
};

/** What is wrong with a broker that answers, on any of its masters; null when nothing is. */
export const brokerProblem = async (
  redis: RedisClient,
  options: { prefix: string; isProduction: boolean },
): Promise<string | null> => {
  try {
    for (const master of mastersOf(redis)) {
      const problem = serverProblem(await master.info(), redis.isCluster, options.isProduction);
      if (problem !== null) return problem;
    }
    const missing = await missingRights(redis, options.prefix);
    return missing === undefined ? null : `the user in REDIS_URL lacks rights: ${missing}`;
  } catch (error) {
    const { message } = error as Error;
    // Away in this moment: looked at again with the next connection.
    return message.startsWith('NOPERM') ? `the user in REDIS_URL lacks rights: ${message}` : null;
  }
};

/**
 * Looks at the broker whenever a connection to it stands, and says what is wrong with it: in the log, and to who asks.
 * @returns what `/health/ready` shows: null when all is well.
 */
export const watchBroker = (options: {
  redis: RedisClient;
  redisUrl: string;
  prefix: string;
  isProduction: boolean;
  log: Log;
}): (() => string | null) => {
  const { redis, log } = options;
  const address = parseRedisUrl(options.redisUrl);
  let problem: string | null = null;
  let lastError: string | undefined;
  redis.on('error', (error: Error) => {
    lastError = explained(error, address);
  });
  redis.on('ready', async () => {
    lastError = undefined;
    problem = await brokerProblem(redis, options);
    if (problem !== null) log.error(problem);
  });
  return () => {
    if (redis.status === 'ready') return problem;
    return lastError === undefined
      ? `connection is ${redis.status}`
      : `connection is ${redis.status}: ${lastError}`;
  };
};
