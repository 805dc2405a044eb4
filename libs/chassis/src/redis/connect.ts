import type { EventEmitter } from 'node:events';
import { Cluster, Redis, type RedisCommander, type RedisOptions } from 'ioredis';
import type { Log } from '../log.ts';
import { parseRedisUrl, type RedisAddress } from './address.ts';
import { explained } from './explained.ts';

/** A Redis as its users see it, whatever stands behind: one server, a master that may change, or a cluster. */
export interface RedisClient extends RedisCommander, EventEmitter {
  /** `db`: which database of one server; a cluster has one alone. */
  readonly options: { readonly db?: number };
  readonly status: string;
  readonly isCluster: boolean;
  disconnect(): void;
  defineCommand(name: string, definition: { lua: string; numberOfKeys?: number }): void;
}

export type ConnectOptions = Pick<
  RedisOptions,
  | 'enableOfflineQueue'
  | 'maxRetriesPerRequest'
  | 'enableAutoPipelining'
  | 'commandTimeout'
  | 'autoResubscribe'
>;

type Common = Omit<RedisOptions, 'replyMapping'>;

/** BullMQ's scripts and ours read the replies as RESP2 shapes them. */
const REPLIES = 'legacy';

const retryMs = (times: number): number => Math.min(100 * 2 ** Math.min(times, 5), 2_000);
/** A host that is gone says nothing; ten seconds, the default, is as long as a fail-over takes. */
const CONNECT_TIMEOUT_MS = 3_000;
/**
 * Tries of one command on a cluster, 100 ms apart: MOVED and ASK take one or two. A master that died is away for
 * seconds; nobody here waits for that, all that is sent is sent again.
 */
const REDIRECTIONS_MAX = 5;

const keepHost = (host: string, done: (error: null, address: string) => void): void => done(null, host);

const clusterOf = (address: RedisAddress, common: Common, options: ConnectOptions): Cluster => {
  return new Cluster([...address.nodes], {
    clusterRetryStrategy: retryMs,
    enableOfflineQueue: options.enableOfflineQueue ?? false,
    enableAutoPipelining: options.enableAutoPipelining ?? false,
    // Who waits for ever (a worker) is to wait out a fail-over too.
    maxRedirections: options.maxRetriesPerRequest === null ? 100 : REDIRECTIONS_MAX,
    redisOptions: {
      ...common,
      replyMapping: REPLIES,
      maxRetriesPerRequest: options.maxRetriesPerRequest === undefined ? 1 : options.maxRetriesPerRequest,
      ...(options.commandTimeout === undefined ? {} : { commandTimeout: options.commandTimeout }),
    },
    // A certificate names hosts: an address that was looked up would not fit it.
    ...(address.tls === undefined ? {} : { dnsLookup: keepHost }),
  });
};

const serverOf = (address: RedisAddress, common: Common, options: ConnectOptions): Redis => {
  const [node] = address.nodes;
  const where: Common =
    address.kind === 'single'
      ? { ...node }
      : {
          sentinels: [...address.nodes],
          name: address.masterName as string,
          ...(address.sentinelUsername === undefined ? {} : { sentinelUsername: address.sentinelUsername }),
          ...(address.sentinelPassword === undefined ? {} : { sentinelPassword: address.sentinelPassword }),
          ...(address.tls === undefined ? {} : { enableTLSForSentinelMode: true, sentinelTLS: address.tls }),
          sentinelRetryStrategy: retryMs,
          // The Sentinels say when the master changed: one whose host is gone would be waited for until TCP gives up.
          failoverDetector: true,
        };
  return new Redis({
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    retryStrategy: retryMs,
    ...common,
    ...where,
    ...options,
    replyMapping: REPLIES,
    db: address.db,
    // A master that became a replica refuses writes: look for the master again, and send the command there.
    reconnectOnError: (error: Error) => (error.message.startsWith('READONLY') ? 2 : false),
  });
};

/**
 * A connection that fails at once while Redis is away, instead of queueing in memory. It comes back by itself, after a
 * fail-over to the new master.
 * @param url one that {@link parseRedisUrl} takes
 */
export const connectRedis = (url: string, log: Log, options: ConnectOptions = {}): RedisClient => {
  const address = parseRedisUrl(url);
  const common: Common = {
    ...(address.username === undefined ? {} : { username: address.username }),
    ...(address.password === undefined ? {} : { password: address.password }),
    ...(address.tls === undefined ? {} : { tls: address.tls }),
    connectTimeout: CONNECT_TIMEOUT_MS,
    // Two commands that say who we are to CLIENT LIST: rights that nothing else needs.
    disableClientInfo: true,
  };
  const redis = (address.kind === 'cluster'
    ? clusterOf(address, common, options)
    : serverOf(address, common, options)) as unknown as RedisClient;
  let lastError = '';
  redis.on('error', (error: Error) => {
    const message = explained(error, address);
    if (message !== lastError) log.warn({ err: message }, 'redis connection');
    lastError = message;
  });
  redis.on('ready', () => {
    lastError = '';
  });
  return redis;
};

/** The server itself, or each master of a cluster as it is known now: for what has to be asked everywhere. */
export const mastersOf = (redis: RedisClient): Redis[] =>
  redis.isCluster ? (redis as unknown as Cluster).nodes('master') : [redis as unknown as Redis];

/**
 * The beginning of keys that one script or transaction touches together: `prefix:name`, and on a cluster
 * `prefix:{prefix:name}`, as what stands in the braces decides which master holds a key. A single server keeps the
 * shorter names that it always had.
 */
export const keysTogether = (prefix: string, name: string, isCluster: boolean): string =>
  isCluster ? `${prefix}:{${prefix}:${name}}` : `${prefix}:${name}`;
