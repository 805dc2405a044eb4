import type { CallFailure } from './call.ts';

/** A receiver that answers within a fifth of a second takes 40 a second by so many at once. */
export const CALLS_PER_ENDPOINT_MAX = 8;
/** Whoever has many endpoints has no more of us than two good ones. */
export const CALLS_PER_ACCOUNT_MAX = 16;
/** Of all calls at once, those of endpoints that just failed: hanging, they keep nothing from the others. */
export const FAILING_SHARE = 1 / 4;

/** Deliveries that are not over, of one endpoint and of one account: what is beyond is left out, and counted. */
export const WAITING_PER_ENDPOINT_MAX = 10_000;
export const WAITING_PER_ACCOUNT_MAX = 20_000;
/** Of those that are over, in the log of one endpoint. */
export const KEPT_PER_ENDPOINT_MAX = 1_000;
/** In the log of one delivery: all of a day's tries, and some that were interrupted. */
export const ATTEMPTS_KEPT_MAX = 20;

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
/** After the first try, the second, …: together 23 h 43 min. */
const RETRY_AFTER_MS = [
  5 * SECOND,
  30 * SECOND,
  2 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  4 * HOUR,
  8 * HOUR,
  8 * HOUR,
];
/** One that waited behind others, or for an endpoint that rests, is not waited for longer than a day either. */
export const GIVEN_UP_AFTER_MS = 26 * HOUR;
/** After three days without a success an endpoint is switched off. */
export const DISABLED_AFTER_MS = 72 * HOUR;
/** An endpoint that fails one call after the other rests between them, so long at most. */
const REST_MAX_MS = 10 * MINUTE;
const REST_FIRST_MS = 5 * SECOND;
/** So much more or less, so that what failed together does not come back together. */
const JITTER = 0.2;
const GONE_STATUS = 410;

/** A call is taken for lost so long after it was handed out: it waits 15 s at most, and takes 10. */
export const LOST_AFTER_MS = 30 * SECOND;
export const CALL_BEFORE_MS = 15 * SECOND;
/** What we interrupted is tried again soon. */
export const AGAIN_AFTER_MS = SECOND;

export type AttemptError = CallFailure | 'bad_status' | 'interrupted';

/** One line of a delivery's log. */
export interface Attempt {
  readonly attempt: number;
  readonly started_at_ms: number;
  readonly duration_ms: number | null;
  readonly status: number | null;
  readonly error: AttemptError | null;
  readonly response: string | null;
}

/** What decides over an endpoint. */
export interface Standing {
  /** How many calls it may have at once: it grows with what gets through, and is one after a failure. */
  readonly at_once: number;
  /** One after the other. */
  readonly failures: number;
  readonly failing_since_ms: number | null;
  readonly rest_until_ms: number;
}
export const NEW_STANDING: Standing = { at_once: 1, failures: 0, failing_since_ms: null, rest_until_ms: 0 };

const jittered = (ms: number, random: number): number => Math.round(ms * (1 + JITTER * (2 * random - 1)));

export const succeeded = ({ at_once }: Standing): Standing => ({
  ...NEW_STANDING,
  at_once: Math.min(CALLS_PER_ENDPOINT_MAX, at_once + 1),
});

/** One bad answer among good ones is one event's fault: the endpoint rests from the second on. */
const restAfter = (failures: number): number =>
  failures < 2 ? 0 : Math.min(REST_MAX_MS, REST_FIRST_MS * 2 ** Math.min(failures - 2, 10));

/** @returns where the endpoint stands then, and why it is switched off, or null */
export const failed = (
  standing: Standing,
  status: number | null,
  nowMs: number,
  random: number,
): { standing: Standing; disabled: 'failing' | 'gone' | null } => {
  const failures = standing.failures + 1;
  const since = standing.failing_since_ms ?? nowMs;
  return {
    standing: {
      at_once: 1,
      failures,
      failing_since_ms: since,
      rest_until_ms: nowMs + jittered(restAfter(failures), random),
    },
    disabled: status === GONE_STATUS ? 'gone' : nowMs - since >= DISABLED_AFTER_MS ? 'failing' : null,
  };
};

/** @param failures of this delivery. @returns null when it is given up */
export const retryAfter = (failures: number, random: number): number | null => {
  const ms = RETRY_AFTER_MS[failures - 1];
  return ms === undefined ? null : jittered(ms, random);
};

export const isSuccess = (status: number | null): boolean => status !== null && status >= 200 && status < 300;
