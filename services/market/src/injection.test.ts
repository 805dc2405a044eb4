import { builder, type ChassisTables, openStore, type Store } from '@aitbc/chassis';
import { type Caller, routes } from '@aitbc/contracts';
import { eventually, someone, testEngine } from '@aitbc/testing';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { type Scene, startScene } from './market.fixture.ts';
import type { Tables } from './tables.ts';

const { market } = routes;
const db = builder<Tables & ChassisTables>();

let scene: Scene;
let store: Store;
let owner: Caller;
beforeAll(async () => {
  scene = await startScene({ BUSINESS_TIME_SCALE: '36000', BOOKING_HOLD_SECONDS: '3' });
  // A second hand on the service's file, to put the errors in.
  store = await openStore({
    url: scene.marketEnv.DATABASE_URL as string,
    service: 'market',
    migrations,
  });
  owner = someone(['miner']);
});
afterAll(async () => {
  await store.close();
  await scene.stop();
});

const run = (statement: string) =>
  store.transact('inject', (trx) => trx.run({ compile: () => sql.raw(statement).compile(db) as never }));

/** While `during` runs, the statement fails whenever it is reached, as on a full disk. */
const withError = async (event: string, when: string, during: () => Promise<void>): Promise<void> => {
  const fail =
    testEngine === 'sqlite'
      ? `BEGIN SELECT RAISE(ABORT, 'injected'); END`
      : `EXECUTE FUNCTION refuse('injected')`;
  await run(`CREATE TRIGGER injected BEFORE ${event} FOR EACH ROW WHEN (${when}) ${fail}`);
  const onTable = event.slice(event.indexOf('ON '));
  try {
    await during();
  } finally {
    await run(testEngine === 'sqlite' ? 'DROP TRIGGER injected' : `DROP TRIGGER injected ${onTable}`);
  }
};

const failedMessage = (name: string) =>
  eventually(
    async () =>
      (await store.read.get(
        db
          .selectFrom('dead_letter')
          .select('id')
          .where('name', '=', name)
          .where('error', 'like', '%injected%'),
      )) !== undefined,
  );
const failures = async (schedule: string): Promise<number> => {
  const text = await (await fetch(`${scene.url}/metrics`)).text();
  const line = new RegExp(
    `^schedule_runs_total\\{name="${schedule}",outcome="failed"[^}]*\\} (\\d+)`,
    'm',
  ).exec(text);
  return Number(line?.[1] ?? 0);
};
const scheduleFails = async (name: string): Promise<void> => {
  const before = await failures(name);
  await eventually(async () => (await failures(name)) > before + 1);
};

const book = (client: Caller, gpuId: string) =>
  scene.call(client).call(market.book, { params: { gpu_id: gpuId }, body: { duration_hours: 1 } });
const orderOf = async (client: Caller) => {
  const reply = await scene.call(client).call(market.orders, { query: {} });
  return reply.ok ? reply.body.items[0] : undefined;
};

/** Books and GPUs agree: nothing held, nothing booked, no money made or lost, every settled order as its hold. */
const agrees = async (
  client: Caller,
  gpuId: string,
  statuses: string[],
  expectedTotal: number,
): Promise<void> => {
  await eventually(
    async () => {
      const order = await orderOf(client);
      expect(statuses).toContain(order?.status);
      const hold = (await scene.payments.holds()).find((row) => row.order_id === order?.id);
      expect(hold?.state).not.toBe('held');
      if (order?.status === 'settled')
        expect(hold).toMatchObject({
          state: 'settled',
          paid_minor: Math.round((order.paid as number) * 1e8),
        });
      const gpu = await scene.call(null).call(market.get, { params: { gpu_id: gpuId } });
      expect(gpu.body).toMatchObject({ available: true, current_booking: null, upcoming_bookings: [] });
      expect(await store.read.all(db.selectFrom('dead_letter').select('id'))).toEqual([]);
      expect(await scene.payments.total()).toBe(expectedTotal);
      return true;
    },
    { withinMs: 25_000, everyMs: 50 },
  );
};

describe('an error in the step that', () => {
  const start = async (amount = 100) => {
    const gpu = await scene.offer(owner);
    const client = await scene.client(amount);
    return { gpu, client, total: await scene.payments.total() };
  };

  it.each([
    ['takes the window', 'INSERT ON reservation', 'true'],
    ['writes the order', 'INSERT ON orders', 'true'],
    ['marks the GPU', 'UPDATE OF booked_order_id ON gpu', 'NEW.booked_order_id IS NOT NULL'],
    ['counts the model', 'UPDATE ON model_stats', 'true'],
    ['asks for the money', 'INSERT ON outbox', `NEW.messages LIKE '%market.booking_requested%'`],
  ])('%s leaves nothing behind, and the next try succeeds', async (_what, event, when) => {
    const { gpu, client, total } = await start();
    await withError(event, when, async () => {
      const reply = await book(client, gpu.id);
      expect(reply.status).toBe(500);
      expect(JSON.stringify(reply.body)).not.toContain('injected');
    });
    expect(await orderOf(client)).toBeUndefined();
    expect(await scene.payments.balance(client)).toBe(100);
    expect((await book(client, gpu.id)).status).toBe(201);
    await agrees(client, gpu.id, ['settled'], total);
  });

  it('hears of the hold is made good', async () => {
    const { gpu, client, total } = await start();
    await withError('UPDATE OF status ON orders', `NEW.status = 'active'`, async () => {
      expect((await book(client, gpu.id)).body).toMatchObject({ status: 'pending_payment' });
      await failedMessage('payments.booking_held');
    });
    await agrees(client, gpu.id, ['settled', 'cancelled'], total);
  });

  it('hears of the refusal is made good', async () => {
    const { gpu, client, total } = await start(0.1);
    await withError('UPDATE OF status ON orders', `NEW.status = 'cancelled'`, async () => {
      expect((await book(client, gpu.id)).body).toMatchObject({ status: 'pending_payment' });
      await failedMessage('payments.booking_refused');
    });
    await agrees(client, gpu.id, ['cancelled'], total);
    expect(await scene.payments.balance(client)).toBe(0.1);
  });

  it.each([
    ['ends the order', 'UPDATE OF status ON orders', `NEW.status = 'ended'`],
    ['frees the window', 'DELETE ON reservation', 'true'],
    ['frees the GPU', 'UPDATE OF booked_order_id ON gpu', 'NEW.booked_order_id IS NULL'],
    ['tells payments', 'INSERT ON outbox', `NEW.messages LIKE '%market.booking_ended%'`],
  ])('%s is tried again by the timer', async (_what, event, when) => {
    const { gpu, client, total } = await start();
    await withError(event, when, async () => {
      expect((await book(client, gpu.id)).status).toBe(201);
      await scheduleFails('market.windows');
    });
    await agrees(client, gpu.id, ['settled'], total);
  });

  it('hears of the settlement is made good', async () => {
    const { gpu, client, total } = await start();
    await withError('UPDATE OF status ON orders', `NEW.status = 'settled'`, async () => {
      expect((await book(client, gpu.id)).status).toBe(201);
      await failedMessage('payments.booking_settled');
    });
    await agrees(client, gpu.id, ['settled'], total);
  });

  it.each([
    ['cancels an unanswered order', 'UPDATE OF status ON orders', `NEW.status = 'cancelled'`],
    ['gives a late hold back', 'INSERT ON outbox', `NEW.messages LIKE '%market.booking_ended%'`],
  ])('%s is made good', async (what, event, when) => {
    const { gpu, client, total } = await start();
    scene.payments.behaviour.isSilent = true;
    try {
      await book(client, gpu.id);
      const order = await orderOf(client);
      const cancelled = () => eventually(async () => (await orderOf(client))?.status === 'cancelled');
      if (what.startsWith('cancels')) {
        await withError(event, when, () => scheduleFails('market.holds'));
        await cancelled();
        await scene.payments.sayHeld(order?.id as string);
      } else {
        await cancelled();
        await withError(event, when, async () => {
          await scene.payments.sayHeld(order?.id as string);
          await failedMessage('payments.booking_held');
        });
      }
      await agrees(client, gpu.id, ['cancelled'], total);
      expect(await scene.payments.balance(client)).toBe(100);
    } finally {
      scene.payments.behaviour.isSilent = false;
    }
  });
});
