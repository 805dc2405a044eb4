import { openStore, type Store } from '@aitbc/chassis';
import { newId, toMinor } from '@aitbc/contracts';
import { scratchDatabase } from '@aitbc/testing';
import { migrations } from '../../../migrations/index.ts';
import { creditFromMint } from '../../commands/mint.ts';
import { createInvoice } from '../commands/create.ts';
import type { ExchangeDeps } from '../deps.ts';
import type { Invoice } from '../store/invoices.ts';
import { derivedWallet, localXpub } from '../wallet.ts';

/** The exchange's tables beside the real ledger, in an empty file. */
export const openScratch = (): Promise<Store> =>
  openStore({
    url: scratchDatabase('payments'),
    service: 'payments',
    migrations,
  });

/** A clock that stands until it is moved. */
export const createClock = (nowMs = Date.now()) => {
  let at = nowMs;
  return {
    now: () => at,
    forward: (ms: number): void => {
      at += ms;
    },
    set: (ms: number): void => {
      at = ms;
    },
  };
};

export const createDeps = (changes: Partial<ExchangeDeps> = {}): ExchangeDeps => ({
  now: Date.now,
  network: 'regtest',
  wallet: derivedWallet(localXpub(), 'regtest'),
  rateMinor: toMinor(100_000),
  invoiceMs: 3_600_000,
  creditFromMint,
  listeners: { has: () => false },
  mintableMinor: () => Number.MAX_SAFE_INTEGER,
  quarantine: new Map(),
  ...changes,
});

export const makeInvoice = (
  store: Store,
  deps: ExchangeDeps,
  asked: { aitbc_amount?: number; btc_amount?: number },
  accountId: string = newId(),
): Promise<Invoice> => store.transact('test.create', (trx) => createInvoice(trx, deps, accountId, asked));
