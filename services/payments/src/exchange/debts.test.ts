import { openStore, type Store, type Trx } from '@aitbc/chassis';
import { type Caller, newId, routes, toMinor } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import { type AccountRef, findUser, openEscrows, openUser } from '../store/accounts.ts';
import { move, transferId } from '../store/transfers.ts';
import { aJob, type Stand, standForTest } from '../testing/stand.ts';
import { disconnect, mine } from './chain/chain.ts';
import { collectDebt } from './commands/debts.ts';
import { observe } from './commands/observe.ts';
import type { ExchangeDeps } from './deps.ts';
import { readCursor } from './store/blocks.ts';
import { coveredDebts, listDebts } from './store/debts.ts';
import { findInvoice, type Invoice } from './store/invoices.ts';
import { createClock, createDeps, makeInvoice, openScratch } from './testing/stand.ts';
import type { Sighting } from './watchers/watcher.ts';

/** A chain that is told block by block what it holds, and loses blocks when told so. */
const createScene = () => {
  let store: Store;
  let deps: ExchangeDeps;
  let height = 100;
  let branch = 0;
  let paid = 0;
  const clock = createClock();
  const run = <T>(fn: (trx: Trx) => T | Promise<T>): Promise<T> => store.transact('test', fn);
  const hashAt = (at: number) => `${branch}${at}`.padStart(64, '0');

  const look = async (
    sightings: (tip: { height: number; hash: string; time_ms: number }) => Sighting[],
    fork: number | null = null,
  ) => {
    const base = await readCursor(store.read);
    const tip = { height, hash: hashAt(height), time_ms: clock.now() };
    await run((trx) =>
      observe(trx, deps, {
        base,
        tip,
        fork_height: fork,
        blocks: [tip],
        sightings: sightings(tip),
        wouldShow: () => false,
        vouchesFor: () => true,
      }),
    );
  };
  const sighting = (
    invoice: Invoice,
    txid: string,
    block: Sighting['block'],
    sats = invoice.amount_sats,
  ) => ({
    txid,
    vout: 0,
    script: invoice.script,
    value_sats: sats,
    block,
  });
  const scene = {
    clock,
    get store() {
      return store;
    },
    get deps() {
      return deps;
    },
    run,
    open: async () => {
      store = await openScratch();
      height = 100;
      deps = createDeps({
        now: clock.now,
        wallet: {
          kind: 'derived',
          id: 'test',
          derive: (index) => ({ address: `address-${index}`, script: index.toString(16).padStart(44, '0') }),
        },
      });
      await look(() => []);
    },
    close: () => store.close(),
    /** One block in which each of these is paid in full. @returns their transactions */
    block: async (invoices: readonly Invoice[] = [], known: readonly string[] = []): Promise<string[]> => {
      height += 1;
      const txids = invoices.map((_, index) => known[index] ?? (paid++).toString(16).padStart(64, 'd'));
      await look((tip) => invoices.map((invoice, index) => sighting(invoice, txids[index] as string, tip)));
      return txids;
    },
    mempool: async (invoices: readonly Invoice[]): Promise<string[]> => {
      const txids = invoices.map(() => (paid++).toString(16).padStart(64, 'd'));
      await look(() => invoices.map((invoice, index) => sighting(invoice, txids[index] as string, null)));
      return txids;
    },
    /** So many blocks leave the chain, and one more comes with nothing of ours. */
    reorganise: async (blocks: number): Promise<void> => {
      const fork = height - blocks;
      branch += 1;
      height += 1;
      await look(() => [], fork);
    },
    invoice: (btc: number, accountId = newId()) => makeInvoice(store, deps, { btc_amount: btc }, accountId),
    of: async (invoice: Invoice): Promise<Invoice> => (await findInvoice(store.read, invoice.id)) as Invoice,
    balance: async (accountId: string) => (await findUser(store.read, accountId))?.balance_minor ?? 0,
    collect: () =>
      run(async (trx) => {
        for (const id of await coveredDebts(trx, 10)) await collectDebt(trx, clock.now, id);
      }),
    debts: () => listDebts(store.read, { status: undefined, before: undefined, limit: 10 }),
  };
  return scene;
};

describe('confirmations follow the value at risk', () => {
  const scene = createScene();
  beforeEach(() => scene.open());
  afterEach(() => scene.close());
  const credited = async (invoices: readonly Invoice[]) => {
    const rows = await Promise.all(invoices.map((each) => scene.of(each)));
    return rows.filter((row) => row.credited_at_ms !== null).length;
  };

  /** Thirty payments of 0.0099 BTC. @returns how many are credited after each block. */
  const thirty = async (accountOf: () => string) => {
    const invoices: Invoice[] = [];
    const txids: string[] = [];
    for (let index = 0; index < 30; index += 1) {
      // Ten may be open at a time: so each is paid before the next are made.
      invoices.push(await scene.invoice(0.0099, accountOf()));
      if (index % 10 === 9) txids.push(...(await scene.mempool(invoices.slice(-10))));
      if (index % 10 === 9) scene.clock.forward(3_700_000);
    }
    const counts: number[] = [];
    await scene.block(invoices, txids);
    counts.push(await credited(invoices));
    for (let block = 2; block <= 6; block += 1) {
      await scene.block();
      counts.push(await credited(invoices));
    }
    return counts;
  };

  test('thirty invoices of 0.0099 BTC wait like one of 0.3 BTC', async () => {
    const account = newId();
    const [first, second, third] = await thirty(() => account);
    expect([first, second, third]).toEqual([0, 0, 30]);
  });

  test('of thirty accounts together no more is credited at each depth than one could have', async () => {
    const counts = await thirty(newId);
    // 0.0099 BTC are below 0.01; ten times that below 0.1; all of it below 1.
    expect(counts.slice(0, 3)).toEqual([1, 10, 30]);
  });

  test('what is final puts nobody at risk any more, and what waits in a mempool for days neither', async () => {
    const account = newId();
    const large = await scene.invoice(2, account);
    await scene.block([large]);
    expect((await scene.of(large)).confirmations_required).toBe(6);
    const small = await scene.invoice(0.005, account);
    expect(small.confirmations_required).toBe(6);
    for (let block = 0; block < 5; block += 1) await scene.block();
    expect(await credited([large])).toBe(1);
    await scene.block([small]);
    expect(await credited([small])).toBe(1);

    const stuck = await scene.invoice(2, account);
    await scene.mempool([stuck]);
    expect((await scene.invoice(0.004, account)).confirmations_required).toBe(6);
    for (let block = 0; block < 6; block += 1) await scene.block();
    scene.clock.forward(25 * 3_600_000);
    expect((await scene.invoice(0.004, account)).confirmations_required).toBe(1);
  });
});

describe('a credit whose block left the chain', () => {
  const scene = createScene();
  beforeEach(() => scene.open());
  afterEach(() => scene.close());

  test('is owed: what is left is blocked in the ledger itself, whoever moves it', async () => {
    const invoice = await scene.invoice(0.005);
    const spend = (amount: number, id = newId()) =>
      scene.run(async (trx) => {
        await moveToEscrow(trx, await openUser(trx, invoice.account_id, 1), toMinor(amount), id);
      });
    await scene.block([invoice]);
    expect(await scene.balance(invoice.account_id)).toBe(toMinor(500));
    await spend(450);
    await scene.reorganise(1);
    expect(await scene.debts()).toMatchObject([{ status: 'open', amount_minor: toMinor(500) }]);
    expect(await scene.balance(invoice.account_id)).toBe(toMinor(50));
    await expect(spend(1)).rejects.toThrow('what is owed cannot be spent');
    // Too little to pay it: nothing is taken.
    await scene.collect();
    expect(await scene.balance(invoice.account_id)).toBe(toMinor(50));
  });

  test('ends when its transaction is mined again, as deep as its credit needed, and nothing was moved', async () => {
    const invoice = await scene.invoice(0.02);
    const txids = await scene.block([invoice]);
    await scene.block();
    expect((await scene.of(invoice)).credited_at_ms).not.toBeNull();
    await scene.run(async (trx) =>
      moveToEscrow(trx, await openUser(trx, invoice.account_id, 1), toMinor(10), newId()),
    );
    await scene.reorganise(2);
    await scene.collect();
    await scene.block([invoice], txids);
    expect(await scene.debts()).toMatchObject([{ status: 'open' }]);
    await scene.block();
    expect(await scene.debts()).toMatchObject([{ status: 'returned', transfer_hash: null }]);
    expect(await scene.balance(invoice.account_id)).toBe(toMinor(1_990));
    // The chain changes its mind once more.
    await scene.reorganise(2);
    expect((await scene.debts()).map(({ status }) => status)).toEqual(['open', 'returned']);
  });

  test('is taken from an account that has it, and given back when it is mined again', async () => {
    const invoice = await scene.invoice(0.005);
    const txids = await scene.block([invoice]);
    await scene.reorganise(1);
    await scene.collect();
    await scene.collect();
    expect(await scene.debts()).toMatchObject([{ status: 'paid' }]);
    expect(await scene.balance(invoice.account_id)).toBe(0);
    await scene.block([invoice], txids);
    expect(await scene.debts()).toMatchObject([{ status: 'returned' }]);
    expect(await scene.balance(invoice.account_id)).toBe(toMinor(500));
    await scene.block();
    expect(await scene.balance(invoice.account_id)).toBe(toMinor(500));
  });
});

/** Any way out of an account: here into an escrow. */
const moveToEscrow = async (
  trx: Trx,
  from: { id: number; address: string },
  amount_minor: number,
  id: string,
) =>
  move(trx, {
    id: transferId('hold', id),
    kind: 'hold',
    reference: id,
    from,
    to: (await openEscrows(trx, [id], 1)).get(id) as AccountRef,
    amount_minor,
    now_ms: 1,
  });

describe('through the service, on the local chain', () => {
  let stand: Stand;
  const { exchangeCreate, exchangeStatus, exchangeDebts, devBitcoinSend, devBitcoinMine } = routes.payments;
  beforeAll(async () => {
    stand = await standForTest();
  });
  afterAll(() => stand.stop());

  const mineBlocks = (caller: Caller, blocks = 1) =>
    stand.as(caller).call(devBitcoinMine, { body: { blocks } });
  const statusOf = async (caller: Caller, payment_id: string) => {
    const reply = await stand.as(caller).call(exchangeStatus, { params: { payment_id } });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body;
  };
  const credited = async (caller: Caller, btc_amount: number) => {
    const made = await stand.as(caller).call(exchangeCreate, { body: { btc_amount } });
    if (!made.ok) throw new Error(JSON.stringify(made.body));
    const { payment_id } = made.body;
    await stand.as(caller).call(devBitcoinSend, { body: { payment_id } });
    await mineBlocks(caller);
    await eventually(async () => (await statusOf(caller, payment_id)).credited !== null);
    return payment_id;
  };
  /** The newest block leaves the chain; a longer branch comes without its transactions. */
  const reorganise = () =>
    stand.restart(async () => {
      const store = await openStore({
        url: stand.databaseUrl,
        service: 'payments',
        migrations,
      });
      await store.transact('test', (trx) => disconnect(trx, 1));
      await store.transact('test', (trx) => mine(trx, { blocks: 2, nowMs: Date.now() + 5_000, only: [] }));
      await store.close();
    });
  const debtsOf = async (account_id: string) => {
    const reply = await stand.as(stand.admin).call(exchangeDebts, { query: {} });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body.items.filter((each) => each.account_id === account_id);
  };
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${stand.url}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  };

  test('a debt is shown, blocks spending, and is paid by the money that comes in', async () => {
    const caller = someone(['client']);
    const payment_id = await credited(caller, 0.005);
    const job = aJob(caller);
    await stand.peers.send('jobs.submitted', job.submitted(toMinor(450)));
    await stand.untilPayment(caller, job.job_id, 'escrowed');
    await reorganise();
    await eventually(async () => (await stand.balanceOf(caller)).debt === 500);
    expect(await stand.balanceOf(caller)).toMatchObject({ balance: 500, available: 0, held: 450, debt: 500 });
    expect(await statusOf(caller, payment_id)).toMatchObject({ reverted: true, debt: 500 });
    expect(await debtsOf(caller.account_id)).toMatchObject([
      { status: 'open', amount: 500, balance: 50, payment_id, btc_amount: 0.005 },
    ]);
    expect(await metric('exchange_debt')).toBe(500);
    expect(await metric('exchange_debts_open')).toBe(1);

    const refused = aJob(caller);
    await stand.peers.send('jobs.submitted', refused.submitted(toMinor(1)));
    expect(await stand.untilPayment(caller, refused.job_id, 'failed')).toMatchObject({
      failure: { code: 'INSUFFICIENT_FUNDS' },
    });
    expect((await stand.as(caller).call(exchangeDebts, { query: {} })).status).toBe(403);

    // The escrow comes back: now the account has what it owes, and nothing more.
    await stand.peers.send('jobs.ended', job.ended('failed'));
    await eventually(async () => (await stand.balanceOf(caller)).debt === 0);
    expect(await stand.balanceOf(caller)).toMatchObject({ balance: 0, available: 0, held: 0 });
    expect(await debtsOf(caller.account_id)).toMatchObject([{ status: 'paid', balance: 0 }]);
    expect(await metric('exchange_debts_open')).toBe(0);

    // Mined again after all: the money is back, once.
    await mineBlocks(caller, 2);
    await eventually(async () => (await stand.balanceOf(caller)).available === 500);
    expect(await debtsOf(caller.account_id)).toMatchObject([{ status: 'returned' }]);
    expect(await statusOf(caller, payment_id)).toMatchObject({ reverted: false, debt: 0 });
    expect(await metric('ledger_mismatches')).toBe(0);
  });
});
