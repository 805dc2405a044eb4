import { builder, type Store, type Trx } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { propertyRuns } from '@aitbc/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findUser } from '../../store/accounts.ts';
import { transferId } from '../../store/transfers.ts';
import type { Tables as LedgerTables } from '../../tables.ts';
import type { ExchangeDeps } from '../deps.ts';
import { readCursor } from '../store/blocks.ts';
import { familyOf, findInvoice, type Invoice } from '../store/invoices.ts';
import {
  type Amounts,
  CASES,
  type InvoiceEvent,
  orders,
  outcomeOf,
  RATE,
  RATE_AFTER,
  sequences,
} from '../testing/events.ts';
import { createClock, createDeps, openScratch } from '../testing/stand.ts';
import type { Look, Sighting } from '../watchers/watcher.ts';
import { createInvoice } from './create.ts';
import { expire } from './expire.ts';
import { observe } from './observe.ts';

const db = builder<LedgerTables>();
const SATOSHI = 100_000_000;
const STEP_MS = 1_000;
const hex = (prefix: string, n: number): string => `${prefix}${n.toString(16)}`.padStart(64, '0');

interface Run {
  readonly events: readonly InvoiceEvent[];
  readonly invoice: Invoice;
  readonly first: string;
  readonly second: string;
}

let store: Store;
let deps: ExchangeDeps;
const clock = createClock();
const START = clock.now();
const run = <T>(fn: (trx: Trx) => T | Promise<T>): Promise<T> => store.transact('test', fn);

beforeEach(async () => {
  clock.set(START);
  store = await openScratch();
  deps = createDeps({
    now: clock.now,
    rateMinor: RATE * SATOSHI,
    // A curve multiplication for each of thousands of invoices would be all that this test does.
    wallet: {
      kind: 'derived',
      id: 'test',
      derive: (index) => ({ address: `address-${index}`, script: index.toString(16).padStart(44, '0') }),
    },
  });
});
afterEach(() => store.close());

/** Invoices whose time is over at the step that their events say; otherwise never. */
const begin = (all: readonly InvoiceEvent[][], amounts: Amounts): Promise<Run[]> =>
  run(async (trx) => {
    const runs: Run[] = [];
    for (const [index, events] of all.entries()) {
      const over = events.indexOf('expired');
      const invoiceMs = over < 0 ? 1_000 * STEP_MS : (over + 1) * STEP_MS - 1;
      const asked = { btc_amount: amounts.asked / SATOSHI };
      const invoice = await createInvoice(trx, { ...deps, invoiceMs }, newId(), asked);
      runs.push({ events, invoice, first: hex('a', index), second: hex('b', index) });
    }
    return runs;
  });

/** A look that shows one event of each invoice, as a source that vouches for every script would. */
const lookAt = async (runs: readonly Run[], step: number, amounts: Amounts): Promise<Look> => {
  const byScript = new Map(runs.map((each) => [each.invoice.script, each]));
  const tip = { height: 1_000 + step, hash: hex('c', step) };
  const sightings = runs.flatMap(({ events, invoice, first, second }): Sighting[] => {
    const event = events[step];
    const common = { vout: 0, script: invoice.script };
    const block = { ...tip, time_ms: clock.now() };
    if (event === 'seen') return [{ ...common, txid: first, value_sats: amounts.first, block: null }];
    if (event === 'confirmed') return [{ ...common, txid: first, value_sats: amounts.first, block }];
    if (event === 'second') return [{ ...common, txid: second, value_sats: amounts.second, block }];
    return [];
  });
  return {
    base: await readCursor(store.read),
    tip,
    fork_height: null,
    blocks: [tip],
    sightings,
    wouldShow: ({ txid, script, state }) => {
      const each = byScript.get(script);
      const event = each?.events[step];
      if (txid !== each?.first) return false;
      return event === 'reorged_out' ? state === 'confirmed' : event === 'replaced' && state !== 'confirmed';
    },
    vouchesFor: () => true,
  };
};

const expireDue = (runs: readonly Run[]): Promise<void> =>
  run(async (trx) => {
    for (const { invoice } of runs)
      if (invoice.expires_at_ms <= clock.now()) await expire(trx, deps, invoice.id);
  });

const outcome = async ({ invoice }: Run) => {
  const row = (await findInvoice(store.read, invoice.id)) as Invoice;
  return {
    status: row.status,
    credited_sats: row.credited_sats,
    credited_minor: row.credited_minor,
  };
};

/** Credits, transfers and balance of an account say the same, and no more than what came was credited. */
const checkMoney = async (each: Run, amounts: Amounts): Promise<void> => {
  const { invoice, events } = each;
  const rows: Invoice[] = [];
  for (const { id } of await familyOf(store.read, invoice.root_id))
    rows.push((await findInvoice(store.read, id)) as Invoice);
  const credited = rows.filter((row) => row.credited_at_ms !== null);
  const transfers = await store.read.all(
    db
      .selectFrom('transfer')
      .select(['id', 'amount_minor', 'reference'])
      .where(
        'id',
        'in',
        rows.map(({ id }) => transferId('exchange', id)),
      ),
  );
  expect(transfers.length).toBe(credited.length);
  const minor = credited.reduce((sum, row) => sum + (row.credited_minor ?? 0), 0);
  expect(transfers.reduce((sum, row) => sum + row.amount_minor, 0)).toBe(minor);
  expect((await findUser(store.read, invoice.account_id))?.balance_minor ?? 0).toBe(minor);
  const came =
    (events.includes('confirmed') ? amounts.first : 0) + (events.includes('second') ? amounts.second : 0);
  expect(credited.reduce((sum, row) => sum + (row.credited_sats ?? 0), 0)).toBeLessThanOrEqual(came);
};

/**
 * All of them, a part in each look: it is one transaction, which may take 5 s. On PostgreSQL as many as a property is tried
 * there, evenly from all.
 */
const inLooks = (all: InvoiceEvent[][]): InvoiceEvent[][][] => {
  const every = Math.ceil(all.length / propertyRuns(all.length));
  const chosen = all.filter((_, index) => index % every === 0);
  const size = every === 1 ? 120 : 10;
  return Array.from({ length: Math.ceil(chosen.length / size) }, (_, at) =>
    chosen.slice(at * size, (at + 1) * size),
  );
};

/** Each order of the six where it says most; with the other amounts each sequence of three, repeats included. */
const CASE_EVENTS = Object.entries(CASES).flatMap(([name, amounts], index) =>
  inLooks(index < 2 ? orders() : sequences(3)).map((all) => [name, amounts, all] as const),
);

describe.each(CASE_EVENTS)('in the file, an invoice %s', (_, amounts, all) => {
  test('stands where the contract says after each step of every order of up to six events', async () => {
    const runs = await begin(all, amounts);
    deps = { ...deps, rateMinor: RATE_AFTER * SATOSHI };
    let previous: Look | null = null;
    for (let step = 0; step < (all[0]?.length ?? 0); step += 1) {
      clock.forward(STEP_MS);
      await expireDue(runs);
      const look = await lookAt(runs, step, amounts);
      expect(await run((trx) => observe(trx, deps, look))).toBe(true);
      // The watcher repeats itself, and comes with what it saw before: neither is from where we stand.
      expect(await run((trx) => observe(trx, deps, look))).toBe(false);
      if (previous !== null) {
        const old = previous;
        expect(await run((trx) => observe(trx, deps, old))).toBe(false);
      }
      // The same news from where we stand, and the timer again: nothing new in either.
      const again = { ...look, base: await readCursor(store.read) };
      expect(await run((trx) => observe(trx, deps, again))).toBe(true);
      await expireDue(runs);
      previous = look;
      for (const each of runs) {
        const events = each.events.slice(0, step + 1);
        expect({ events, found: await outcome(each) }).toEqual({ events, found: outcomeOf(events, amounts) });
      }
    }
    for (const each of runs) await checkMoney(each, amounts);
  }, 90_000);
});
