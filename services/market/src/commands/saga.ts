import { failpoint, type Listeners, sendAs, type Trx } from '@aitbc/chassis';
import type { OrderReason, OrderStatus, Payload } from '@aitbc/contracts';
import { afterEvent, charge, minutesToPay, type OrderEvent } from '../domain/order.ts';
import { findGpu, markInterruption, updateGpu } from '../store/gpu.ts';
import { changeOrder, dropReservation, findOrder, shrinkReservation } from '../store/order.ts';
import type { Clock } from '../store/stats.ts';
import type { Order } from '../tables.ts';
import { countReview } from './review.ts';

const send = sendAs<'market'>();

/** When something happens, and who is told of it. */
export interface Moment extends Clock {
  /** Without them nobody is. */
  readonly listeners?: Pick<Listeners, 'among'>;
}

/** For the webhooks of both sides, where there are any. */
const announce = async (trx: Trx, order: Order, status: 'active' | 'ended', clock: Moment): Promise<void> => {
  const account_ids = clock.listeners?.among([order.booker_id, order.owner_id]) ?? [];
  if (account_ids.length === 0) return;
  await send(trx, 'market.announced', {
    account_ids,
    object_id: order.id,
    at_ms: clock.now,
    fact: {
      type: status === 'active' ? 'booking.started' : 'booking.ended',
      data: { order_id: order.id, gpu_id: order.gpu_id, status, reason: order.reason },
    },
  });
};

/** How long payments may take to settle before it is told again. */
const NUDGE_AFTER_MS = 60_000;

/** Where the crash tests end the process: around the commit of each step. */
export const aroundCommit = (trx: Trx, step: string): void => {
  failpoint(`market:${step}:before-commit`);
  trx.afterCommit(() => failpoint(`market:${step}:after-commit`));
};

/** @throws when the event contradicts what is known: the message becomes a dead letter, for an operator to look at. */
const next = (order: Order, event: OrderEvent): OrderStatus | 'ignore' => {
  const outcome = afterEvent(order.status, event);
  if (outcome === 'conflict') throw new Error(`order ${order.id} is ${order.status}, but was ${event}`);
  return outcome;
};

/** Payments holds the price: the window begins, or waits for its start time. */
export const held = async (
  trx: Trx,
  message: Payload<'payments.booking_held'>,
  clock: Moment,
): Promise<void> => {
  const order = await findOrder(trx, message.order_id);
  if (order === undefined) {
    await refundUnknown(trx, message.order_id);
    return;
  }
  if (order.payment_id !== null) {
    if (order.payment_id !== message.payment_id) throw new Error(`order ${order.id} was held twice`);
    return;
  }
  // The reservation covers a hold up to the deadline and no longer; the timer may just not have come by yet.
  if (order.status === 'pending_payment' && clock.now > order.hold_until_ms)
    await unanswered(trx, order.id, clock);
  const current = (await findOrder(trx, order.id)) ?? order;
  const outcome = next(current, 'held');
  if (outcome === 'active') await activate(trx, current, message.payment_id, clock);
  if (outcome === 'cancelled') await giveBack(trx, current, message.payment_id, clock);
  aroundCommit(trx, 'held');
};

const activate = async (trx: Trx, order: Order, paymentId: string, clock: Moment): Promise<void> => {
  const startMs = Math.max(order.start_at_ms, clock.now);
  const window = { start_at_ms: startMs, end_at_ms: startMs + order.end_at_ms - order.start_at_ms };
  await shrinkReservation(trx, order.id, window.start_at_ms, window.end_at_ms);
  const active = await changeOrder(
    trx,
    order,
    { status: 'active', payment_id: paymentId, ...window },
    clock.now,
  );
  if (startMs <= clock.now) await occupy(trx, active, clock);
};

/** The GPU shows as booked from now on; from the second try on, when the booking before it is ended first. */
const occupy = async (trx: Trx, order: Order, clock: Moment): Promise<void> => {
  const gpu = await findGpu(trx, order.gpu_id);
  if (gpu === undefined) throw new Error(`gpu ${order.gpu_id} was withdrawn with an open order`);
  if (gpu.booked_order_id !== null && gpu.booked_order_id !== order.id) return;
  const isRented = order.booker_id !== order.owner_id ? 1 : 0;
  await updateGpu(trx, gpu, { booked_order_id: order.id, is_rented: isRented }, clock);
  const begun = await changeOrder(trx, order, { has_begun: 1 }, clock.now);
  await announce(trx, begun, 'active', clock);
};

const vacate = async (trx: Trx, order: Order, clock: Moment): Promise<void> => {
  await dropReservation(trx, order.id);
  const gpu = await findGpu(trx, order.gpu_id);
  if (gpu?.booked_order_id === order.id)
    await updateGpu(trx, gpu, { booked_order_id: null, is_rented: 0 }, clock);
};

/** An order whose window has come. */
export const begin = async (trx: Trx, orderId: string, clock: Moment): Promise<void> => {
  const order = await findOrder(trx, orderId);
  if (order?.status !== 'active' || order.has_begun === 1 || order.start_at_ms > clock.now) return;
  await occupy(trx, order, clock);
};

const cancel = async (trx: Trx, order: Order, reason: OrderReason, clock: Moment): Promise<Order> => {
  await vacate(trx, order, clock);
  const changes = { status: 'cancelled', reason, ended_at_ms: clock.now } as const;
  return await changeOrder(trx, order, changes, clock.now);
};

/** A hold for an order that is cancelled: all of it back. */
const giveBack = async (trx: Trx, order: Order, paymentId: string, clock: Moment): Promise<void> => {
  await changeOrder(
    trx,
    order,
    { payment_id: paymentId, nudge_at_ms: clock.now + NUDGE_AFTER_MS },
    clock.now,
  );
  await sayEnded(trx, order);
};

/** A hold for an order that this file does not know, which happens after an old copy was put back. */
const refundUnknown = (trx: Trx, orderId: string): Promise<void> =>
  send(trx, 'market.booking_ended', { order_id: orderId, pay_minor: 0, reason: 'unknown order' });

export const refused = async (
  trx: Trx,
  message: Payload<'payments.booking_refused'>,
  clock: Moment,
): Promise<void> => {
  const order = await findOrder(trx, message.order_id);
  if (order === undefined || next(order, 'refused') === 'ignore') return;
  await cancel(trx, order, message.code, clock);
  aroundCommit(trx, 'refused');
};

/** The deadline of a hold. What payments may still hold is given back when it says so. */
export const unanswered = async (trx: Trx, orderId: string, clock: Moment): Promise<void> => {
  const order = await findOrder(trx, orderId);
  if (order === undefined || next(order, 'unanswered') === 'ignore') return;
  await cancel(trx, order, 'PAYMENT_TIMEOUT', clock);
  aroundCommit(trx, 'unanswered');
};

const end = async (
  trx: Trx,
  order: Order,
  reason: OrderReason,
  stoppedAtMs: number,
  clock: Moment,
): Promise<Order> => {
  // Its time was up before: then that is what ended it, however late the timer is.
  const cause = stoppedAtMs >= order.end_at_ms ? 'COMPLETED' : reason;
  const usedMinutes = minutesToPay(order, cause, stoppedAtMs);
  const payMinor = charge(order.price_minor, usedMinutes);
  await vacate(trx, order, clock);
  const ended = await changeOrder(
    trx,
    order,
    {
      status: 'ended',
      reason: cause,
      used_minutes: usedMinutes,
      pay_minor: payMinor,
      ended_at_ms: Math.min(clock.now, order.end_at_ms),
      nudge_at_ms: clock.now + NUDGE_AFTER_MS,
    },
    clock.now,
  );
  const isBroken = cause === 'RELEASED_BY_OWNER' || cause === 'MINER_ABSENT';
  if (isBroken && order.booker_id !== order.owner_id) await markInterruption(trx, order.owner_id);
  await send(trx, 'market.booking_ended', { order_id: order.id, pay_minor: payMinor, reason: cause });
  await announce(trx, ended, 'ended', clock);
  aroundCommit(trx, 'ended');
  return ended;
};

/** Ended by hand. @returns null when the order has ended already. */
export const release = async (
  trx: Trx,
  order: Order,
  reason: 'RELEASED_BY_BOOKER' | 'RELEASED_BY_OWNER',
  clock: Moment,
): Promise<Order | null> => {
  const outcome = afterEvent(order.status, 'released');
  if (outcome === 'conflict') return null;
  if (outcome === 'ended') return await end(trx, order, reason, clock.now, clock);
  const cancelled = await cancel(trx, order, 'WITHDRAWN', clock);
  aroundCommit(trx, 'withdrawn');
  return cancelled;
};

/** The end time has come. */
export const due = async (trx: Trx, orderId: string, clock: Moment): Promise<void> => {
  const order = await findOrder(trx, orderId);
  if (order === undefined || order.end_at_ms > clock.now || next(order, 'due') === 'ignore') return;
  await end(trx, order, 'COMPLETED', clock.now, clock);
};

/** The miner of a running booking was away for too long: paid is what it gave until it went. */
export const absent = async (trx: Trx, orderId: string, absenceMs: number, clock: Moment): Promise<void> => {
  const order = await findOrder(trx, orderId);
  if (order === undefined || next(order, 'absent') === 'ignore') return;
  const since = (await findGpu(trx, order.gpu_id))?.absent_since_ms ?? null;
  // It came back in the meantime.
  if (since === null || since > clock.now - absenceMs) return;
  await end(trx, order, 'MINER_ABSENT', since, clock);
};

/**
 * An operator wants a booking's money back, and payments asks. The order ends here with nothing to pay, by compare-and-set;
 * one that has ended already stays as it was, and says again how.
 */
export const calledOff = async (
  trx: Trx,
  message: Payload<'payments.booking_refund_requested'>,
  clock: Moment,
): Promise<void> => {
  const order = await findOrder(trx, message.order_id);
  if (order === undefined) {
    await refundUnknown(trx, message.order_id);
    return;
  }
  const outcome = next(order, 'called_off');
  if (outcome === 'ended') await end(trx, order, 'REFUNDED_BY_OPERATOR', clock.now, clock);
  else if (outcome === 'cancelled') {
    // Payments holds the money, though its word of that is still on the way.
    const cancelled = await cancel(trx, order, 'REFUNDED_BY_OPERATOR', clock);
    await giveBack(trx, cancelled, message.payment_id, clock);
  } else await sayEnded(trx, order);
  aroundCommit(trx, 'called_off');
};

const sayEnded = (trx: Trx, order: Order): Promise<void> =>
  send(trx, 'market.booking_ended', {
    order_id: order.id,
    pay_minor: order.pay_minor ?? 0,
    reason: order.reason ?? 'cancelled',
  });

/** Payments emptied the escrow. What it says was paid is the truth, and the order says so from then on. */
export const settled = async (
  trx: Trx,
  message: Payload<'payments.booking_settled'>,
  clock: Moment,
): Promise<void> => {
  const order = await findOrder(trx, message.order_id);
  if (order === undefined) return;
  const outcome = next(order, 'settled');
  if (outcome === 'ignore' || order.settled_at_ms !== null) return;
  const { paid_minor, refunded_minor } = message;
  if (paid_minor + refunded_minor !== order.amount_minor || (outcome === 'cancelled' && paid_minor > 0))
    throw new Error(`order ${order.id} was settled with amounts that it cannot have`);
  // In the release before this one an operator's refund did not pass through here.
  const isCorrected = outcome === 'settled' && paid_minor !== order.pay_minor;
  const truth = isCorrected ? ({ pay_minor: paid_minor, reason: 'REFUNDED_BY_OPERATOR' } as const) : {};
  const changes = { ...truth, status: outcome, settled_at_ms: clock.now, nudge_at_ms: null };
  await changeOrder(trx, order, changes, clock.now);
  await countReview(trx, order, message.paid_minor);
  aroundCommit(trx, 'settled');
};

/** Says again how an order ended, while payments has not said that it is settled. The same words each time. */
export const nudge = async (trx: Trx, orderId: string, clock: Moment): Promise<void> => {
  const order = await findOrder(trx, orderId);
  if (order?.nudge_at_ms == null || order.nudge_at_ms > clock.now || order.reason === null) return;
  await changeOrder(trx, order, { nudge_at_ms: clock.now + NUDGE_AFTER_MS }, clock.now);
  await sayEnded(trx, order);
};
