import type { Store, Trx } from '@aitbc/chassis';
import { newId, toMinor } from '@aitbc/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findUser } from '../../store/accounts.ts';
import { beginChain, disconnect, mine } from '../chain/chain.ts';
import { pay } from '../chain/faucet.ts';
import { type ChainServer, serveChain } from '../chain/server.ts';
import { collectDebt } from '../commands/debts.ts';
import { observe } from '../commands/observe.ts';
import type { ExchangeDeps } from '../deps.ts';
import { readCursor } from '../store/blocks.ts';
import { coveredDebts } from '../store/debts.ts';
import { findInvoice, type Invoice } from '../store/invoices.ts';
import { createClock, createDeps, makeInvoice, openScratch } from '../testing/stand.ts';
import { toExchangeStatus } from '../views.ts';
import { sharedWallet } from '../wallet.ts';
import { lookRequest } from '../watch.ts';
import { createCoreWatcher } from './core.ts';
import { createEsploraWatcher } from './esplora.ts';
import { SourceError, type Watcher } from './watcher.ts';

const AUTH = 'payments:s3cret pass'.replace(' ', '%20');
const never = new AbortController().signal;
/** 0.02 BTC: two confirmations. */
const SATS = 2_000_000;

describe.each(['core', 'esplora'] as const)('watching through %s', (kind) => {
  let store: Store;
  let server: ChainServer;
  let watcher: Watcher;
  let deps: ExchangeDeps;
  const clock = createClock(Date.UTC(2026, 0, 1));
  const run = <T>(fn: (trx: Trx) => T | Promise<T>): Promise<T> => store.transact('test', fn);

  const makeWatcher = (): Watcher =>
    kind === 'core'
      ? createCoreWatcher(server.rpcUrl, 'regtest')
      : createEsploraWatcher(server.esploraUrl, 'regtest');
  const serve = async (port?: number): Promise<void> => {
    server = await serveChain(store, {
      now: clock.now,
      changed: () => {},
      auth: decodeURIComponent(AUTH),
      ...(port === undefined ? {} : { port }),
    });
    server = { ...server, rpcUrl: `http://${AUTH}@127.0.0.1:${server.port}/` };
  };
  const look = async (): Promise<boolean> => {
    const found = await watcher.look(await lookRequest(store.read, deps, watcher.asksByAddress), never);
    return run((trx) => observe(trx, deps, found));
  };
  const mineBlocks = (blocks: number, only?: string[]) =>
    run((trx) => mine(trx, { blocks, nowMs: clock.now(), ...(only === undefined ? {} : { only }) }));
  const payTo = (invoice: Invoice, sats: number, replaces?: string) =>
    run((trx) => pay(trx, { script: invoice.script, sats, ...(replaces === undefined ? {} : { replaces }) }));
  const view = async (invoice: Invoice) =>
    toExchangeStatus(store.read, (await findInvoice(store.read, invoice.id)) as Invoice);

  beforeEach(async () => {
    clock.set(Date.UTC(2026, 0, 1));
    store = await openScratch();
    while (await run(beginChain));
    await serve();
    watcher = makeWatcher();
    deps = createDeps({ now: clock.now });
  });
  afterEach(async () => {
    await server.stop();
    await store.close();
  });

  test('a payment is seen, confirmed, and credited at the required depth', async () => {
    await look();
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.02 });
    const { tx } = await payTo(invoice, SATS);
    await look();
    expect(await view(invoice)).toMatchObject({
      status: 'processing',
      received: 0.02,
      confirmations: 0,
      tx_hash: tx.txid,
    });
    await mineBlocks(1);
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'processing', confirmations: 1, credited: null });
    await mineBlocks(1);
    await look();
    expect(await view(invoice)).toMatchObject({
      status: 'confirmed',
      confirmations: 2,
      credited: { aitbc_amount: 2_000, btc_amount: 0.02, late_rate: null },
    });
  });

  test('a look that brings nothing new changes nothing, and one from before is dropped', async () => {
    await look();
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.02 });
    await payTo(invoice, SATS);
    const before = await watcher.look(await lookRequest(store.read, deps, watcher.asksByAddress), never);
    await mineBlocks(1);
    await look();
    const { version } = (await findInvoice(store.read, invoice.id)) as Invoice;
    expect(await look()).toBe(true);
    expect((await findInvoice(store.read, invoice.id))?.version).toBe(version);
    expect(await run((trx) => observe(trx, deps, before))).toBe(false);
    expect(await view(invoice)).toMatchObject({ status: 'processing', confirmations: 1 });
  });

  test('a reorganisation takes the payment back, and gives it back elsewhere', async () => {
    await look();
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.02 });
    const { tx } = await payTo(invoice, SATS);
    await mineBlocks(1);
    await look();
    const height = (await view(invoice)).transactions[0]?.block_height;
    expect(await view(invoice)).toMatchObject({ status: 'processing', confirmations: 1 });

    // A longer branch without it: it waits in the mempool again.
    await run((trx) => disconnect(trx, 1));
    clock.forward(5_000);
    await mineBlocks(3, []);
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'processing', confirmations: 0, credited: null });
    expect((await view(invoice)).transactions[0]).toMatchObject({ state: 'mempool', block_height: null });

    await mineBlocks(1);
    await look();
    expect((await view(invoice)).transactions[0]).toMatchObject({
      txid: tx.txid,
      state: 'confirmed',
      block_height: (height ?? 0) + 3,
    });
    await mineBlocks(1);
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'confirmed', credited: { aitbc_amount: 2_000 } });
  });

  test('a reorganisation to a shorter chain is seen too', async () => {
    await look();
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.02 });
    await payTo(invoice, SATS);
    await mineBlocks(1);
    await look();
    await run((trx) => disconnect(trx, 1));
    await look();
    expect((await view(invoice)).transactions[0]).toMatchObject({ state: 'mempool' });
    expect((await readCursor(store.read))?.height).toBe(110);
  });

  test('a double spend takes the payment away; another payment completes it', async () => {
    await look();
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.02 });
    const first = await payTo(invoice, SATS);
    await look();
    expect((await view(invoice)).status).toBe('processing');
    // The same coins, to somebody else.
    const elsewhere = await makeInvoice(store, deps, { btc_amount: 1 }, newId());
    await payTo(elsewhere, 10_000, first.tx.txid);
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'pending', received: 0, remaining: 0.02 });
    expect((await view(invoice)).transactions).toMatchObject([{ txid: first.tx.txid, state: 'replaced' }]);
    expect(await view(elsewhere)).toMatchObject({ status: 'underpaid', received: 0.0001 });

    await payTo(invoice, SATS);
    await mineBlocks(2);
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'confirmed', credited: { btc_amount: 0.02 } });
  });

  test('confirmed and replaced in a reorganisation before the credit: nothing is credited', async () => {
    await look();
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.02 });
    const elsewhere = await makeInvoice(store, deps, { btc_amount: 0.02 });
    const first = await payTo(invoice, SATS);
    await mineBlocks(1);
    await look();
    await run((trx) => disconnect(trx, 1));
    await payTo(elsewhere, SATS, first.tx.txid);
    clock.forward(5_000);
    await mineBlocks(3);
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'pending', received: 0, credited: null });
    expect((await view(invoice)).transactions).toMatchObject([{ state: 'replaced' }]);
    expect((await view(elsewhere)).status).toBe('confirmed');
  });

  test('what was credited and left the chain is owed, and paid by what is credited next', async () => {
    await look();
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.005 });
    const elsewhere = await makeInvoice(store, deps, { btc_amount: 0.005 });
    const first = await payTo(invoice, 500_000);
    await mineBlocks(1);
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'confirmed', reverted: false });
    await run((trx) => disconnect(trx, 1));
    await payTo(elsewhere, 500_000, first.tx.txid);
    clock.forward(5_000);
    await mineBlocks(2);
    await look();
    expect(await view(invoice)).toMatchObject({
      status: 'confirmed',
      reverted: true,
      received: 0,
      debt: 500,
    });

    // Paid once more: who owes waits for six confirmations, and has no more in the end than was sent.
    await payTo(invoice, 600_000);
    await mineBlocks(5);
    await look();
    const follower = (await findInvoice(store.read, (await view(invoice)).followed_by ?? '')) as Invoice;
    expect(await view(follower)).toMatchObject({ status: 'processing', credited: null, follows: invoice.id });
    await mineBlocks(1);
    await look();
    expect(await view(follower)).toMatchObject({
      status: 'late',
      credited: { btc_amount: 0.006, aitbc_amount: 600 },
    });
    await run(async (trx) => {
      for (const id of await coveredDebts(trx, 10)) await collectDebt(trx, clock.now, id);
    });
    expect(await view(invoice)).toMatchObject({ reverted: true, debt: 0 });
    expect((await findUser(store.read, invoice.account_id))?.balance_minor).toBe(toMinor(600));
  });

  test('an unreachable node delays: the next look goes on from the last block seen', async () => {
    await look();
    const seen = await readCursor(store.read);
    const { port } = server;
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.02 });
    await server.stop();
    await expect(look()).rejects.toThrow(SourceError);
    await expect(look()).rejects.toThrow(/does not answer: ECONNREFUSED/);
    expect(await readCursor(store.read)).toEqual(seen);
    // 25 blocks meanwhile, with the payment in the second: more than one look reads.
    await mineBlocks(1);
    await payTo(invoice, SATS);
    await mineBlocks(24);
    await serve(port);
    await look();
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'confirmed', confirmations: 24 });
    expect((await readCursor(store.read))?.height).toBe((seen?.height ?? 0) + 25);
  });

  test('without a last block seen, the first look goes back to the oldest open invoice', async () => {
    const invoice = await makeInvoice(store, deps, { btc_amount: 0.02 });
    await payTo(invoice, SATS);
    await mineBlocks(15);
    await look();
    await look();
    expect(await view(invoice)).toMatchObject({ status: 'confirmed', confirmations: 15 });
  });

  test('on a shared address the amount says whose payment it is', async () => {
    const address = 'bcrt1qyrfrpadwgw7p5eh3e9h3jmu4kwlz4prx73cqny';
    deps = createDeps({ now: clock.now, wallet: sharedWallet(address, 'regtest') });
    await look();
    const invoices: Invoice[] = [];
    for (let count = 0; count < 3; count += 1)
      invoices.push(await makeInvoice(store, deps, { aitbc_amount: 500 }));
    expect(invoices.map((each) => each.amount_sats)).toEqual([500_000, 500_001, 500_002]);
    expect(new Set(invoices.map((each) => each.address))).toEqual(new Set([address]));
    const [first, second, third] = invoices as [Invoice, Invoice, Invoice];
    const statuses = async () => (await Promise.all(invoices.map(view))).map(({ status }) => status);
    await payTo(second, second.amount_sats);
    await payTo(third, third.amount_sats);
    // Nobody was asked for this one.
    await payTo(first, 777_777);
    await mineBlocks(1);
    await look();
    // 0.005 BTC are below what needs a second confirmation, and 0.01 BTC of two strangers together are not.
    expect((await statuses()).sort()).toEqual(['confirmed', 'pending', 'processing']);
    await mineBlocks(1);
    await look();
    expect(await statuses()).toEqual(['pending', 'confirmed', 'confirmed']);
    // The added satoshi is credited too.
    expect((await view(second)).credited).toMatchObject({ aitbc_amount: 500.001, btc_amount: 0.00500001 });
  });

  test('a node of another chain is not believed', async () => {
    const wrong =
      kind === 'core'
        ? createCoreWatcher(server.rpcUrl, 'mainnet')
        : createEsploraWatcher(server.esploraUrl, 'mainnet');
    const request = await lookRequest(store.read, deps, wrong.asksByAddress);
    await expect(wrong.look(request, never)).rejects.toThrow(/not on mainnet/);
  });
});

test('a wrong password is named, and never shown', async () => {
  const store = await openScratch();
  const server = await serveChain(store, { now: Date.now, changed: () => {}, auth: 'payments:right' });
  const watcher = createCoreWatcher(`http://payments:wr0ng@127.0.0.1:${server.port}/`, 'regtest');
  const outcome = watcher.look(await lookRequest(store.read, createDeps(), false), never);
  await expect(outcome).rejects.toThrow('Bitcoin Core refuses the user or password');
  await expect(outcome).rejects.not.toThrow('wr0ng');
  await server.stop();
  await store.close();
});
