import { builder, type ChassisTables, openStore, type Store, type Trx } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { messagesOf, scratchDatabase, timeLimit } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import { findOffer } from '../store/gpu.ts';
import { findOrder } from '../store/order.ts';
import type { Order, Tables } from '../tables.ts';
import { book } from './book.ts';
import { register } from './offer.ts';
import { calledOff, due, held, refused, release, settled, unanswered } from './saga.ts';

// An operator's wish for the money of a booking, in every state it can find the order in.

const db = builder<Tables & ChassisTables>();
const T0 = Date.parse('2026-03-01T00:00:00Z');
const MINUTE = 60_000;
const at = (now: number) => ({ now, scale: 1 });

let store: Store;
beforeAll(async () => {
  store = await openStore({
    url: scratchDatabase('market'),
    service: 'market',
    migrations,
  });
});
afterAll(() => store.close());

const setUp = async (trx: Trx, start: { start_time?: string } = {}) => {
  const caller = { credential_id: null, scopes: [], wallet_address: null, spend_cap_minor: null };
  const offered = { model: 'M', memory_gb: 24, region: 'eu', price_per_hour: 0.6, capabilities: [] };
  const gpuId = await register(trx, newId(), { ...offered, pricing: 'fixed' }, at(T0));
  const order = await book(
    trx,
    { ...caller, account_id: newId() },
    gpuId,
    { duration_hours: 1, ...start },
    timeLimit(30_000),
    at(T0),
  );
  const hold = { order_id: order.id, payment_id: newId() };
  const current = async () => (await findOrder(trx, order.id)) as Order;
  const settlement = async () => ({
    order_id: order.id,
    paid_minor: (await current()).pay_minor ?? 0,
    refunded_minor: order.amount_minor - ((await current()).pay_minor ?? 0),
  });
  const wish = { ...hold, account_id: newId(), reason: 'fraud' };
  const steps = {
    held: () => held(trx, hold, at(T0 + 1)),
    refused: () => refused(trx, { order_id: order.id, code: 'INSUFFICIENT_FUNDS', message: '' }, at(T0 + 1)),
    unanswered: () => unanswered(trx, order.id, at(T0 + 1)),
    withdrawn: async () => void (await release(trx, await current(), 'RELEASED_BY_BOOKER', at(T0 + 1))),
    released: async () =>
      void (await release(trx, await current(), 'RELEASED_BY_BOOKER', at(T0 + 30 * MINUTE))),
    due: () => due(trx, order.id, at(T0 + 61 * MINUTE)),
    settled: async () => settled(trx, await settlement(), at(T0 + 62 * MINUTE)),
    calledOff: () => calledOff(trx, wish, at(T0 + 40 * MINUTE)),
  };
  return { order, gpuId, hold, current, steps, settlement };
};

/** How market told payments that the order ended, each time. */
const endings = async (trx: Trx, orderId: string) =>
  (await trx.flush().then(() => trx.all(db.selectFrom('outbox').select('messages').orderBy('seq'))))
    .flatMap(messagesOf)
    .filter(({ name }) => name === 'market.booking_ended')
    .map(({ payload }) => payload as { order_id: string; pay_minor: number; reason: string })
    .filter(({ order_id }) => order_id === orderId)
    .map(({ pay_minor, reason }) => ({ pay_minor, reason }));

const HOUR_MINOR = 60_000_000;
const byOperator = { reason: 'REFUNDED_BY_OPERATOR', pay: 0 };
type StepName = keyof Awaited<ReturnType<typeof setUp>>['steps'];
const courses: Record<
  string,
  { before: StepName[]; later?: boolean; ends: string; reason: string; pay: number; last: string }
> = {
  'pending, held a moment ago': { before: [], ends: 'cancelled', ...byOperator, last: 'cancelled' },
  running: { before: ['held'], ends: 'ended', ...byOperator, last: 'settled' },
  'held, and its window is to come': {
    before: ['held'],
    later: true,
    ends: 'ended',
    ...byOperator,
    last: 'settled',
  },
  'ended early': {
    before: ['held', 'released'],
    ends: 'ended',
    reason: 'RELEASED_BY_BOOKER',
    pay: HOUR_MINOR / 2,
    last: 'settled',
  },
  'ended in its time': {
    before: ['held', 'due'],
    ends: 'ended',
    reason: 'COMPLETED',
    pay: HOUR_MINOR,
    last: 'settled',
  },
  settled: {
    before: ['held', 'due', 'settled'],
    ends: 'settled',
    reason: 'COMPLETED',
    pay: HOUR_MINOR,
    last: 'settled',
  },
  refused: {
    before: ['refused'],
    ends: 'cancelled',
    reason: 'INSUFFICIENT_FUNDS',
    pay: 0,
    last: 'cancelled',
  },
  unanswered: {
    before: ['unanswered'],
    ends: 'cancelled',
    reason: 'PAYMENT_TIMEOUT',
    pay: 0,
    last: 'cancelled',
  },
  'withdrawn, then held': {
    before: ['withdrawn', 'held'],
    ends: 'cancelled',
    reason: 'WITHDRAWN',
    pay: 0,
    last: 'cancelled',
  },
  'cancelled and given back': {
    before: ['unanswered', 'held', 'settled'],
    ends: 'cancelled',
    reason: 'PAYMENT_TIMEOUT',
    pay: 0,
    last: 'cancelled',
  },
};

describe('a booking that an operator calls off', () => {
  it.each(Object.keys(courses))('%s: once, twice, and after the settlement', async (name) => {
    const course = courses[name] as (typeof courses)[string];
    await store.transact('test', async (trx) => {
      const start = course.later === true ? { start_time: new Date(T0 + 120 * MINUTE).toISOString() } : {};
      const { order, gpuId, hold, current, steps, settlement } = await setUp(trx, start);
      for (const step of course.before) await steps[step]();
      const earlier = { order: await current(), said: await endings(trx, order.id) };
      await steps.calledOff();
      const once = await current();
      expect(once).toMatchObject({ status: course.ends, reason: course.reason });
      expect(once.pay_minor ?? 0).toBe(course.pay);
      // What had ended before stays as it was to the last field; what is said of it is said in the same words.
      if (['ended', 'settled', 'cancelled'].includes(earlier.order.status))
        expect(once).toEqual(earlier.order);
      const words = { pay_minor: course.pay, reason: course.reason };
      expect(await endings(trx, order.id)).toEqual([...earlier.said, words]);
      const free = async () => {
        expect(await findOffer(trx, gpuId)).toMatchObject({ booked_order_id: null, is_rented: 0 });
        expect(await trx.all(db.selectFrom('reservation').selectAll().where('gpu_id', '=', gpuId))).toEqual(
          [],
        );
      };
      await free();

      await steps.calledOff();
      expect(await current()).toEqual(once);
      expect(await endings(trx, order.id)).toEqual([...earlier.said, words, words]);

      // Payments' word of its hold was late, and then it gives back or pays as it was told.
      if (!course.before.includes('refused')) {
        await steps.held();
        expect(await current()).toMatchObject({ status: course.ends, payment_id: hold.payment_id });
        const wrong = { ...(await settlement()), paid_minor: (await settlement()).paid_minor + 1 };
        if (once.settled_at_ms === null)
          await expect(trx.savepoint(() => settled(trx, wrong, at(T0 + 62 * MINUTE)))).rejects.toThrow(
            'amounts',
          );
        await steps.settled();
        expect(await current()).toMatchObject({ status: course.last, nudge_at_ms: null });
        expect((await current()).settled_at_ms).not.toBeNull();
      }
      const over = await current();
      await steps.calledOff();
      await steps.due();
      expect(await current()).toEqual(over);
      expect(over.pay_minor ?? 0).toBe(course.pay);
      expect((await endings(trx, order.id)).at(-1)).toEqual(words);
      await free();
    });
  });

  it('an order nobody knows: all of it back', async () => {
    await store.transact('test', async (trx) => {
      const wish = { order_id: newId(), payment_id: newId(), account_id: newId(), reason: 'fraud' };
      await calledOff(trx, wish, at(T0));
      await calledOff(trx, wish, at(T0));
      const words = { pay_minor: 0, reason: 'unknown order' };
      expect(await endings(trx, wish.order_id)).toEqual([words, words]);
    });
  });
});
