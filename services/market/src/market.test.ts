import { type Caller, routes } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Scene, startScene } from './market.fixture.ts';

const { market } = routes;
// A booking hour lasts a second.
const SCALE = '3600';

let scene: Scene;
let owner: Caller;
beforeAll(async () => {
  scene = await startScene({
    BUSINESS_TIME_SCALE: SCALE,
    BOOKING_ABSENCE_SECONDS: '0.3',
    BOOKING_HOLD_SECONDS: '4',
  });
  owner = someone(['miner']);
});
afterAll(() => scene.stop());

const book = (
  caller: Caller,
  gpuId: string,
  body: Record<string, unknown> = { duration_hours: 2 },
  key?: string,
) =>
  scene.call(caller).call(market.book, {
    params: { gpu_id: gpuId },
    body: body as never,
    ...(key === undefined ? {} : { idempotencyKey: key }),
  });
const release = (caller: Caller, gpuId: string, orderId?: string) =>
  scene.call(caller).call(market.release, {
    params: { gpu_id: gpuId },
    query: orderId === undefined ? {} : { order_id: orderId },
  });
const getOrder = async (caller: Caller, orderId: string) => {
  const reply = await scene.call(caller).call(market.order, { params: { order_id: orderId } });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body;
};
const getGpu = async (gpuId: string) => {
  const reply = await scene.call(null).call(market.get, { params: { gpu_id: gpuId } });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body;
};
const settled = (caller: Caller, orderId: string) =>
  eventually(async () => {
    const order = await getOrder(caller, orderId);
    return order.status === 'settled' && order;
  });
const booked = async (caller: Caller, gpuId: string, body?: Record<string, unknown>) => {
  const reply = await book(caller, gpuId, body);
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body;
};
const codeOf = (reply: { ok: boolean; status: number; body: unknown }) =>
  reply.ok ? null : [reply.status, (reply.body as { error: { code: string } }).error.code];

describe('offers', () => {
  it('are registered, found, changed and withdrawn', async () => {
    const gpu = await scene.offer(owner, {
      model: 'A100',
      capabilities: ['llm_inference'],
      cuda_version: '12.4',
    });
    expect(gpu).toMatchObject({
      model: 'A100',
      available: true,
      price_per_hour: 0.6,
      rating: null,
      owner_interruptions: 0,
    });
    const changed = await scene.call(owner).call(market.change, {
      params: { gpu_id: gpu.id },
      body: { price_per_hour: 0.7, available: false },
    });
    expect(changed.body).toMatchObject({ price_per_hour: 0.7, available: false });
    expect(codeOf(await book(await scene.client(), gpu.id))).toEqual([409, 'GPU_NOT_AVAILABLE']);
    const detail = await getGpu(gpu.id);
    expect(detail.price_history.map((entry) => entry.price_per_hour)).toEqual([0.7, 0.6]);
    const gone = await scene.call(owner).call(market.withdraw, { params: { gpu_id: gpu.id } });
    expect(gone.status).toBe(204);
    expect(codeOf(await scene.call(null).call(market.get, { params: { gpu_id: gpu.id } }))).toEqual([
      404,
      'NOT_FOUND',
    ]);
    expect(codeOf(await book(await scene.client(), gpu.id))).toEqual([404, 'NOT_FOUND']);
  });

  it('belong to their owner alone', async () => {
    const gpu = await scene.offer(owner);
    const stranger = someone(['miner']);
    const params = { gpu_id: gpu.id };
    expect(
      codeOf(await scene.call(stranger).call(market.change, { params, body: { available: false } })),
    ).toEqual([404, 'NOT_FOUND']);
    expect(codeOf(await scene.call(stranger).call(market.withdraw, { params }))).toEqual([404, 'NOT_FOUND']);
    expect(codeOf(await scene.call(await scene.client()).call(market.withdraw, { params }))).toEqual([
      403,
      'FORBIDDEN',
    ]);
    expect((await getGpu(gpu.id)).available).toBe(true);
  });

  it.each([
    ['price_per_hour', 0],
    ['price_per_hour', -1],
    ['price_per_hour', 1e-9],
    ['price_per_hour', 10_000_000.1],
    ['price_per_hour', 1e308],
    ['price_per_hour', Number.POSITIVE_INFINITY],
    ['price_per_hour', '1'],
    ['memory_gb', 0],
    ['memory_gb', -24],
    ['memory_gb', Number.NaN],
    ['model', ''],
    ['model', '../x'],
    ['model', 'a/b'],
    ['model', 'x'.repeat(101)],
    ['pricing', 'free'],
    ['unknown', 1],
  ])('with %s %s are refused with the field named', async (field, value) => {
    const reply = await scene.call(owner).call(market.register, {
      body: { model: 'T4', memory_gb: 16, region: 'eu', price_per_hour: 1, [field]: value } as never,
    });
    expect(reply.status).toBe(422);
    expect(JSON.stringify(reply.body)).toContain(field);
  });

  it('with the same Idempotency-Key are one', async () => {
    const register = () =>
      scene.call(owner).call(market.register, {
        body: { model: 'L4', memory_gb: 24, region: 'eu', price_per_hour: 1 },
        idempotencyKey: 'offer-1',
      });
    const [first, second] = [await register(), await register()];
    expect(second.body).toEqual(first.body);
    expect((await scene.call(null).call(market.pricing, { params: { model: 'L4' } })).body).toMatchObject({
      total: 1,
    });
  });
});

describe('the name of a card', () => {
  it('finds and prices the same offers however it is written', async () => {
    const region = 'Case-West';
    const written = ['GX 7700', 'gx 7700', 'GX-7700'];
    const offers = [];
    for (const [index, model] of written.entries())
      offers.push(await scene.offer(owner, { model, region, price_per_hour: index + 1 }));
    expect(offers.map(({ model }) => model)).toEqual(written);
    const other = await scene.offer(owner, { model: 'GX 7700 SUPER', region });
    for (const model of [...written, 'gX7700']) {
      for (const wanted of [region, 'case-west']) {
        const reply = await scene.call(null).call(market.list, { query: { model, region: wanted } });
        if (!reply.ok) throw new Error(JSON.stringify(reply.body));
        expect(reply.body.items.map(({ id }) => id).sort()).toEqual(offers.map(({ id }) => id).sort());
      }
      const pricing = await scene.call(null).call(market.pricing, { params: { model } });
      expect(pricing.body).toMatchObject({ model, total: 3, min_price: 1, median_price: 2, max_price: 3 });
    }
    expect(other.model).toBe('GX 7700 SUPER');
  });
});

describe('a dynamic price', () => {
  it('is stepped by itself, keeps its history and shows what it came from', async () => {
    const gpu = await scene.offer(owner, { model: 'B200', pricing: 'dynamic', price_per_hour: 10 });
    expect(await getGpu(gpu.id)).toMatchObject({
      pricing: 'dynamic',
      price_per_hour: 10,
      price_factors: null,
    });
    // Nobody rents it: the price falls, a tenth a step, towards half of its base.
    const stepped = await eventually(async () => {
      const seen = await getGpu(gpu.id);
      // Price and history are read one after the other, and a step may come in between.
      return seen.price_history.length >= 3 && seen.price_factors?.price === seen.price_per_hour && seen;
    });
    const factors = stepped.price_factors;
    if (factors === null) throw new Error('no factors');
    expect(stepped.price_history.map((entry) => entry.price_per_hour).slice(-3)).toEqual([8.1, 9, 10]);
    expect(factors).toMatchObject({
      base_price: 10,
      utilization_24h: 0,
      competing_offers: 0,
      multiplier: 0.5,
    });
    expect(factors.price).toBe(stepped.price_per_hour);
    expect(factors.price).toBe(
      Math.min(factors.step_max, Math.max(factors.step_min, factors.base_price * factors.multiplier)),
    );
    const fixed = await scene.call(owner).call(market.change, {
      params: { gpu_id: gpu.id },
      body: { pricing: 'fixed' },
    });
    expect(fixed.body).toMatchObject({ pricing: 'fixed', price_per_hour: 10, base_price_per_hour: 10 });
    expect((await getGpu(gpu.id)).price_factors).toBeNull();
  });
});

describe('a booking', () => {
  it('is paid, runs, ends by itself and is settled', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client(10);
    const paidBefore = await scene.payments.balance(owner);
    const order = await booked(client, gpu.id, { duration_hours: 1.5 });
    expect(order).toMatchObject({
      status: 'active',
      amount: 0.9,
      duration_hours: 1.5,
      price_per_hour: 0.6,
      paid: null,
    });
    expect(Date.parse(order.end_time) - Date.parse(order.start_time)).toBe(1_500);
    expect(await scene.payments.balance(client)).toBe(9.1);
    const shown = await getGpu(gpu.id);
    expect(shown.available).toBe(false);
    expect(shown.current_booking).toEqual({ start_time: order.start_time, end_time: order.end_time });
    const done = await settled(client, order.id);
    expect(done).toMatchObject({
      reason: 'COMPLETED',
      paid: 0.9,
      refunded: 0,
      used_minutes: 90,
      ended_at: order.end_time,
    });
    expect(await scene.payments.balance(client)).toBe(9.1);
    expect((await scene.payments.balance(owner)) - paidBefore).toBeCloseTo(0.9, 8);
    expect((await getGpu(gpu.id)).available).toBe(true);
  });

  it('without money is 402, and leaves the GPU free', async () => {
    const gpu = await scene.offer(owner);
    const poor = await scene.client(0.1);
    expect(codeOf(await book(poor, gpu.id))).toEqual([402, 'INSUFFICIENT_FUNDS']);
    expect(await scene.payments.balance(poor)).toBe(0.1);
    expect((await getGpu(gpu.id)).available).toBe(true);
    const orders = await scene.call(poor).call(market.orders, { query: {} });
    expect(orders.body).toMatchObject({ items: [{ status: 'cancelled', reason: 'INSUFFICIENT_FUNDS' }] });
    expect((await booked(await scene.client(), gpu.id)).status).toBe('active');
  });

  it('released by its booker pays each started minute and gives the rest back', async () => {
    const gpu = await scene.offer(owner, { price_per_hour: 6 });
    const client = await scene.client(100);
    const order = await booked(client, gpu.id, { duration_hours: 10 });
    const released = await release(client, gpu.id);
    expect(released.body).toMatchObject({ id: order.id, status: 'ended', reason: 'RELEASED_BY_BOOKER' });
    const done = await settled(client, order.id);
    const minutes = done.used_minutes as number;
    expect(minutes).toBeGreaterThanOrEqual(1);
    expect(minutes).toBeLessThan(600);
    expect(done.paid).toBeCloseTo(minutes * 0.1, 8);
    expect(await scene.payments.balance(client)).toBeCloseTo(100 - minutes * 0.1, 8);
    expect(codeOf(await release(client, gpu.id))).toEqual([409, 'ORDER_ALREADY_ENDED']);
    expect(codeOf(await release(client, gpu.id, order.id))).toEqual([409, 'ORDER_ALREADY_ENDED']);
    expect((await getGpu(gpu.id)).owner_interruptions).toBe(0);
  });

  it('given up by the booker before it begins costs nothing', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client(100);
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    const order = await booked(client, gpu.id, { duration_hours: 10, start_time: tomorrow });
    expect((await release(client, gpu.id)).body).toMatchObject({
      reason: 'RELEASED_BY_BOOKER',
      used_minutes: 0,
      paid: 0,
      refunded: 6,
    });
    await settled(client, order.id);
    expect(await scene.payments.balance(client)).toBe(100);
  });

  it('released by the owner pays whole minutes only and marks the owner', async () => {
    const landlord = someone(['miner']);
    const gpu = await scene.offer(landlord);
    const client = await scene.client(100);
    const start = new Date(Date.now() + 3_600_000).toISOString();
    const order = await booked(client, gpu.id, { duration_hours: 10, start_time: start });
    expect(codeOf(await release(someone(['client']), gpu.id))).toEqual([404, 'NOT_FOUND']);
    expect(codeOf(await scene.call(landlord).call(market.withdraw, { params: { gpu_id: gpu.id } }))).toEqual([
      409,
      'GPU_BOOKED',
    ]);
    expect((await release(landlord, gpu.id)).body).toMatchObject({
      reason: 'RELEASED_BY_OWNER',
      paid: 0,
      refunded: 6,
    });
    await settled(client, order.id);
    expect(await scene.payments.balance(client)).toBe(100);
    expect((await getGpu(gpu.id)).owner_interruptions).toBe(1);
    expect((await scene.call(landlord).call(market.withdraw, { params: { gpu_id: gpu.id } })).status).toBe(
      204,
    );
  });

  it('overlapping another is 409, a window beside it is not', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client();
    // Fixed once: an hour is a second here, so a clock that goes on would shift the windows.
    const base = Date.now() + 3_600_000;
    const at = (minutes: number) => new Date(base + (minutes * 60_000) / 3_600).toISOString();
    const [from, to] = [at(0), at(120)];
    await booked(client, gpu.id, { duration_hours: 2, start_time: from });
    for (const [start, hours] of [
      [from, 2],
      [at(60), 0.5],
      [at(60), 5],
      [at(-60), 1.5],
      [at(-60), 9],
    ] as const)
      expect(codeOf(await book(client, gpu.id, { duration_hours: hours, start_time: start }))).toEqual([
        409,
        'GPU_NOT_AVAILABLE',
      ]);
    expect((await booked(client, gpu.id, { duration_hours: 1, start_time: to })).status).toBe('active');
    expect((await booked(client, gpu.id, { duration_hours: 1, start_time: at(-60) })).status).toBe('active');
    // Now is free, and all three are to be seen.
    const detail = await getGpu(gpu.id);
    expect(detail).toMatchObject({ available: true, current_booking: null });
    expect(detail.upcoming_bookings).toHaveLength(3);
  });

  it('for later begins and ends by itself', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client();
    const order = await booked(client, gpu.id, {
      duration_hours: 1,
      // Time for its money to be held, and for a look, before it begins.
      start_time: new Date(Date.now() + 2_500).toISOString(),
    });
    expect(order.status).toBe('active');
    expect((await getGpu(gpu.id)).available).toBe(true);
    const begun = await eventually(async () => {
      const seen = await getGpu(gpu.id);
      return seen.current_booking !== null && seen;
    });
    expect(begun.available).toBe(false);
    expect(await settled(client, order.id)).toMatchObject({ reason: 'COMPLETED' });
  });

  it.each([
    ['duration_hours', 0],
    ['duration_hours', -1],
    ['duration_hours', 0.01],
    ['duration_hours', 1e-300],
    ['duration_hours', 720.0001],
    ['duration_hours', 1e308],
    ['duration_hours', Number.POSITIVE_INFINITY],
    ['duration_hours', '2'],
    ['max_price_per_hour', -1],
    ['max_price_per_hour', 0],
    ['start_time', '2020-01-01T00:00:00Z'],
    ['start_time', '2999-01-01T00:00:00Z'],
    ['start_time', 'tomorrow'],
    ['job_id', 'x'],
    ['extra', true],
  ])('with %s %s is refused with the field named', async (field, value) => {
    const gpu = await scene.offer(owner);
    const client = await scene.client();
    const reply = await book(client, gpu.id, { duration_hours: 1, [field]: value });
    expect(reply.status).toBe(422);
    expect(JSON.stringify(reply.body)).toContain(field);
    expect((await getGpu(gpu.id)).available).toBe(true);
  });

  it('that costs more than a payment may carry is refused', async () => {
    const gpu = await scene.offer(owner, { price_per_hour: 10_000_000 });
    const reply = await book(await scene.client(), gpu.id, { duration_hours: 2 });
    expect(reply.status).toBe(422);
  });

  it('above the price limit is 409 before anything happens', async () => {
    const gpu = await scene.offer(owner, { price_per_hour: 1.01 });
    const client = await scene.client();
    expect(codeOf(await book(client, gpu.id, { duration_hours: 1, max_price_per_hour: 1 }))).toEqual([
      409,
      'PRICE_ABOVE_LIMIT',
    ]);
    expect((await booked(client, gpu.id, { duration_hours: 1, max_price_per_hour: 1.01 })).amount).toBe(1.01);
  });

  it('repeated with the same key is one booking, one hold, one answer', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client(100);
    const replies = await Promise.all(
      [1, 2, 3].map(() => book(client, gpu.id, { duration_hours: 1 }, 'book-1')),
    );
    const late = await book(client, gpu.id, { duration_hours: 1 }, 'book-1');
    expect(replies.map((reply) => reply.status)).toEqual([201, 201, 201]);
    expect(new Set([...replies, late].map((reply) => reply.ok && reply.body.id)).size).toBe(1);
    const order = replies[0]?.ok === true ? replies[0].body : undefined;
    await settled(client, order?.id as string);
    const afterwards = await book(client, gpu.id, { duration_hours: 1 }, 'book-1');
    expect(afterwards).toMatchObject({ status: 201, body: { id: order?.id, status: 'active', paid: null } });
    expect(await scene.payments.balance(client)).toBe(99.4);
    expect(codeOf(await book(client, gpu.id, { duration_hours: 2 }, 'book-1'))).toEqual([
      422,
      'IDEMPOTENCY_KEY_REUSED',
    ]);
  });
});

describe('when payments is slow or away', () => {
  it('answers pending, then becomes active', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client();
    scene.payments.behaviour.isSilent = true;
    try {
      const startedAt = performance.now();
      const order = await booked(client, gpu.id, { duration_hours: 3 });
      expect(order.status).toBe('pending_payment');
      expect(performance.now() - startedAt).toBeGreaterThan(1_900);
      expect(codeOf(await book(client, gpu.id))).toEqual([409, 'GPU_NOT_AVAILABLE']);
      await scene.payments.sayHeld(order.id);
      const active = await eventually(async () => {
        const seen = await getOrder(client, order.id);
        return seen.status === 'active' && seen;
      });
      // The window begins with the money: nothing of it is lost by waiting.
      expect(Date.parse(active.start_time)).toBeGreaterThan(Date.parse(order.start_time) + 1_500);
      expect(Date.parse(active.end_time) - Date.parse(active.start_time)).toBe(3_000);
    } finally {
      scene.payments.behaviour.isSilent = false;
    }
  });

  it('cancels by itself at the deadline, and gives a late hold back, once', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client(100);
    scene.payments.behaviour.isSilent = true;
    try {
      const order = await booked(client, gpu.id);
      const cancelled = await eventually(
        async () => {
          const seen = await getOrder(client, order.id);
          return seen.status === 'cancelled' && seen;
        },
        { withinMs: 15_000 },
      );
      expect(cancelled.reason).toBe('PAYMENT_TIMEOUT');
      expect((await getGpu(gpu.id)).available).toBe(true);
      await scene.payments.sayHeld(order.id);
      await scene.payments.sayHeld(order.id);
      await eventually(async () => (await scene.payments.balance(client)) === 100);
      await eventually(async () => (await getOrder(client, order.id)).settled_at !== null);
      expect(await getOrder(client, order.id)).toMatchObject({ status: 'cancelled', paid: 0, refunded: 1.2 });
    } finally {
      scene.payments.behaviour.isSilent = false;
    }
  });

  it('released before its money is held is cancelled, and refunded when it is', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client(100);
    scene.payments.behaviour.isSilent = true;
    try {
      const waiting = book(client, gpu.id);
      await eventually(async () => (await getGpu(gpu.id)).current_booking !== null);
      const released = await release(client, gpu.id);
      expect(released.body).toMatchObject({ status: 'cancelled', reason: 'WITHDRAWN' });
      expect((await waiting).body).toMatchObject({ status: 'cancelled' });
      const orderId = released.ok ? released.body.id : '';
      await eventually(async () => (await scene.payments.balance(client)) === 98.8);
      await scene.payments.sayHeld(orderId);
      await eventually(async () => (await scene.payments.balance(client)) === 100);
    } finally {
      scene.payments.behaviour.isSilent = false;
    }
  });
});

describe('a miner', () => {
  it('that goes takes its offers off, that returns brings them back; old news is ignored', async () => {
    const account = someone(['miner']);
    const minerId = someone([]).account_id;
    const say = (status: 'active' | 'inactive', revision: number) =>
      scene.miners.say({ miner_id: minerId, account_id: account.account_id, status, revision });
    expect(
      codeOf(
        await scene.call(account).call(market.register, {
          body: { model: 'V100', memory_gb: 32, region: 'eu', price_per_hour: 1, miner_id: minerId },
        }),
      ),
    ).toEqual([404, 'MINER_NOT_REGISTERED']);
    await say('active', 1);
    const named = await eventually(() => scene.offer(account, { model: 'V100', miner_id: minerId }));
    const unnamed = await scene.offer(account, { model: 'V100' });
    expect(
      codeOf(
        await scene.call(someone(['miner'])).call(market.register, {
          body: { model: 'V100', memory_gb: 32, region: 'eu', price_per_hour: 1, miner_id: minerId },
        }),
      ),
    ).toEqual([404, 'MINER_NOT_REGISTERED']);
    const available = async () => [(await getGpu(named.id)).available, (await getGpu(unnamed.id)).available];
    await say('inactive', 3);
    await eventually(async () => (await available()).join() === 'false,false');
    expect(codeOf(await book(await scene.client(), named.id))).toEqual([409, 'GPU_NOT_AVAILABLE']);
    await say('active', 2);
    await say('active', 4);
    await eventually(async () => (await available()).join() === 'true,true');
    // A second miner keeps the account present, and not the GPU that stands in the first.
    const other = someone([]).account_id;
    await scene.miners.say({
      miner_id: other,
      account_id: account.account_id,
      status: 'active',
      revision: 1,
    });
    await say('inactive', 5);
    await eventually(async () => (await available()).join() === 'false,true');
  });

  it('away for too long ends the running booking in its owner’s disfavour', async () => {
    const account = someone(['miner']);
    const minerId = someone([]).account_id;
    await scene.miners.say({
      miner_id: minerId,
      account_id: account.account_id,
      status: 'active',
      revision: 1,
    });
    const gpu = await eventually(() => scene.offer(account, { miner_id: minerId, price_per_hour: 6 }));
    const client = await scene.client(10_000);
    const order = await booked(client, gpu.id, { duration_hours: 700 });
    await scene.miners.say({
      miner_id: minerId,
      account_id: account.account_id,
      status: 'inactive',
      revision: 2,
    });
    const done = await settled(client, order.id);
    expect(done.reason).toBe('MINER_ABSENT');
    // Paid until it went away, not until that was noticed.
    expect(done.used_minutes as number).toBeLessThan(
      (0.9 * ((Date.parse(done.ended_at as string) - Date.parse(done.start_time)) * 3_600)) / 60_000,
    );
    expect(done.paid).toBeCloseTo((done.used_minutes as number) * 0.1, 8);
    expect(await scene.payments.balance(client)).toBeCloseTo(10_000 - (done.paid as number), 6);
    expect((await getGpu(gpu.id)).owner_interruptions).toBe(1);
  });
});

describe('reviews', () => {
  const review = (caller: Caller, gpuId: string, body: Record<string, unknown> = { rating: 4 }) =>
    scene.call(caller).call(market.review, { params: { gpu_id: gpuId }, body: body as never });

  it('are earned by an ended booking, one each, never by the owner', async () => {
    const both = someone(['miner', 'client']);
    await scene.payments.credit(both, 100);
    const gpu = await scene.offer(both);
    const client = await scene.client();
    expect(codeOf(await review(client, gpu.id))).toEqual([403, 'REVIEW_NOT_ALLOWED']);
    const first = await booked(client, gpu.id, { duration_hours: 100 });
    expect(codeOf(await review(client, gpu.id))).toEqual([403, 'REVIEW_NOT_ALLOWED']);
    await release(client, gpu.id);
    for (const bad of [
      { rating: 0 },
      { rating: 6 },
      { rating: 4.5 },
      { rating: 4, comment: 'x'.repeat(1_001) },
      {},
    ])
      expect((await review(client, gpu.id, bad)).status).toBe(422);
    expect((await review(client, gpu.id, { rating: 5, comment: 'Schnell.' })).body).toMatchObject({
      order_id: first.id,
      reviewer_id: client.account_id,
    });
    expect(codeOf(await review(client, gpu.id))).toEqual([409, 'ALREADY_REVIEWED']);
    expect(codeOf(await review(someone(['client']), gpu.id))).toEqual([403, 'REVIEW_NOT_ALLOWED']);

    await booked(both, gpu.id, { duration_hours: 100 });
    await release(both, gpu.id);
    expect(codeOf(await review(both, gpu.id))).toEqual([403, 'REVIEW_NOT_ALLOWED']);

    const second = await booked(client, gpu.id, { duration_hours: 100 });
    await release(client, gpu.id);
    expect(codeOf(await review(client, gpu.id, { rating: 1, order_id: first.id }))).toEqual([
      409,
      'ALREADY_REVIEWED',
    ]);
    expect((await review(client, gpu.id, { rating: 2, order_id: second.id })).status).toBe(201);
    // One account, one opinion: its latest (2 stars), with the few minutes that both bookings paid.
    const shown = await eventually(async () => {
      const found = await getGpu(gpu.id);
      // Both are settled: one of five stars alone is above three.
      return found.rating !== null && found.rating < 3 && found;
    });
    expect(shown.rating_count).toBe(1);
    expect(shown.rating).toBeGreaterThan(2.5);

    const list = await scene
      .call(null)
      .call(market.reviews, { params: { gpu_id: gpu.id }, query: { limit: 1 } });
    if (!list.ok) throw new Error('no list');
    expect(list.body.items).toMatchObject([{ rating: 2, comment: null }]);
    const rest = await scene.call(null).call(market.reviews, {
      params: { gpu_id: gpu.id },
      query: { cursor: list.body.next_cursor as string },
    });
    expect(rest.body).toMatchObject({ items: [{ rating: 5, comment: 'Schnell.' }], next_cursor: null });
  });

  it('that cost nothing move nothing, however many accounts write them', async () => {
    const gpu = await scene.offer(someone(['miner']), { price_per_hour: 0.00000001 });
    for (let turn = 0; turn < 20; turn += 1) {
      const friend = await scene.client(1);
      const order = await booked(friend, gpu.id, { duration_hours: 1 });
      await release(friend, gpu.id);
      await settled(friend, order.id);
      expect((await review(friend, gpu.id, { rating: 5 })).status).toBe(201);
    }
    expect(await getGpu(gpu.id)).toMatchObject({ rating: null, rating_count: 0, rating_weight: 0 });
  });

  it('follow the owner: an offer taken back before its review, and made anew, stands where its owner does', async () => {
    const landlord = someone(['miner']);
    const [first, beside] = [
      await scene.offer(landlord, { price_per_hour: 2 }),
      await scene.offer(landlord, { price_per_hour: 2 }),
    ];
    for (let turn = 0; turn < 2; turn += 1) {
      const client = await scene.client();
      const order = await booked(client, first.id, { duration_hours: 1 });
      await settled(client, order.id);
      if (turn === 1)
        expect(
          (await scene.call(landlord).call(market.withdraw, { params: { gpu_id: first.id } })).status,
        ).toBe(204);
      expect((await review(client, first.id, { rating: 1 })).status).toBe(201);
    }
    const again = await scene.offer(landlord, { price_per_hour: 2 });
    const low = { rating_count: 2, rating_weight: 3.17 };
    for (const { id } of [beside, again]) expect(await getGpu(id)).toMatchObject(low);
    expect((await getGpu(again.id)).rating).toBeLessThan(2.3);
    const clean = await scene.offer(someone(['miner']));
    expect((await getGpu(clean.id)).rating).toBeNull();
    // Who never booked a GPU that is gone does not learn that it was there.
    expect((await review(await scene.client(1), first.id)).status).toBe(404);
  });

  it('are not earned by a booking given back before it began, nor by one that was never paid', async () => {
    const gpu = await scene.offer(owner);
    const client = await scene.client(10);
    await booked(client, gpu.id, {
      duration_hours: 2,
      start_time: new Date(Date.now() + 3_600_000).toISOString(),
    });
    await release(client, gpu.id);
    expect(codeOf(await review(client, gpu.id))).toEqual([403, 'REVIEW_NOT_ALLOWED']);
    const poor = await scene.client(0.1);
    await book(poor, gpu.id);
    expect(codeOf(await review(poor, gpu.id))).toEqual([403, 'REVIEW_NOT_ALLOWED']);
  });
});

describe('lists', () => {
  it('end a page at 256 KB, and go on', async () => {
    const landlord = someone(['miner']);
    const capabilities = Array.from({ length: 64 }, (_, index) => `${index}`.padEnd(64, '語'));
    const ids: string[] = [];
    for (let index = 0; index < 30; index += 1)
      ids.push((await scene.offer(landlord, { model: 'Wordy', capabilities })).id);
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const reply = await scene.call(null).call(market.list, {
        query: { model: 'Wordy', sort: 'price', limit: 500, ...(cursor === undefined ? {} : { cursor }) },
      });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      expect(Buffer.byteLength(JSON.stringify(reply.body))).toBeLessThan(257 * 1_024);
      seen.push(...reply.body.items.map(({ id }) => id));
      cursor = reply.body.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(ids);
  });

  it('of one owner have all that it offers, in any order, page by page, and nothing of others', async () => {
    const landlord = someone(['miner']);
    await scene.offer(someone(['miner']), { model: 'Owned' });
    const prices = [3, 1, 2];
    const ids: string[] = [];
    for (const price_per_hour of prices)
      ids.push((await scene.offer(landlord, { model: 'Owned', price_per_hour })).id);
    const list = async (query: Record<string, unknown>) => {
      const reply = await scene
        .call(null)
        .call(market.list, { query: { owner_id: landlord.account_id, ...query } });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body;
    };
    const idsOf = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id);
    expect(idsOf(await list({}))).toEqual([...ids].reverse());
    const first = await list({ sort: 'price', model: 'owned', limit: 2 });
    expect(idsOf(first)).toEqual([ids[1], ids[2]]);
    expect(idsOf(await list({ sort: 'price', limit: 2, cursor: first.next_cursor }))).toEqual([ids[0]]);
    expect(idsOf(await list({ model: 'other' }))).toEqual([]);
  });
});

describe('orders', () => {
  it('are seen by booker, owner and operator, and by nobody else', async () => {
    const landlord = someone(['miner', 'client']);
    await scene.payments.credit(landlord, 100);
    const gpu = await scene.offer(landlord);
    const client = await scene.client(1_000);
    const ids: string[] = [];
    for (const booker of [client, landlord, client]) {
      ids.unshift((await booked(booker, gpu.id, { duration_hours: 50 })).id);
      await release(booker, gpu.id);
    }
    const list = async (caller: Caller, query: Record<string, unknown> = {}) => {
      const reply = await scene.call(caller).call(market.orders, { query });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body;
    };
    const idsOf = (page: { items: { id: string }[] }) => page.items.map((item) => item.id);
    expect(idsOf(await list(landlord))).toEqual(ids);
    expect(idsOf(await list(client))).toEqual([ids[0], ids[2]]);
    expect(idsOf(await list(someone(['client'])))).toEqual([]);
    expect(idsOf(await list(someone(['admin']), { limit: 3 }))).toEqual(ids);
    const first = await list(landlord, { limit: 2 });
    expect(idsOf(first)).toEqual(ids.slice(0, 2));
    const rest = await list(landlord, { limit: 2, cursor: first.next_cursor });
    expect(idsOf(rest)).toEqual(ids.slice(2));
    expect(rest.next_cursor).toBeNull();
    await settled(client, ids[0] as string);
    expect(idsOf(await list(client, { status: 'active' }))).toEqual([]);
    expect(idsOf(await list(client, { status: 'settled' }))).toContain(ids[0]);
    const strange = await scene
      .call(someone(['client']))
      .call(market.order, { params: { order_id: ids[0] as string } });
    expect(codeOf(strange)).toEqual([404, 'NOT_FOUND']);
    expect((await scene.call(client).call(market.orders, { query: { cursor: 'nonsense' } })).status).toBe(
      422,
    );
  });
});
