import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { openStore, type Reader } from '@aitbc/chassis';
import { SYSTEM_ADDRESSES } from '@aitbc/contracts';
import { scratchDirectory, sqliteOnly } from '@aitbc/testing';
import { afterAll, beforeAll, expect } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { auditAccounts } from './audit.ts';
import { findByAddress, movedBy } from './store/account-transfers.ts';
import { findAccount, findUser } from './store/accounts.ts';
import {
  accountBefore,
  blocksFrom,
  findTip,
  leavesOf,
  sealedBalance,
  transfersAfter,
} from './store/blocks.ts';
import {
  EVERYTHING,
  findAddress,
  findBlock,
  findTransferByHash,
  listAddresses,
  listBlocks,
  listTransfers,
  listTransfersOf,
} from './store/explorer.ts';
import { findJob } from './store/jobs.ts';
import {
  findPastDeadline,
  findPayment,
  findPaymentOfJob,
  findPaymentOfOrder,
  findPaymentsOfJobs,
  findUnsettled,
  spentBy,
} from './store/payments.ts';
import { listEntries } from './store/statement.ts';
import { findTransfer } from './store/transfers.ts';

const { it } = sqliteOnly('plans in the words of EXPLAIN QUERY PLAN');

let db: DatabaseSync;
beforeAll(async () => {
  const path = join(scratchDirectory(), 'payments.db');
  const store = await openStore({
    url: path,
    service: 'payments',
    migrations,
  });
  await store.close();
  db = new DatabaseSync(path, { readOnly: true });
});
afterAll(() => db.close());

const range = { ...EVERYTHING, limit: 50 };
const reads: Record<string, (reader: Reader) => unknown | Promise<unknown>> = {
  'a user': (reader) => findUser(reader, 'x'),
  'an account': (reader) => findAccount(reader, 1),
  'a transfer': (reader) => findTransfer(reader, 'x'),
  'a payment': (reader) => findPayment(reader, 'x'),
  'a payment by job': (reader) => findPaymentOfJob(reader, 'x'),
  'a payment by order': (reader) => findPaymentOfOrder(reader, 'x'),
  'payments of jobs': (reader) => findPaymentsOfJobs(reader, ['x', 'y']),
  'a job': (reader) => findJob(reader, 'x'),
  'payments past their deadline': (reader) => findPastDeadline(reader, 1, 10),
  'decisions to carry out': (reader) => findUnsettled(reader, 1, 10),
  'the spend of a key': (reader) => spentBy(reader, 'x'),
  'what a key gave away': (reader) => movedBy(reader, 'x'),
  'an account by its address': (reader) => findByAddress(reader, 'x'),
  'a statement': (reader) => listEntries(reader, { account: 1, before: 9, limit: 50 }),
  'the newest block': findTip,
  'transfers to seal': (reader) => transfersAfter(reader, 1, 10),
  'leaves of a block': (reader) => leavesOf(reader, { first_seq: 1, last_seq: 2 }),
  'blocks to tell of again': (reader) => blocksFrom(reader, 1, 10),
  'a balance of before': (reader) => accountBefore(reader, 1, 1),
  'a sealed balance': (reader) => sealedBalance(reader, 1),
  'a block': (reader) => findBlock(reader, 1),
  'blocks, newest': (reader) => listBlocks(reader, range, 'desc'),
  'blocks, oldest': (reader) => listBlocks(reader, range, 'asc'),
  'transactions, newest': (reader) => listTransfers(reader, range, 'desc'),
  'transactions, oldest': (reader) => listTransfers(reader, range, 'asc'),
  'transactions of an address, newest': (reader) => listTransfersOf(reader, 1, range, 'desc'),
  'transactions of an address, oldest': (reader) => listTransfersOf(reader, 1, range, 'asc'),
  'a transaction by hash': (reader) => findTransferByHash(reader, '00'),
  'an audit': (reader) => auditAccounts(reader, 1),
  'an address': (reader) => findAddress(reader, SYSTEM_ADDRESSES.mint),
  addresses: (reader) => listAddresses(reader, { before: 1, limit: 10 }, undefined),
  'addresses of a kind': (reader) => listAddresses(reader, { before: 1, limit: 10 }, 'user'),
};

/** Runs nothing; keeps what would have been run. */
const recorder = () => {
  const statements: string[] = [];
  const note = (query: { sql: string }) => {
    statements.push(query.sql);
    return [];
  };
  const reader = { all: note, get: (query: { sql: string }) => void note(query) } as unknown as Reader;
  return { reader, statements };
};

// A page of any list costs the same at a million rows as at ten, if no step of it scans a table or sorts one.
it.each(Object.entries(reads))('%s is found by an index alone', async (_, read) => {
  const { reader, statements } = recorder();
  await read(reader);
  expect(statements.length).toBeGreaterThan(0);
  for (const sql of statements) {
    const steps = db
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map((step) => String(step.detail));
    // Blocks and accounts newest first walk their own key from its end, and stop at the limit; what is asked for is a list.
    const scans = steps.filter((step) => /SCAN (?!block$|json_each |CONSTANT ROW)|TEMP B-TREE/.test(step));
    expect([sql, scans]).toEqual([sql, []]);
  }
});
