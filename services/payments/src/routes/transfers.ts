import { type Handlers, pageOf, type Store, waitFor } from '@aitbc/chassis';
import {
  CURRENCY,
  fromMinor,
  invalidField,
  type paymentsRoutes,
  type StatementEntry,
  toMinor,
  toTimestamp,
} from '@aitbc/contracts';
import type { Deps } from '../commands/resolve.ts';
import { isAddress, transfer } from '../commands/transfer.ts';
import { toCsv } from '../csv.ts';
import { findUser } from '../store/accounts.ts';
import { type EntryRow, listEntries } from '../store/statement.ts';
import { NEWS_WAIT_MS } from './news.ts';

type Routes = Pick<typeof paymentsRoutes, 'transfer' | 'statement'>;

const CSV_COLUMNS = [
  'time',
  'kind',
  'amount',
  'balance',
  'currency',
  'counterparty',
  'reference',
  'memo',
  'hash',
] as const;

/**
 * Where a page ends, and the balance before its last entry. A ledger that only grows never changes that one, so the next
 * page counts on from there and reads no more than itself. Whoever makes one up deceives himself alone.
 */
const toCursor = (entry: Entry): string =>
  Buffer.from(`p${entry.row.seq}b${entry.balanceMinor - entry.amountMinor}`).toString('base64url');
const fromCursor = (cursor: string): { before: number; balanceMinor: number } => {
  const text = Buffer.from(cursor, 'base64url').toString();
  const [, before, balanceMinor] = (/^p(\d{1,15})b(\d{1,16})$/.exec(text) ?? []).map(Number);
  if (before === undefined || balanceMinor === undefined || !Number.isSafeInteger(balanceMinor))
    throw invalidField('query.cursor', 'is not a cursor of this list');
  return { before, balanceMinor };
};

interface Entry {
  row: EntryRow;
  /** Below zero when it went out. */
  amountMinor: number;
  /** After it. */
  balanceMinor: number;
}

/** @param balanceMinor after the first of the rows, which is the newest; undefined for that of now */
const withBalances = (rows: readonly EntryRow[], account: number, balanceMinor?: number): Entry[] => {
  let balance = balanceMinor ?? rows[0]?.balance_now_minor ?? 0;
  return rows.map((row) => {
    const amountMinor = row.credit === account ? row.amount_minor : -row.amount_minor;
    const entry = { row, amountMinor, balanceMinor: balance };
    balance -= amountMinor;
    return entry;
  });
};

const view = ({ row, amountMinor, balanceMinor }: Entry): StatementEntry => ({
  hash: row.hash.toString('hex'),
  time: toTimestamp(row.created_at_ms),
  kind: row.kind,
  amount: fromMinor(amountMinor),
  balance: fromMinor(balanceMinor),
  currency: CURRENCY,
  counterparty: row.counterparty,
  reference: row.reference,
  memo: row.memo,
});

export const createTransferHandlers = (store: Store, deps: Deps): Handlers<Routes> => ({
  transfer: async (context) => {
    const { body, caller, signal } = context;
    // The account may be so new that payments has not heard of it. Whose an address will be cannot be told from it.
    if (!isAddress(body.to))
      await waitFor(store, `account:${body.to}`, () => findUser(store.read, body.to), {
        withinMs: NEWS_WAIT_MS,
        gone: [signal],
      });
    return await context.write(async (trx) => {
      const made = await transfer(trx, deps, caller, {
        to: body.to,
        amount_minor: toMinor(body.amount),
        memo: body.memo ?? null,
      });
      return { status: 201, body: { ...made, currency: CURRENCY } };
    });
  },
  statement: async ({ caller, query, response }) => {
    const account = await findUser(store.read, caller.account_id);
    const from = query.cursor === undefined ? undefined : fromCursor(query.cursor);
    const before = from?.before ?? Number.MAX_SAFE_INTEGER;
    // One more than the page tells whether there is another.
    const rows =
      account === undefined
        ? []
        : await listEntries(store.read, { account: account.id, before, limit: query.limit + 1 });
    const entries = withBalances(rows, account?.id ?? 0, from?.balanceMinor);
    const page = await pageOf(entries, query.limit, view, toCursor);
    if (query.format === 'json') return { status: 200, body: page };
    if (page.next_cursor !== null)
      response.setHeader(
        'link',
        // From the address that was asked, which may have /api or more before it.
        `<?format=csv&limit=${query.limit}&cursor=${page.next_cursor}>; rel="next"`,
      );
    response
      .status(200)
      .type('text/csv; charset=utf-8')
      .setHeader('content-disposition', 'attachment; filename="transactions.csv"');
    response.end(toCsv(CSV_COLUMNS, page.items));
    return null;
  },
});
