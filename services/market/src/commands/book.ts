import { sendAs, type Trx } from '@aitbc/chassis';
import {
  type BodyOf,
  type Caller,
  fromMinor,
  invalidField,
  MAX_AMOUNT,
  type marketRoutes,
  newId,
  notFound,
  Problem,
  toMinor,
} from '@aitbc/contracts';
import { charge, toMinutes, windowMs } from '../domain/order.ts';
import { findGpu, updateGpu } from '../store/gpu.ts';
import { insertOrder, reserve } from '../store/order.ts';
import type { Clock } from '../store/stats.ts';
import type { Order } from '../tables.ts';
import { aroundCommit } from './saga.ts';

const send = sendAs<'market'>();

/** A start that lies so little in the past is a clock that differs: it means now. */
const CLOCK_TOLERANCE_MS = 60_000;
/** Money stands in escrow from booking to end, so far ahead at most. */
const AHEAD_MAX_MS = 30 * 86_400_000;

const startOf = (startTime: string | undefined, now: number): number => {
  if (startTime === undefined) return now;
  const start = Date.parse(startTime);
  if (start < now - CLOCK_TOLERANCE_MS) throw invalidField('start_time', 'must not lie in the past');
  if (start > now + AHEAD_MAX_MS) throw invalidField('start_time', 'must be at most 30 days ahead');
  return Math.max(start, now);
};

const notAvailable = (message: string) => new Problem('GPU_NOT_AVAILABLE', message);

/**
 * Takes the window and asks payments to hold its price, in one transaction: of two bookings that overlap one gets the
 * window, and the other is refused before any money was asked for.
 * @param holdMs how long payments may take. The window is kept that much longer until then, because it begins when the
 *   money is held: shrinking it to the true window cannot collide with anybody's.
 * @throws Problem GPU_NOT_AVAILABLE, PRICE_ABOVE_LIMIT, VALIDATION_ERROR, NOT_FOUND
 */
export const book = async (
  trx: Trx,
  caller: Caller,
  gpuId: string,
  body: BodyOf<typeof marketRoutes.book>,
  holdMs: number,
  clock: Clock,
): Promise<Order> => {
  const { now } = clock;
  const gpu = await findGpu(trx, gpuId);
  if (gpu === undefined) throw notFound('GPU');
  const startMs = startOf(body.start_time, now);
  const minutes = toMinutes(body.duration_hours);
  const endMs = startMs + windowMs(minutes, clock.scale);
  const amountMinor = charge(gpu.price_minor, minutes);
  if (amountMinor > toMinor(MAX_AMOUNT))
    throw invalidField('duration_hours', `costs more than one payment may carry (${MAX_AMOUNT} AITBC)`);

  if (gpu.is_offered === 0) throw notAvailable('Its owner does not offer this GPU at present.');
  if (gpu.absent_since_ms !== null) throw notAvailable('The miner of this GPU is not reachable at present.');
  if (body.max_price_per_hour !== undefined && gpu.price_minor > toMinor(body.max_price_per_hour)) {
    throw new Problem('PRICE_ABOVE_LIMIT', 'The price is above max_price_per_hour.', {
      details: { price_per_hour: fromMinor(gpu.price_minor) },
    });
  }

  const order: Order = {
    id: newId(),
    gpu_id: gpu.id,
    model: gpu.model,
    booker_id: caller.account_id,
    owner_id: gpu.owner_id,
    job_id: body.job_id ?? null,
    status: 'pending_payment',
    reason: null,
    price_minor: gpu.price_minor,
    minutes,
    amount_minor: amountMinor,
    start_at_ms: startMs,
    end_at_ms: endMs,
    hold_until_ms: now + holdMs,
    has_begun: 0,
    payment_id: null,
    used_minutes: null,
    pay_minor: null,
    created_at_ms: now,
    updated_at_ms: now,
    ended_at_ms: null,
    settled_at_ms: null,
    nudge_at_ms: null,
  };
  await insertOrder(trx, order);
  const isFree = await reserve(trx, {
    order_id: order.id,
    gpu_id: gpu.id,
    start_at_ms: startMs,
    end_at_ms: Math.max(startMs, order.hold_until_ms) + endMs - startMs,
  });
  if (!isFree) throw notAvailable('This GPU is booked for some or all of that time.');
  if (startMs <= now) await updateGpu(trx, gpu, { booked_order_id: order.id, is_rented: 0 }, clock);
  await send(trx, 'market.booking_requested', {
    order_id: order.id,
    gpu_id: gpu.id,
    booker_account_id: order.booker_id,
    owner_account_id: order.owner_id,
    credential_id: caller.credential_id,
    // A booking counts against the key's cap, unless the key was made to trade with all that the account holds.
    spend_cap_minor: caller.scopes.includes('trade') ? null : caller.spend_cap_minor,
    amount_minor: amountMinor,
  });
  aroundCommit(trx, 'book');
  return order;
};
