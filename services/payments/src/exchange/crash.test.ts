import { fileURLToPath } from 'node:url';
import {
  type Caller,
  type ExchangePayment,
  type ExchangePaymentStatus,
  ledgerAddress,
  routes,
} from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  freePort,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
} from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Child, startChild } from '../testing/child.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const {
  exchangeCreate,
  exchangeStatus,
  exchangeList,
  devBitcoinSend,
  devBitcoinMine,
  transactions,
  balance,
} = routes.payments;

/** Before and after every commit, and between the look and what is made of it. */
const STEPS = [
  'exchange:created',
  'exchange:create-committed',
  'exchange:looked@3',
  'exchange:observed@2',
  'exchange:observe-committed@2',
  'exchange:credited',
  'exchange:credit-committed',
  'exchange:expired',
  'exchange:expire-committed',
];

/** The machine may be busy: a start takes a second when it is not. */
const WITHIN = { withinMs: 60_000 };

let env: Record<string, string>;
let url: string;
let child: Child | undefined;
const ahead = [...STEPS];
let deaths = 0;

beforeAll(async () => {
  const port = String(await freePort());
  url = `http://127.0.0.1:${port}`;
  env = {
    ...serviceEnv('payments', scratchDirectory(), await scratchRedis()),
    PORT: port,
    LOG_LEVEL: 'info',
    NODE_ENV: 'development',
  };
});
afterAll(() => child?.kill());

/** The next life, which ends at the next step. It may end before it is ready. */
const start = async (): Promise<void> => {
  const step = ahead.shift() ?? '';
  child = startChild({
    script: MAIN,
    env: { ...env, FAILPOINT: step, BITCOIN_INVOICE_SECONDS: step.includes('expire') ? '1' : '3600' },
    isReady: (line) => line.includes('"msg":"ready"'),
  });
  await child.ready;
};

const revive = async (): Promise<void> => {
  expect(await child?.exited).toEqual({ code: null, signal: 'SIGKILL' });
  deaths += 1;
  await start();
};

/** A request that may stay without an answer is made again, with its key, until there is one. */
const insist = async <T>(ask: () => Promise<{ ok: boolean; body: unknown }>): Promise<T> => {
  for (;;) {
    const reply = await ask().catch(() => null);
    if (reply?.ok === true) return reply.body as T;
    if (reply !== null) throw new Error(JSON.stringify(reply.body));
    await revive();
  }
};

const buy = async (caller: Caller): Promise<void> => {
  const client = callerOf(url, caller);
  const made = await insist<ExchangePayment>(() =>
    client.call(exchangeCreate, { body: { aitbc_amount: 500 }, idempotencyKey: 'invoice' }),
  );
  const { payment_id } = made;
  const until = (isSo: (status: ExchangePaymentStatus) => boolean) =>
    eventually(async () => {
      const found = await insist<ExchangePaymentStatus>(() =>
        client.call(exchangeStatus, { params: { payment_id } }),
      );
      return isSo(found) ? found : undefined;
    }, WITHIN);

  const isShort = Date.parse(made.expires_at) - Date.parse(made.created_at) <= 1_000;
  if (isShort) await until(({ status }) => status === 'expired');
  for (const [index, btc_amount] of [0.003, 0.002].entries()) {
    await insist(() =>
      client.call(devBitcoinSend, { body: { payment_id, btc_amount }, idempotencyKey: `send-${index}` }),
    );
    await until((status) => status.transactions.length === index + 1);
    // What comes late is credited with its first confirmation, and what comes after that is another invoice's.
    if (isShort && index === 0) continue;
    // Six in the end: then this credit is final, and the next buyer's needs no more than one.
    await insist(() =>
      client.call(devBitcoinMine, { body: { blocks: index === 0 ? 1 : 6 }, idempotencyKey: `mine-${index}` }),
    );
  }
  expect(await until(({ credited }) => credited !== null)).toMatchObject({
    status: isShort ? 'late' : 'confirmed',
    received: 0.005,
    credited: { aitbc_amount: 500, btc_amount: 0.005 },
  });
};

test('killed at every step: each invoice is there, and credited exactly once', async () => {
  const callers: Caller[] = [];
  await start();
  do {
    const caller = someone(['client']);
    callers.push(caller);
    await buy(caller);
  } while (deaths < STEPS.length && callers.length < 3 * STEPS.length);
  expect(deaths).toBe(STEPS.length);

  for (const caller of callers) {
    const client = callerOf(url, caller);
    const list = await client.call(exchangeList, {});
    expect(list.ok && list.body.items.length).toBe(1);
    const money = await client.call(balance, { params: { user_id: caller.account_id } });
    expect(money.ok && money.body.available).toBe(500);
    const moved = await client.call(transactions, {
      query: { address: ledgerAddress(caller.account_id) },
    });
    expect(moved.ok && moved.body.items.map(({ kind, value }) => [kind, value])).toEqual([['exchange', 500]]);
  }
}, 300_000);
