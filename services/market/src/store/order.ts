import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { OrderStatus } from '@aitbc/contracts';
import { sql } from 'kysely';
import type { Order, Review, Tables } from '../tables.ts';

const db = builder<Tables>();

const byId = hot((p: Params<{ id: string }>) =>
  db.selectFrom('orders').selectAll().where('id', '=', p('id')),
);
const insertReservation = hot((p: Params<Tables['reservation']>) =>
  db.insertInto('reservation').values({
    order_id: p('order_id'),
    gpu_id: p('gpu_id'),
    start_at_ms: p('start_at_ms'),
    end_at_ms: p('end_at_ms'),
  }),
);

export const findOrder = (reader: Reader, id: string): Promise<Order | undefined> => reader.get(byId, { id });

export const insertOrder = async (trx: Trx, order: Order): Promise<void> => {
  await trx.run(db.insertInto('orders').values(order));
};

/** Compare-and-set: `order` is what was read, in this transaction. */
export const changeOrder = async (
  trx: Trx,
  order: Order,
  changes: Partial<Order>,
  now: number,
): Promise<Order> => {
  const changed = await trx.run(
    db
      .updateTable('orders')
      .set({ ...changes, updated_at_ms: now })
      .where('id', '=', order.id)
      .where('status', '=', order.status),
  );
  if (changed !== 1) throw new Error(`order ${order.id} is no longer ${order.status}`);
  return { ...order, ...changes, updated_at_ms: now };
};

/** @returns false when the window overlaps one that is taken: the schema says so. */
export const reserve = async (trx: Trx, window: Tables['reservation']): Promise<boolean> =>
  (await trx.run(insertReservation, window)) === 1;

export const shrinkReservation = async (
  trx: Trx,
  orderId: string,
  startMs: number,
  endMs: number,
): Promise<void> => {
  await trx.run(
    db
      .updateTable('reservation')
      .set({ start_at_ms: startMs, end_at_ms: endMs })
      .where('order_id', '=', orderId),
  );
};

export const dropReservation = async (trx: Trx, orderId: string): Promise<void> => {
  await trx.run(db.deleteFrom('reservation').where('order_id', '=', orderId));
};

export const hasReservation = async (reader: Reader, gpuId: string): Promise<boolean> =>
  (await reader.get(db.selectFrom('reservation').select('order_id').where('gpu_id', '=', gpuId).limit(1))) !==
  undefined;

const countReservations = hot(() =>
  db.selectFrom('reservation').select((eb) => eb.fn.countAll<number>().as('n')),
);
export const openOrders = async (reader: Reader): Promise<number> =>
  (await reader.get(countReservations, {}))?.n ?? 0;

/** The windows taken after the one that runs, as agreed (a reservation is longer while its money is awaited). */
export const upcomingWindows = (
  reader: Reader,
  gpuId: string,
  currentOrderId: string | null,
  limit: number,
) =>
  reader.all(
    db
      .selectFrom('reservation')
      .innerJoin('orders', 'orders.id', 'reservation.order_id')
      .select(['orders.start_at_ms', 'orders.end_at_ms'])
      .where('reservation.gpu_id', '=', gpuId)
      .where('reservation.order_id', '<>', currentOrderId ?? '')
      .orderBy('reservation.start_at_ms')
      .limit(limit),
  );

/** The booking of a GPU that runs, else the next one, of a party. */
export const nextOpenOrder = (
  reader: Reader,
  gpuId: string,
  party: 'booker_id' | 'owner_id',
  accountId: string,
): Promise<Order | undefined> =>
  reader.get(
    db
      .selectFrom('reservation')
      .innerJoin('orders', 'orders.id', 'reservation.order_id')
      .selectAll('orders')
      .where('reservation.gpu_id', '=', gpuId)
      .where(`orders.${party}`, '=', accountId)
      .orderBy('reservation.start_at_ms')
      .limit(1),
  );

export const lastOrderOf = (reader: Reader, gpuId: string, bookerId: string): Promise<Order | undefined> =>
  reader.get(
    db
      .selectFrom('orders')
      .selectAll()
      .where('gpu_id', '=', gpuId)
      .where('booker_id', '=', bookerId)
      .orderBy('id', 'desc')
      .limit(1),
  );

// ── Timers ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What a timer finds due, oldest first. Each query walks one partial index, which SQLite takes only when the index's
 * condition stands in the query: so the constants are written out, not bound.
 */
export const due = {
  unanswered: hot((p: Params<{ now: number; limit: number }>) =>
    db
      .selectFrom('orders')
      .select('id')
      .where('status', '=', sql.lit('pending_payment'))
      .where('hold_until_ms', '<=', p('now'))
      .orderBy('hold_until_ms')
      .limit(p('limit')),
  ),
  ends: hot((p: Params<{ now: number; limit: number }>) =>
    db
      .selectFrom('orders')
      .select('id')
      .where('status', '=', sql.lit('active'))
      .where('end_at_ms', '<=', p('now'))
      .orderBy('end_at_ms')
      .limit(p('limit')),
  ),
  starts: hot((p: Params<{ now: number; limit: number }>) =>
    db
      .selectFrom('orders')
      .select('id')
      .where('status', '=', sql.lit('active'))
      .where('has_begun', '=', sql.lit(0))
      .where('start_at_ms', '<=', p('now'))
      .orderBy('start_at_ms')
      .limit(p('limit')),
  ),
  nudges: hot((p: Params<{ now: number; limit: number }>) =>
    db
      .selectFrom('orders')
      .select('id')
      .where('nudge_at_ms', 'is not', null)
      .where('nudge_at_ms', '<=', p('now'))
      .orderBy('nudge_at_ms')
      .limit(p('limit')),
  ),
};

// ── Lists ───────────────────────────────────────────────────────────────────────────────────────────────────────

type StatusFilter = OrderStatus | 'completed';

export const ordersBefore = (
  party: 'booker_id' | 'owner_id' | null,
  accountId: string,
  status: StatusFilter | undefined,
  beforeId: string,
  limit: number,
) => {
  let query = db
    .selectFrom('orders')
    .selectAll()
    .where('id', '<', beforeId)
    .orderBy('id', 'desc')
    .limit(limit);
  if (party !== null) query = query.where(party, '=', accountId);
  // What one rents from oneself is found as booker already.
  if (party === 'owner_id') query = query.where('booker_id', '<>', accountId);
  if (status === 'completed') query = query.where('status', 'in', ['ended', 'settled']);
  else if (status !== undefined) query = query.where('status', '=', status);
  return query;
};

/** Own orders, newest first, as booker and as owner; all of them when `accountId` is null. */
export const listOrders = async (
  reader: Reader,
  accountId: string | null,
  status: StatusFilter | undefined,
  beforeId: string,
  limit: number,
): Promise<Order[]> => {
  if (accountId === null) return await reader.all(ordersBefore(null, '', status, beforeId, limit));
  const asBooker = await reader.all(ordersBefore('booker_id', accountId, status, beforeId, limit));
  const asOwner = await reader.all(ordersBefore('owner_id', accountId, status, beforeId, limit));
  return [...asBooker, ...asOwner].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, limit);
};

// ── Reviews ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** Bookings of a GPU by an account that ran and ended, newest first, with their review's id. */
export const bookingsToReview = async (reader: Reader, gpuId: string, bookerId: string, orderId?: string) => {
  let query = db
    .selectFrom('orders')
    .leftJoin('review', 'review.order_id', 'orders.id')
    .select(['orders.id', 'orders.owner_id', 'orders.status', 'orders.pay_minor', 'review.id as review_id'])
    .where('orders.gpu_id', '=', gpuId)
    .where('orders.booker_id', '=', bookerId)
    .where('orders.status', 'in', ['ended', 'settled'])
    // One given back before its window began has shown nobody anything.
    .whereRef('orders.ended_at_ms', '>=', 'orders.start_at_ms')
    .orderBy('review.id', (order) => order.asc().nullsFirst())
    .orderBy('orders.id', 'desc')
    .limit(1);
  if (orderId !== undefined) query = query.where('orders.id', '=', orderId);
  return await reader.get(query);
};

const reviewOfOrder = hot((p: Params<{ order_id: string }>) =>
  db.selectFrom('review').selectAll().where('order_id', '=', p('order_id')),
);
export const findReviewOf = (reader: Reader, orderId: string): Promise<Review | undefined> =>
  reader.get(reviewOfOrder, { order_id: orderId });

export const findOpinion = (reader: Reader, ownerId: string, reviewerId: string) =>
  reader.get(
    db
      .selectFrom('opinion')
      .selectAll()
      .where('owner_id', '=', ownerId)
      .where('reviewer_id', '=', reviewerId),
  );

export const saveOpinion = async (trx: Trx, opinion: Tables['opinion']): Promise<void> => {
  await trx.run(
    db
      .insertInto('opinion')
      .values(opinion)
      .onConflict((conflict) => conflict.columns(['owner_id', 'reviewer_id']).doUpdateSet(opinion)),
  );
};

export const insertReview = async (trx: Trx, review: Review): Promise<void> => {
  await trx.run(db.insertInto('review').values(review));
};

export const listReviews = (
  reader: Reader,
  gpuId: string,
  beforeId: string,
  limit: number,
): Promise<Review[]> =>
  reader.all(
    db
      .selectFrom('review')
      .selectAll()
      .where('gpu_id', '=', gpuId)
      .where('id', '<', beforeId)
      .orderBy('id', 'desc')
      .limit(limit),
  );
