import type { OrderReason, OrderStatus } from '@aitbc/contracts';

export type OrderEvent =
  /** Payments holds the price in escrow. */
  | 'held'
  /** Payments refused the hold. */
  | 'refused'
  /** Payments did not answer in time. */
  | 'unanswered'
  /** Booker or owner ends it. */
  | 'released'
  /** Its end time has come. */
  | 'due'
  /** Its miner was away for too long. */
  | 'absent'
  /** An operator gives the money back. */
  | 'called_off'
  /** Payments emptied the escrow. */
  | 'settled';

type Outcome = OrderStatus | 'ignore' | 'conflict';

/**
 * What becomes of an order, for every state and event. A state is applied (with what it takes along: see commands),
 * `ignore` is a message heard before or a timer that came late, `conflict` must not happen or is the caller's 409.
 * A hold that reaches a cancelled order stays cancelled, and is given back.
 */
const TRANSITIONS: Record<OrderStatus, Record<OrderEvent, Outcome>> = {
  pending_payment: {
    held: 'active',
    refused: 'cancelled',
    unanswered: 'cancelled',
    released: 'cancelled',
    due: 'ignore',
    absent: 'ignore',
    called_off: 'cancelled',
    settled: 'conflict',
  },
  active: {
    held: 'ignore',
    refused: 'conflict',
    unanswered: 'ignore',
    released: 'ended',
    due: 'ended',
    absent: 'ended',
    called_off: 'ended',
    settled: 'conflict',
  },
  ended: {
    held: 'ignore',
    refused: 'conflict',
    unanswered: 'ignore',
    released: 'conflict',
    due: 'ignore',
    absent: 'ignore',
    called_off: 'ignore',
    settled: 'settled',
  },
  settled: {
    held: 'ignore',
    refused: 'conflict',
    unanswered: 'ignore',
    released: 'conflict',
    due: 'ignore',
    absent: 'ignore',
    called_off: 'ignore',
    settled: 'ignore',
  },
  cancelled: {
    held: 'cancelled',
    refused: 'ignore',
    unanswered: 'ignore',
    released: 'conflict',
    due: 'ignore',
    absent: 'ignore',
    called_off: 'ignore',
    settled: 'cancelled',
  },
};

export const afterEvent = (status: OrderStatus, event: OrderEvent): Outcome => TRANSITIONS[status][event];

const MINUTES_PER_HOUR = 60;
const MINUTE_MS = 60_000;

export const toMinutes = (hours: number): number => Math.round(hours * MINUTES_PER_HOUR);
export const toHours = (minutes: number): number => minutes / MINUTES_PER_HOUR;

/** How long `minutes` of a booking last on the clock; `scale` times shorter in development. */
export const windowMs = (minutes: number, scale: number): number =>
  Math.max(1, Math.round((minutes * MINUTE_MS) / scale));

/**
 * What `minutes` cost, rounded up to the minor unit, so that a started minute is never free and the whole is never
 * less than its parts promise.
 * @returns may be beyond what one payment can carry: the caller checks.
 */
export const charge = (priceMinor: number, minutes: number): number => {
  const product = BigInt(priceMinor) * BigInt(minutes);
  const hour = BigInt(MINUTES_PER_HOUR);
  return Number((product + hour - 1n) / hour);
};

/** The window of an order as agreed, in clock time, and how many minutes it stands for. */
export interface Agreed {
  readonly minutes: number;
  readonly start_at_ms: number;
  readonly end_at_ms: number;
}

/**
 * The minutes to pay when an order ends for `reason`.
 * - its time is up: all of them, however late the timer was;
 * - the booker gives it back: each started one, at least one; before its window began nothing was used, nothing is paid;
 * - an operator calls it off: none of them, whatever was used;
 * - the owner takes it back, or its miner went away at `stoppedAtMs`: whole ones only, so that nothing unused is paid.
 */
export const minutesToPay = (agreed: Agreed, reason: OrderReason, stoppedAtMs: number): number => {
  const { minutes, start_at_ms, end_at_ms } = agreed;
  const elapsedMs = Math.min(Math.max(stoppedAtMs - start_at_ms, 0), end_at_ms - start_at_ms);
  // 43,200 minutes × 30 days in ms stays below 2^53, so both roundings are exact.
  const used = (elapsedMs * minutes) / (end_at_ms - start_at_ms);
  if (reason === 'COMPLETED') return minutes;
  if (reason === 'REFUNDED_BY_OPERATOR') return 0;
  if (reason === 'RELEASED_BY_BOOKER') return stoppedAtMs < start_at_ms ? 0 : Math.max(1, Math.ceil(used));
  return Math.floor(used);
};

/** Why an order is cancelled by an answer of payments or by its absence. */
export const isRefusal = (reason: string | null): reason is 'INSUFFICIENT_FUNDS' | 'SPEND_CAP_EXCEEDED' =>
  reason === 'INSUFFICIENT_FUNDS' || reason === 'SPEND_CAP_EXCEEDED';
