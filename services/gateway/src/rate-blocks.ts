/**
 * Units are taken ahead so long at most. What is used was counted up to a second before, so within a minute a caller may
 * get as much more than its limit as one block of each gateway holds: a sixteenth of the limit.
 */
const KEPT_MS = 1_000;
/** A block lasts a caller for about so long, by what it took in the second before. */
const LASTS_SECONDS = 0.5;
const SHARE_MAX = 1 / 16;
/** Only with so much of the limit left: near it each request is counted by itself, and the limit is exact. */
const LEFT_MIN = 1 / 4;
/** Slower callers, and small limits, are counted request by request: there is little to save. */
const PER_SECOND_MIN = 8;
const LIMIT_MIN = 1_000;
/** Callers remembered; beyond it the oldest are asked about anew, and what they had in hand is counted as used. */
const CALLERS_MAX = 10_000;

interface Caller {
  /** Units asked for in the second that runs, and in the one before. */
  startedAt: number;
  now: number;
  before: number;
  /** Units in hand: counted in `second`, theirs until `endsAt`. */
  units: number;
  second: number;
  endsAt: number;
  /** Of the limit as Redis said last, without what is in hand; and when units come back. */
  left: number;
  resetsAt: number;
}

/** What was drawn from a block. */
export interface Drawn {
  readonly second: number;
  readonly remaining: number;
  readonly resetSeconds: number;
}

/**
 * Units of busy callers, taken from Redis in blocks: one round trip for many requests, where the caller is far from its limit.
 * @param giveBack is called with what was not used in time
 */
export const createBlocks = (giveBack: (key: string, units: number, second: number) => void) => {
  const callers = new Map<string, Caller>();
  const inHand = new Set<string>();
  const callerOf = (key: string): Caller => {
    const known = callers.get(key);
    if (known !== undefined) return known;
    const made: Caller = {
      ...{ startedAt: performance.now(), now: 0, before: 0 },
      ...{ units: 0, second: 0, endsAt: 0, left: 0, resetsAt: 0 },
    };
    if (callers.size >= CALLERS_MAX) {
      const oldest = callers.keys().next().value as string;
      callers.delete(oldest);
      inHand.delete(oldest);
    }
    callers.set(key, made);
    return made;
  };
  const drop = (key: string, caller: Caller): void => {
    inHand.delete(key);
    if (caller.units > 0) giveBack(key, caller.units, caller.second);
    caller.units = 0;
  };
  const dropOld = (): void => {
    const now = performance.now();
    for (const key of inHand) {
      const caller = callers.get(key);
      if (caller !== undefined && caller.endsAt <= now) drop(key, caller);
    }
  };
  let timer: NodeJS.Timeout | undefined;
  const keep = (key: string): void => {
    inHand.add(key);
    // It runs while somebody has units in hand, and no longer.
    timer ??= setInterval(() => {
      dropOld();
      if (inHand.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    }, KEPT_MS / 2).unref();
  };

  return {
    /** Notes what is asked for. @returns it, from what is in hand; undefined when that is not enough */
    draw: (key: string, units: number): Drawn | undefined => {
      const caller = callerOf(key);
      const now = performance.now();
      if (now - caller.startedAt >= 1_000) {
        caller.before = now - caller.startedAt < 2_000 ? caller.now : 0;
        caller.now = 0;
        caller.startedAt = now;
      }
      caller.now += units;
      if (caller.units < units || caller.endsAt <= now) return undefined;
      caller.units -= units;
      return {
        second: caller.second,
        remaining: caller.left + caller.units,
        resetSeconds: Math.max(1, Math.ceil((caller.resetsAt - now) / 1_000)),
      };
    },
    /** How many units to take beyond those of one request. */
    ahead: (key: string, limit: number): number => {
      const { before, left, units } = callerOf(key);
      if (limit < LIMIT_MIN || before < PER_SECOND_MIN || left < limit * LEFT_MIN) return 0;
      return Math.max(0, Math.floor(Math.min(before * LASTS_SECONDS, limit * SHARE_MAX)) - units);
    },
    /** What Redis said: so many are left of the limit, and `units` of those taken are not used yet. */
    put: (
      key: string,
      answer: { left: number; resetSeconds: number; second: number },
      units: number,
    ): number => {
      const caller = callerOf(key);
      const now = performance.now();
      caller.left = answer.left;
      caller.resetsAt = now + answer.resetSeconds * 1_000;
      if (units > 0) {
        // Of two seconds the older counts: nothing is in hand longer than it may be.
        if (caller.units === 0) {
          caller.second = answer.second;
          caller.endsAt = now + KEPT_MS;
        }
        caller.units += units;
        keep(key);
      }
      return caller.left + caller.units;
    },
    /** A request cost less than it held. @returns whether the rest is in hand for those that follow */
    returned: (key: string, limit: number, units: number, takenAtMs: number): boolean => {
      const caller = callers.get(key);
      // Into a block that there is alone: it has an end, and a caller that is far from its limit.
      if (caller === undefined || caller.units === 0 || takenAtMs + KEPT_MS <= performance.now())
        return false;
      if (caller.units + units > limit * SHARE_MAX) return false;
      caller.units += units;
      caller.endsAt = Math.min(caller.endsAt, takenAtMs + KEPT_MS);
      return true;
    },
    stop: (): void => clearInterval(timer),
  };
};
