import { hash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, type Log } from '@aitbc/chassis';
import { Problem } from '@aitbc/contracts';
import { ipKeyGenerator } from 'express-rate-limit';

const WINDOW_SECONDS = 60;
/** A Redis that hangs holds the requests of one moment up, and then none for the next: this process counts alone. */
const REDIS_TIMEOUT_MS = 1_000;
const LEFT_ALONE_MS = 2_000;
/** Requests wait for nothing at the start, but the first ones should be counted with the others. */
const CONNECT_MAX_MS = 2_000;
/** Callers counted in memory at most, while Redis is away; beyond it the oldest start anew. */
const LOCAL_MAX = 100_000;

/** What one request draws from. */
export interface Budget {
  /** Shown in the headers: the rate class. */
  readonly name: string;
  /** Who: requests with the same class and principal share. */
  readonly principal: string;
  readonly limit: number;
}

export interface Taken {
  readonly budget: Budget;
  readonly remaining: number;
  readonly resetSeconds: number;
  /** The window was full: the request must not go on. */
  readonly refused: boolean;
}

type Script = (key: string, limit: number, units: number, force: 0 | 1) => Promise<[number, number, number]>;

/** One principal for what one household or server can choose addresses from: an IPv6 /56, an IPv4 address. */
export const principalOfAddress = (address: string): string => `ip:${ipKeyGenerator(address, 56)}`;

/**
 * Counts requests in Redis, for all gateways together and across restarts: one round trip a request, many in one
 * pipeline under load. Without Redis each process counts for itself, so that requests are still answered.
 */
export const createRateLimits = (options: { redisUrl: string; redisPrefix: string; log: Log }) => {
  const redis = connectRedis(options.redisUrl, options.log, {
    enableAutoPipelining: true,
    commandTimeout: REDIS_TIMEOUT_MS,
  });
  redis.defineCommand('takeUnits', {
    numberOfKeys: 1,
    lua: readFileSync(new URL('./rate-limits.lua', import.meta.url), 'utf8'),
  });
  const script = ((...args: Parameters<Script>) =>
    (redis as unknown as { takeUnits: Script }).takeUnits(...args)) satisfies Script;

  let leftAloneUntil = 0;
  const local = new Map<string, { used: number; endsAt: number }>();
  const takeLocally = (
    key: string,
    limit: number,
    units: number,
    force: boolean,
  ): [number, number, number] => {
    const now = performance.now();
    let window = local.get(key);
    if (window === undefined || window.endsAt <= now) {
      if (local.size >= LOCAL_MAX) local.delete(local.keys().next().value as string);
      window = { used: 0, endsAt: now + WINDOW_SECONDS * 1_000 };
      local.delete(key);
      local.set(key, window);
    }
    const taken = force || window.used + units <= limit;
    if (taken) window.used += units;
    return [window.used, taken ? 1 : 0, Math.ceil((window.endsAt - now) / 1_000)];
  };

  const take = async (budget: Budget, units: number, force: boolean): Promise<Taken> => {
    const key = `${options.redisPrefix}:rate:${budget.name}:${budget.principal}`;
    let answer: [number, number, number] | undefined;
    if (redis.status === 'ready' && performance.now() >= leftAloneUntil) {
      answer = await script(key, budget.limit, units, force ? 1 : 0).catch((error: Error) => {
        leftAloneUntil = performance.now() + LEFT_ALONE_MS;
        options.log.debug({ err: error.message }, 'rate limits count locally');
        return undefined;
      });
    }
    const [used, taken, resetSeconds] = answer ?? takeLocally(key, budget.limit, units, force);
    return { budget, remaining: Math.max(0, budget.limit - used), resetSeconds, refused: taken === 0 };
  };

  return {
    start: async (): Promise<void> => {
      if (redis.status === 'ready') return;
      const waiting = new AbortController();
      const ready = once(redis, 'ready', { signal: waiting.signal }).catch(() => {});
      await Promise.race([ready, sleep(CONNECT_MAX_MS)]);
      waiting.abort();
    },
    take: (budget: Budget): Promise<Taken> => take(budget, 1, false),
    /** For work already done: also beyond the limit. Never throws. */
    charge: (budget: Budget, units: number): void => void take(budget, units, true),
    stop: (): void => redis.disconnect(),
  };
};
export type RateLimits = ReturnType<typeof createRateLimits>;

const partitions = new Map<string, string>();
const PARTITIONS_MAX = 10_000;

/** Names the principal in the headers without telling who it is. */
const partitionOf = (budget: Budget): string => {
  const known = partitions.get(budget.principal);
  if (known !== undefined) return known;
  const made = hash('sha256', budget.principal, 'base64').slice(0, 12);
  if (partitions.size >= PARTITIONS_MAX) partitions.clear();
  partitions.set(budget.principal, made);
  return made;
};

/** The fields of draft-ietf-httpapi-ratelimit-headers-08. */
export const rateLimitHeaders = ({ budget, remaining, resetSeconds }: Taken): [string, string][] => [
  ['RateLimit', `"${budget.name}";r=${remaining};t=${resetSeconds}`],
  ['RateLimit-Policy', `"${budget.name}";q=${budget.limit};w=${WINDOW_SECONDS};pk=:${partitionOf(budget)}:`],
];

export const rateLimited = ({ budget, resetSeconds }: Taken): Problem =>
  new Problem('RATE_LIMITED', `More than ${budget.limit} requests a minute; wait ${resetSeconds} s.`, {
    details: { limit: budget.limit, retry_after_seconds: resetSeconds },
    retryAfterSeconds: resetSeconds,
  });
