import type { Store, Trx } from '@aitbc/chassis';
import { Problem } from '@aitbc/contracts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { creditFromMint } from '../../commands/mint.ts';
import { findUser } from '../../store/accounts.ts';
import type { CreditFromMint, ExchangeDeps } from '../deps.ts';
import { readCursor } from '../store/blocks.ts';
import { findInvoice, type Invoice } from '../store/invoices.ts';
import { createClock, createDeps, makeInvoice, openScratch } from '../testing/stand.ts';
import type { Look } from '../watchers/watcher.ts';
import { observe } from './observe.ts';

let store: Store;
let deps: ExchangeDeps;
let credit: CreditFromMint;
const clock = createClock();
const run = <T>(fn: (trx: Trx) => T | Promise<T>): Promise<T> => store.transact('test', fn);
const read = async (invoice: Invoice): Promise<Invoice> =>
  (await findInvoice(store.read, invoice.id)) as Invoice;

beforeEach(async () => {
  store = await openScratch();
  credit = creditFromMint;
  deps = createDeps({ now: clock.now, creditFromMint: (trx, each) => credit(trx, each) });
});
afterEach(() => store.close());

/** Every invoice paid in full, in the block at this height. */
const paidAt = async (height: number, invoices: readonly Invoice[]): Promise<Look> => {
  const tip = { height, hash: height.toString(16).padStart(64, '0') };
  return {
    base: await readCursor(store.read),
    tip,
    fork_height: null,
    blocks: [tip],
    sightings: invoices.map((invoice, index) => ({
      txid: index.toString(16).padStart(64, 'd'),
      vout: 0,
      script: invoice.script,
      value_sats: invoice.amount_sats,
      block: { ...tip, time_ms: clock.now() },
    })),
    wouldShow: () => false,
    vouchesFor: () => true,
  };
};

test('at the supply cap the invoice waits and says why; it is credited once there is room', async () => {
  const invoice = await makeInvoice(store, deps, { aitbc_amount: 100 });
  credit = () => {
    throw new Problem('SUPPLY_CAP_REACHED', 'Nothing more can be made.');
  };
  await run(async (trx) => observe(trx, deps, await paidAt(1, [invoice])));
  expect(await read(invoice)).toMatchObject({
    status: 'processing',
    credit_refusal: 'Nothing more can be made.',
    credited_at_ms: null,
  });
  credit = creditFromMint;
  await run(async (trx) => observe(trx, deps, await paidAt(2, [])));
  expect(await read(invoice)).toMatchObject({ status: 'confirmed', credit_refusal: null });
  expect((await findUser(store.read, invoice.account_id))?.balance_minor).toBe(invoice.amount_minor);
});

test('a credit that fails on our side holds nobody else up, and comes back', async () => {
  const bad = await makeInvoice(store, deps, { aitbc_amount: 100 });
  const good = await makeInvoice(store, deps, { aitbc_amount: 200 });
  credit = async (trx, each) => {
    if (each.account_id === bad.account_id) throw new Error('broken');
    return await creditFromMint(trx, each);
  };
  await expect(run(async (trx) => observe(trx, deps, await paidAt(1, [bad, good])))).rejects.toThrow(
    'broken',
  );
  // Whole or not at all.
  expect(await readCursor(store.read)).toBeNull();
  await run(async (trx) => observe(trx, deps, await paidAt(1, [bad, good])));
  expect([(await read(bad)).status, (await read(good)).status]).toEqual(['processing', 'confirmed']);

  credit = creditFromMint;
  clock.forward(60_001);
  await run(async (trx) => observe(trx, deps, await paidAt(2, [])));
  expect((await read(bad)).status).toBe('confirmed');
});
