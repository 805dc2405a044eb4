import { builder, hot, type Params, type Reader } from '@aitbc/chassis';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

type Page = { account: number; before: number; limit: number };

// The balance of now stands in each row: so it is of the same moment as the newest of them.
const sideOf = (p: Params<Page>, own: 'debit' | 'credit', other: 'credit' | 'debit') =>
  db
    .selectFrom('transfer as t')
    .innerJoin('account as mine', 'mine.id', `t.${own}`)
    .innerJoin('account as theirs', 'theirs.id', `t.${other}`)
    .leftJoin('transfer_memo as m', 'm.reference', 't.reference')
    .select([
      't.seq',
      't.hash',
      't.credit',
      't.amount_minor',
      't.kind',
      't.reference',
      't.created_at_ms',
      'theirs.address as counterparty',
      'm.memo',
      'mine.balance_minor as balance_now_minor',
    ])
    .where(`t.${own}`, '=', p('account'))
    .where('t.seq', '<', p('before'));

// Each side comes in the order of its own index, and the two are merged as they are read: no more than a page.
const entries = hot((p: Params<Page>) =>
  sideOf(p, 'debit', 'credit')
    .unionAll(sideOf(p, 'credit', 'debit'))
    .orderBy('seq', 'desc')
    .limit(p('limit')),
);

/** What went in and out of an account, the newest first. */
export const listEntries = (reader: Reader, page: Page) => reader.all(entries, page);
export type EntryRow = Awaited<ReturnType<typeof listEntries>>[number];
