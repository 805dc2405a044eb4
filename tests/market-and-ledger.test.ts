import { loadConfig, type Running } from '@aitbc/chassis';
import { type Caller, newId, routes, toMinor } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  openPeers,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
} from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configShape as marketConfig } from '../services/market/src/config.ts';
import { startMarket } from '../services/market/src/service.ts';
import { configShape as paymentsConfig } from '../services/payments/src/config.ts';
import { startPayments } from '../services/payments/src/service.ts';

// A GPU is rented and the ledger pays for it: the two services as they are, with nobody between them but the broker.

const fail = (reason: string) => {
  throw new Error(reason);
};
const admin = someone(['admin']);
const { market } = routes;

let payments: Running;
let rentals: Running;
let peers: Awaited<ReturnType<typeof openPeers>>;
let restartPayments: () => Promise<void>;

beforeAll(async () => {
  const directory = scratchDirectory();
  const redisUrl = await scratchRedis();
  peers = await openPeers(redisUrl);
  const config = loadConfig(paymentsConfig, serviceEnv('payments', directory, redisUrl));
  payments = await startPayments(config, fail);
  restartPayments = async () => {
    payments = await startPayments(config, fail);
  };
  // A booking hour lasts a second.
  rentals = await startMarket(
    loadConfig(marketConfig, { ...serviceEnv('market', directory, redisUrl), BUSINESS_TIME_SCALE: '3600' }),
    fail,
  );
});
afterAll(async () => {
  await rentals.stop();
  await payments.stop();
  await peers.close();
});

const newAccount = async (scopes: Caller['scopes'], amount = 0): Promise<Caller> => {
  const caller = someone(scopes);
  const { account_id } = caller;
  await peers.send('gateway.account_created', { account_id, wallet_address: null });
  if (amount > 0) {
    await eventually(async () => {
      const reply = await callerOf(payments.url, admin).call(routes.payments.credit, {
        params: { account_id },
        body: { amount, reason: 'to rent with' },
        idempotencyKey: account_id,
      });
      return reply.ok;
    });
  }
  return caller;
};
const balanceOf = async (caller: Caller) => {
  const reply = await callerOf(payments.url, caller).call(routes.payments.balance, {
    params: { user_id: caller.account_id },
  });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body;
};
const offerOf = async (owner: Caller) => {
  const reply = await callerOf(rentals.url, owner).call(market.register, {
    body: { model: 'RTX 4090', memory_gb: 24, region: 'eu', price_per_hour: 6 },
  });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return { gpu_id: reply.body.id };
};
const book = (caller: Caller, gpu: { gpu_id: string }, duration_hours: number) =>
  callerOf(rentals.url, caller).call(market.book, { params: gpu, body: { duration_hours } });
const settled = (caller: Caller, orderId: string) =>
  eventually(async () => {
    const reply = await callerOf(rentals.url, caller).call(market.order, { params: { order_id: orderId } });
    return reply.ok && reply.body.status === 'settled' && reply.body;
  });

test('a booking is held, runs to its end and is paid to the owner, less the fee', async () => {
  const owner = await newAccount(['miner']);
  const client = await newAccount(['client'], 100);
  const gpu = await offerOf(owner);
  const booked = await book(client, gpu, 1);
  expect(booked).toMatchObject({ status: 201, body: { status: 'active', amount: 6 } });
  expect(await balanceOf(client)).toMatchObject({ available: 94, held: 6 });
  const order = await settled(client, booked.ok ? booked.body.id : '');
  expect(order).toMatchObject({ reason: 'COMPLETED', paid: 6, refunded: 0 });
  expect(await balanceOf(client)).toMatchObject({ balance: 94, held: 0 });
  // 250 of 10,000 parts go to the platform.
  expect(await balanceOf(owner)).toMatchObject({ balance: 5.85 });
});

test('released early, the started minutes are paid and the rest comes back', async () => {
  const owner = await newAccount(['miner']);
  const client = await newAccount(['client'], 6_000);
  const gpu = await offerOf(owner);
  const booked = await book(client, gpu, 700);
  expect(booked).toMatchObject({ status: 201, body: { status: 'active' } });
  await callerOf(rentals.url, client).call(market.release, { params: gpu });
  const order = await settled(client, booked.ok ? booked.body.id : '');
  const paid = order.paid as number;
  expect(paid).toBeCloseTo((order.used_minutes as number) * 0.1, 8);
  expect((await balanceOf(client)).balance).toBeCloseTo(6_000 - paid, 8);
  expect((await balanceOf(owner)).balance).toBeCloseTo(paid * 0.975, 6);
});

test('without money it is 402, and the GPU is free for the next', async () => {
  const gpu = await offerOf(await newAccount(['miner']));
  const poor = await newAccount(['client'], 1);
  expect(await book(poor, gpu, 1)).toMatchObject({
    status: 402,
    body: { error: { code: 'INSUFFICIENT_FUNDS' } },
  });
  expect(await balanceOf(poor)).toMatchObject({ balance: 1, held: 0 });
  expect((await book(await newAccount(['client'], 10), gpu, 1)).status).toBe(201);
});

test('a key books up to its cap; one that was made to trade, with all that its account holds', async () => {
  const gpu = await offerOf(await newAccount(['miner']));
  const account = await newAccount(['client'], 20);
  const keyOf = (scopes: Caller['scopes']): Caller => ({
    ...account,
    credential_id: newId(),
    scopes,
    spend_cap_minor: toMinor(5),
  });
  // An hour costs 6. The cap is the key's, and counts what it booked before.
  const [plain, trading] = [keyOf(['client']), keyOf(['client', 'trade'])];
  const refused = { status: 402, body: { error: { code: 'SPEND_CAP_EXCEEDED' } } };
  expect(await book(plain, gpu, 1)).toMatchObject(refused);
  expect(await balanceOf(account)).toMatchObject({ available: 20, held: 0 });
  const booked = await book(plain, gpu, 0.5);
  expect(booked).toMatchObject({ status: 201, body: { amount: 3 } });
  await settled(account, booked.ok ? booked.body.id : '');
  expect(await book(plain, gpu, 0.5)).toMatchObject(refused);
  const beyond = await book(trading, gpu, 2);
  expect(beyond).toMatchObject({ status: 201, body: { status: 'active', amount: 12 } });
  expect(await settled(account, beyond.ok ? beyond.body.id : '')).toMatchObject({ paid: 12 });
  // It trades with what there is, and no more.
  expect(await balanceOf(account)).toMatchObject({ balance: 5, held: 0 });
  expect(await book(trading, gpu, 1)).toMatchObject({
    status: 402,
    body: { error: { code: 'INSUFFICIENT_FUNDS' } },
  });
});

test('who rents from themselves pays the fee alone', async () => {
  const both = await newAccount(['miner', 'client'], 100);
  const gpu = await offerOf(both);
  const booked = await book(both, gpu, 1);
  expect(booked.status).toBe(201);
  await settled(both, booked.ok ? booked.body.id : '');
  expect(await balanceOf(both)).toMatchObject({ balance: 99.85, held: 0 });
});

test('twenty want the same hour: one pays, nineteen keep everything', async () => {
  const gpu = await offerOf(await newAccount(['miner']));
  const clients = await Promise.all(Array.from({ length: 20 }, () => newAccount(['client'], 10)));
  const replies = await Promise.all(clients.map((client) => book(client, gpu, 1)));
  expect(replies.filter((reply) => reply.status === 201)).toHaveLength(1);
  expect(replies.filter((reply) => reply.status === 409)).toHaveLength(19);
  const balances = await eventually(async () => {
    const all = await Promise.all(clients.map(balanceOf));
    return all.every(({ held }) => held === 0) && all.map(({ balance }) => balance);
  });
  expect(balances.sort((a, b) => a - b)).toEqual([4, ...Array.from({ length: 19 }, () => 10)]);
});

test('payments may be away: the booking waits, and is held when it returns', async () => {
  const gpu = await offerOf(await newAccount(['miner']));
  const client = await newAccount(['client'], 100);
  await payments.stop();
  const booked = await book(client, gpu, 2);
  expect(booked).toMatchObject({ status: 201, body: { status: 'pending_payment' } });
  await restartPayments();
  const order = await settled(client, booked.ok ? booked.body.id : '');
  expect(order).toMatchObject({ reason: 'COMPLETED', paid: 12 });
  expect(await balanceOf(client)).toMatchObject({ balance: 88, held: 0 });
});
