import { type Handlers, pageOf, type Store } from '@aitbc/chassis';
import { type Caller, type marketRoutes, notFound, Problem } from '@aitbc/contracts';
import { book } from './commands/book.ts';
import { change, register, withdraw } from './commands/offer.ts';
import { review } from './commands/review.ts';
import { type Moment, release } from './commands/saga.ts';
import { isRefusal } from './domain/order.ts';
import type { Holds } from './holds.ts';
import { modelPricing } from './pricing.ts';
import { findOffer, type Offer, recentPrices } from './store/gpu.ts';
import { idAfter, idCursor, listOffers } from './store/list.ts';
import {
  findOrder,
  lastOrderOf,
  listOrders,
  listReviews,
  nextOpenOrder,
  upcomingWindows,
} from './store/order.ts';
import type { Order } from './tables.ts';
import { viewOffer, viewOfferDetail, viewOrder, viewReview } from './views.ts';

/** How long the answer to a booking waits for its money: payments answers in milliseconds, or is away. */
const HOLD_WAIT_MS = 2_000;
const UPCOMING_SHOWN = 20;

type Reader = Store['read'];

const offerOr404 = async (reader: Reader, id: string): Promise<Offer> => {
  const offer = await findOffer(reader, id);
  if (offer === undefined) throw notFound('GPU');
  return offer;
};

/** `limit + 1` rows to one page. */
const page = <T extends { id: string }, V>(rows: T[], limit: number, view: (row: T) => V) =>
  pageOf(rows, limit, view, (last) => idCursor(last.id));

/**
 * What the booking request came to. An order that went on since then (a repeated request finds it so) is answered as it
 * became active, the first answer.
 */
const answerOf = (order: Order) => {
  if (isRefusal(order.reason)) {
    throw new Problem(
      order.reason,
      order.reason === 'INSUFFICIENT_FUNDS'
        ? 'The account does not hold the price of this booking.'
        : 'This booking would exceed what the key may spend.',
      { details: { order_id: order.id } },
    );
  }
  const wasActive = order.status === 'ended' || order.status === 'settled';
  return viewOrder(
    wasActive
      ? {
          ...order,
          status: 'active',
          reason: null,
          used_minutes: null,
          pay_minor: null,
          ended_at_ms: null,
          settled_at_ms: null,
        }
      : order,
  );
};

/** Which booking of a GPU a caller means, and as whom. @throws Problem NOT_FOUND, ORDER_ALREADY_ENDED */
const orderToRelease = async (
  reader: Reader,
  caller: Caller,
  gpuId: string,
  orderId: string | undefined,
): Promise<Order> => {
  const me = caller.account_id;
  if (orderId !== undefined) {
    const order = await findOrder(reader, orderId);
    const isParty = order?.booker_id === me || order?.owner_id === me;
    if (order === undefined || !isParty || order.gpu_id !== gpuId) throw notFound('booking');
    return order;
  }
  const open =
    (await nextOpenOrder(reader, gpuId, 'booker_id', me)) ??
    (await nextOpenOrder(reader, gpuId, 'owner_id', me));
  const order = open ?? (await lastOrderOf(reader, gpuId, me));
  if (order === undefined) throw notFound('booking');
  return order;
};

export const createHandlers = (options: {
  store: Store;
  holds: Holds;
  clock: () => Moment;
  holdMs: number;
}): Handlers<typeof marketRoutes> => {
  const { store, holds, clock } = options;
  const { read } = store;
  return {
    register: (context) =>
      context.write(async (trx) => {
        const id = await register(trx, context.caller.account_id, context.body, clock());
        return { status: 201, body: viewOffer(await offerOr404(trx, id)) };
      }),
    list: async ({ query }) => {
      const { offers, cursorOf } = await listOffers(read, query);
      return { status: 200, body: await pageOf(offers, query.limit, viewOffer, cursorOf) };
    },
    get: async ({ params }) => {
      const offer = await offerOr404(read, params.gpu_id);
      const { booked_order_id } = offer;
      return {
        status: 200,
        body: viewOfferDetail(
          offer,
          booked_order_id === null ? undefined : await findOrder(read, booked_order_id),
          await upcomingWindows(read, offer.id, booked_order_id, UPCOMING_SHOWN),
          await recentPrices(read, offer.id),
        ),
      };
    },
    change: (context) =>
      context.write(async (trx) => {
        await change(trx, context.caller.account_id, context.params.gpu_id, context.body, clock());
        return { status: 200, body: viewOffer(await offerOr404(trx, context.params.gpu_id)) };
      }),
    withdraw: (context) =>
      context.write(async (trx) => {
        await withdraw(trx, context.caller.account_id, context.params.gpu_id, clock());
        return { status: 204, body: undefined };
      }),
    book: async (context) => {
      const booked = await context.write(async (trx) => {
        const order = await book(
          trx,
          context.caller,
          context.params.gpu_id,
          context.body,
          options.holdMs,
          clock(),
        );
        return { status: 201, body: viewOrder(order) };
      });
      const order = await holds.wait(booked.body.id, HOLD_WAIT_MS, context.signal);
      return { status: 201, body: answerOf(order) };
    },
    release: (context) =>
      context.write(async (trx) => {
        const { caller, params, query } = context;
        const order = await orderToRelease(trx, caller, params.gpu_id, query.order_id);
        const reason = order.booker_id === caller.account_id ? 'RELEASED_BY_BOOKER' : 'RELEASED_BY_OWNER';
        const released = await release(trx, order, reason, clock());
        if (released === null)
          throw new Problem('ORDER_ALREADY_ENDED', 'This booking has ended already.', {
            details: { order_id: order.id, status: order.status },
          });
        holds.answered(trx, order.id);
        return { status: 200, body: viewOrder(released) };
      }),
    reviews: async ({ params, query }) => {
      await offerOr404(read, params.gpu_id);
      const rows = await listReviews(read, params.gpu_id, idAfter(query.cursor), query.limit + 1);
      return { status: 200, body: await page(rows, query.limit, viewReview) };
    },
    review: (context) =>
      context.write(async (trx) => {
        const { caller, params, body } = context;
        const made = await review(trx, caller.account_id, params.gpu_id, body, clock());
        return { status: 201, body: viewReview(made) };
      }),
    orders: async ({ caller, query }) => {
      const whose = caller.scopes.includes('admin') ? null : caller.account_id;
      const rows = await listOrders(read, whose, query.status, idAfter(query.cursor), query.limit + 1);
      return { status: 200, body: await page(rows, query.limit, viewOrder) };
    },
    order: async ({ caller, params }) => {
      const order = await findOrder(read, params.order_id);
      const me = caller.account_id;
      const mayRead = order?.booker_id === me || order?.owner_id === me || caller.scopes.includes('admin');
      if (order === undefined || !mayRead) throw notFound('order');
      return { status: 200, body: viewOrder(order) };
    },
    pricing: async ({ params }) => {
      const body = await modelPricing(read, params.model, clock());
      if (body === null) throw notFound('GPU model on offer');
      return { status: 200, body };
    },
  };
};
