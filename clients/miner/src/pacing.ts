/** How long to wait between tries of one request. */
export interface Backoff {
  readonly baseMs: number;
  readonly capMs: number;
}

/**
 * 0.25 s, doubling to 15 s: a coordinator that restarts in a second is met again within a second, and one that is
 * down for long is asked four times a minute by each agent.
 */
const REQUEST_BACKOFF: Backoff = { baseMs: 250, capMs: 15_000 };

/** Liveness runs out after 30 s without a sign, so a failed heartbeat is tried again at least every 5 s. */
const HEARTBEAT_BACKOFF: Backoff = { baseMs: 250, capMs: 5_000 };

export interface Timing {
  readonly requestBackoff: Backoff;
  readonly heartbeatBackoff: Backoff;
  /** Before the next job while jobs fail in a row. */
  readonly troubleBackoff: Backoff;
  /** Between two probes of the backends. */
  readonly probeMs: number;
  /** After a drain has begun: how long running jobs may go on. */
  readonly drainMs: number;
  /** After the last job was stopped: how long the reports may take. */
  readonly reportMs: number;
}

export const DEFAULT_TIMING: Timing = {
  requestBackoff: REQUEST_BACKOFF,
  heartbeatBackoff: HEARTBEAT_BACKOFF,
  // A machine whose backend fails at once would otherwise use up the attempts of every job in the queue.
  troubleBackoff: { baseMs: 1_000, capMs: 60_000 },
  probeMs: 60_000,
  drainMs: 30_000,
  reportMs: 5_000,
};

/** An hour: a Retry-After beyond it is a mistake, and a miner that sleeps for a day looks dead. */
const RETRY_AFTER_MAX_MS = 3_600_000;

/**
 * Half fixed, half random: a thousand agents that lost the same coordinator at the same moment do not return at the
 * same moment, and none of them returns at once.
 */
export const backoffMs = (failures: number, { baseMs, capMs }: Backoff, random: () => number): number => {
  const full = Math.min(capMs, baseMs * 2 ** failures);
  return full / 2 + (random() * full) / 2;
};

/** What the server asked for is the least that is waited; up to a tenth (1 s) is added, so that callers spread out. */
export const retryDelayMs = (
  failures: number,
  retryAfterMs: number | null,
  backoff: Backoff,
  random: () => number = Math.random,
): number => {
  if (retryAfterMs === null) return backoffMs(failures, backoff, random);
  const asked = Math.min(retryAfterMs, RETRY_AFTER_MAX_MS);
  return asked + random() * Math.min(1000, asked / 10);
};

/** Retry-After is whole seconds or an HTTP date (RFC 9110, 10.2.3). Null when absent or unreadable. */
export const parseRetryAfter = (value: string | null, now: number): number | null => {
  if (value === null) return null;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
};

/** Waits, or returns early when the signal fires. Never rejects: the caller's loop looks at the signal anyway. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });

/** A thing to wait for that can happen again and again: a slot came free, a probe is wanted. */
export interface Notice {
  raise(): void;
  /** Resolves at the next `raise`, when the signal fires, or after `ms`. */
  wait(signal: AbortSignal, ms?: number): Promise<void>;
}

export const createNotice = (): Notice => {
  let waiting = new Set<() => void>();
  return {
    raise() {
      const woken = waiting;
      waiting = new Set();
      for (const wake of woken) wake();
    },
    wait(signal, ms) {
      return new Promise((resolve) => {
        if (signal.aborted) {
          resolve();
          return;
        }
        let timer: NodeJS.Timeout | undefined;
        const end = (): void => {
          clearTimeout(timer);
          waiting.delete(end);
          signal.removeEventListener('abort', end);
          resolve();
        };
        if (ms !== undefined) timer = setTimeout(end, ms);
        waiting.add(end);
        signal.addEventListener('abort', end, { once: true });
      });
    },
  };
};
