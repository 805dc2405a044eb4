import { fileURLToPath } from 'node:url';
import { openStore } from '@aitbc/chassis';
import { type Caller, routes } from '@aitbc/contracts';
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
import { migrations } from '../../migrations/index.ts';
import { type Child, startChild } from '../testing/child.ts';
import { disconnect, mine } from './chain/chain.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
const { exchangeCreate, exchangeStatus, exchangeDebts, devBitcoinSend, devBitcoinMine, balance } =
  routes.payments;
/** The machine may be busy: a start takes a second when it is not. */
const WITHIN = { withinMs: 60_000 };

let directory: string;
let env: Record<string, string>;
let url: string;
let child: Child | undefined;

beforeAll(async () => {
  const port = String(await freePort());
  url = `http://127.0.0.1:${port}`;
  directory = scratchDirectory();
  env = {
    ...serviceEnv('payments', directory, await scratchRedis()),
    PORT: port,
    LOG_LEVEL: 'info',
    NODE_ENV: 'development',
  };
});
afterAll(() => child?.kill());

/** A process that may end before it is ready. */
const start = async (FAILPOINT = ''): Promise<void> => {
  child = startChild({
    script: MAIN,
    env: { ...env, FAILPOINT },
    isReady: (line) => line.includes('"msg":"ready"'),
  });
  await child.ready;
};
const dies = async (): Promise<void> => {
  expect(await child?.exited).toEqual({ code: null, signal: 'SIGKILL' });
};
const must = <T extends { ok: boolean; body: unknown }>(reply: T): Extract<T, { ok: true }>['body'] => {
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body as Extract<T, { ok: true }>['body'];
};
const moneyOf = async (caller: Caller) =>
  must(await callerOf(url, caller).call(balance, { params: { user_id: caller.account_id } }));
const debts = async () =>
  must(await callerOf(url, someone(['admin'])).call(exchangeDebts, { query: {} })).items;
const mineBlocks = async (caller: Caller, blocks: number) =>
  must(await callerOf(url, caller).call(devBitcoinMine, { body: { blocks } }));

/** While nobody runs: the newest block leaves the chain; a longer branch comes without its transactions. */
const reorganise = async (): Promise<void> => {
  const store = await openStore({
    url: env.DATABASE_URL as string,
    service: 'payments',
    migrations,
  });
  await store.transact('test', (trx) => disconnect(trx, 1));
  await store.transact('test', (trx) => mine(trx, { blocks: 2, nowMs: Date.now() + 5_000, only: [] }));
  await store.close();
};

test('killed while a debt is opened, taken and given back: one debt, taken once, given back once', async () => {
  const caller = someone(['client']);
  const client = callerOf(url, caller);
  await start();
  const { payment_id } = must(await client.call(exchangeCreate, { body: { btc_amount: 0.005 } }));
  must(await client.call(devBitcoinSend, { body: { payment_id } }));
  await mineBlocks(caller, 1);
  await eventually(async () => {
    const status = must(await client.call(exchangeStatus, { params: { payment_id } }));
    return status.credited !== null;
  }, WITHIN);
  child?.kill();
  await child?.exited;
  await reorganise();

  for (const step of ['exchange:debt-opened', 'exchange:debt-collected']) {
    await start(step);
    await dies();
  }
  await start();
  await eventually(async () => (await debts())[0]?.status === 'paid', WITHIN);
  expect(await debts()).toMatchObject([{ status: 'paid', amount: 500, balance: 0 }]);
  expect(await moneyOf(caller)).toMatchObject({ balance: 0, available: 0, debt: 0 });
  child?.kill();
  await child?.exited;

  // Mined again after all; the money comes back, once.
  await start('exchange:debt-returned');
  await mineBlocks(caller, 2).catch(() => undefined);
  await dies();
  await start();
  await eventually(async () => (await moneyOf(caller)).available === 500, WITHIN);
  expect(await debts()).toMatchObject([{ status: 'returned' }]);
  await mineBlocks(caller, 3);
  expect(await moneyOf(caller)).toMatchObject({ balance: 500, available: 500, debt: 0 });
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toMatch(/^ledger_mismatches(\{.*\})? 0$/m);
}, 240_000);
