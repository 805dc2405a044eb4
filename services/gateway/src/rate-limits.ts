import { hash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectRedis, type Log } from '@aitbc/chassis';
import { Problem } from '@aitbc/contracts';
import { ipKeyGenerator } from 'express-rate-limit';
import { createBlocks } from './rate-blocks.ts';

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
  /** As many as were asked for, or what was left of them. */
  readonly units: number;
  readonly takenAtMs: number;
  /** When they were taken, by Redis's clock; null when this process counted them alone. */
  readonly second: number | null;
  readonly remaining: number;
  readonly resetSeconds: number;
  /** The window was full: the request must not go on. */
  readonly refused: boolean;
}

/** Used afterwards, taken, seconds until some come back, the second now: see rate-limits.lua. */
type Counted = [used: number, taken: number, resetSeconds: number, second: number];
type Script = (...args: (string | number)[]) => Promise<Counted>;

/** A batch that finds its budget held by another one of its own account waits so long at most for that to be settled. */
const TURN_MAX_MS = 5_000;
/** Batches of one account that wait; more are refused at once. */
const WAITING_MAX = 32;

/** One principal for what one household or server can choose addresses from: an IPv6 /56, an IPv4 address. */
export const principalOfAddress = (address: string): string => `ip:${ipKeyGenerator(address, 56)}`;

/**
 * Counts requests in Redis, for all gateways together and across restarts: one round trip a request, many in one
 * pipeline under load, and for busy callers that are far from their limit one for many ({@link createBlocks}). Without Redis each process counts for itself, so that requests are still answered.
 */
export const createRateLimits = (options: { redisUrl: string; redisPrefix: string; log: Log }) => {
  const keyOf = (budget: Budget): string => `${options.redisPrefix}:rate:${budget.name}:${budget.principal}`;
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
  const windowOf = (key: string) => {
    const now = performance.now();
    let window = local.get(key);
    if (window === undefined || window.endsAt <= now) {
      if (local.size >= LOCAL_MAX) local.delete(local.keys().next().value as string);
      window = { used: 0, endsAt: now + WINDOW_SECONDS * 1_000 };
      local.delete(key);
      local.set(key, window);
    }
    return window;
  };

  /** @returns undefined while Redis does not answer. */
  const ask = async (...args: Parameters<Script>): Promise<Counted | undefined> => {
    if (redis.status !== 'ready' || performance.now() < leftAloneUntil) return undefined;
    return script(...args).catch((error: Error) => {
      leftAloneUntil = performance.now() + LEFT_ALONE_MS;
      options.log.debug({ err: error.message }, 'rate limits count locally');
      return undefined;
    });
  };

  const blocks = createBlocks((key, units, second) => void ask(key, 0, 0, -units, second));

  const takeOnce = async (budget: Budget, units: number): Promise<Taken> => {
    const key = keyOf(budget);
    const { limit } = budget;
    const takenAtMs = performance.now();
    const drawn = blocks.draw(key, units);
    if (drawn !== undefined) return { budget, units, takenAtMs, ...drawn, refused: false };
    const answer = await ask(key, limit, units + blocks.ahead(key, limit));
    if (answer !== undefined) {
      const [used, counted, resetSeconds, second] = answer;
      const taken = Math.min(units, counted);
      const left = Math.max(0, limit - used);
      const remaining = blocks.put(key, { left, resetSeconds, second }, counted - taken);
      return { budget, units: taken, takenAtMs, second, remaining, resetSeconds, refused: taken === 0 };
    }
    const window = windowOf(key);
    const taken = Math.max(0, Math.min(units, budget.limit - window.used));
    window.used += taken;
    return {
      budget,
      units: taken,
      takenAtMs,
      second: null,
      remaining: Math.max(0, budget.limit - window.used),
      resetSeconds: Math.ceil((window.endsAt - performance.now()) / 1_000),
      refused: taken === 0,
    };
  };

  /** Adds units, or gives some back when below zero. */
  const correct = async ({ budget, second, takenAtMs }: Taken, units: number): Promise<void> => {
    const key = keyOf(budget);
    if (units < 0 && second !== null && blocks.returned(key, budget.limit, -units, takenAtMs)) return;
    if (second !== null && (await ask(key, budget.limit, 0, units, second)) !== undefined) return;
    // Taken in Redis and corrected here while that is away: the minute ends before it matters.
    const window = windowOf(key);
    window.used = Math.max(0, window.used + units);
  };

  /** What requests of unknown cost hold, by budget, and who waits for some of them to be settled. */
  const holding = new Map<string, { open: number; readonly waiting: Set<() => void> }>();

  const turn = async (waiting: Set<() => void>, untilMs: number): Promise<void> => {
    await new Promise<void>((resolve) => {
      const go = () => {
        clearTimeout(timer);
        waiting.delete(go);
        resolve();
      };
      const timer = setTimeout(go, Math.max(0, untilMs - performance.now()));
      waiting.add(go);
    });
  };

  return {
    start: async (): Promise<void> => {
      if (redis.status === 'ready') return;
      const waiting = new AbortController();
      const ready = once(redis, 'ready', { signal: waiting.signal }).catch(() => {});
      await Promise.race([ready, sleep(CONNECT_MAX_MS)]);
      waiting.abort();
    },
    take: (budget: Budget): Promise<Taken> => takeOnce(budget, 1),
    /**
     * Takes what a request may cost at most, or all that is left of it, before anything is done for it. Whoever gets
     * it must {@link settle} it, once. Others of this account wait a moment for that, as they may fit then.
     */
    hold: async (budget: Budget, units: number): Promise<Taken> => {
      const key = keyOf(budget);
      const untilMs = performance.now() + TURN_MAX_MS;
      for (;;) {
        const taken = await takeOnce(budget, units);
        const held = holding.get(key);
        if (!taken.refused) {
          if (held === undefined) holding.set(key, { open: 1, waiting: new Set() });
          else held.open += 1;
          return taken;
        }
        if (held === undefined || held.waiting.size >= WAITING_MAX || performance.now() >= untilMs)
          return taken;
        await turn(held.waiting, untilMs);
      }
    },
    /**
     * Once it is known what a request cost: gives back what it did not use, or adds what it used beyond. Never throws.
     * @returns what is left then.
     */
    settle: (taken: Taken, units: number): number => {
      const key = keyOf(taken.budget);
      const done = (): void => {
        const held = holding.get(key);
        if (held === undefined) return;
        held.open -= 1;
        if (held.open === 0) holding.delete(key);
        for (const go of [...held.waiting]) go();
      };
      if (units === taken.units) done();
      else void correct(taken, units - taken.units).finally(done);
      return Math.min(taken.budget.limit, Math.max(0, taken.remaining + taken.units - units));
    },
    stop: (): void => {
      blocks.stop();
      redis.disconnect();
    },
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

/** The same in the words that OpenAI's clients read. */
export const openAiRateHeaders = ({ budget, remaining, resetSeconds }: Taken): [string, string][] => [
  ['x-ratelimit-limit-requests', String(budget.limit)],
  ['x-ratelimit-remaining-requests', String(remaining)],
  ['x-ratelimit-reset-requests', `${resetSeconds}s`],
];

export const rateLimited = ({ budget, resetSeconds }: Taken): Problem =>
  new Problem('RATE_LIMITED', `More than ${budget.limit} requests a minute; wait ${resetSeconds} s.`, {
    details: { limit: budget.limit, retry_after_seconds: resetSeconds },
    retryAfterSeconds: resetSeconds,
  });
