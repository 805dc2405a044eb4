import { builder, hot, insertRows, type Params, type Reader, rowsJson, type Trx } from '@aitbc/chassis';
import { escrowAddress, ledgerAddress, SYSTEM_ADDRESSES } from '@aitbc/contracts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

/** What a transfer needs of an account. */
export interface AccountRef {
  id: number;
  address: string;
}

/** The migration opens these three. */
export const MINT: AccountRef = { id: 1, address: SYSTEM_ADDRESSES.mint };
export const PLATFORM: AccountRef = { id: 2, address: SYSTEM_ADDRESSES.platform };
export const TREASURY: AccountRef = { id: 3, address: SYSTEM_ADDRESSES.treasury };

const columns = [
  'id',
  'address',
  'account_id',
  'balance_minor',
  'sealed_minor',
  'held_minor',
  'last_seen_ms',
] as const;

const byAccountId = hot((p: Params<{ account_id: string }>) =>
  db.selectFrom('account').select(columns).where('account_id', '=', p('account_id')),
);
const byId = hot((p: Params<{ id: number }>) =>
  db.selectFrom('account').select(columns).where('id', '=', p('id')),
);
const NEW = {
  address: 'text',
  account_id: 'text',
  kind: 'text',
  first_seen_ms: 'integer',
  last_seen_ms: 'integer',
} as const;
interface NewAccount {
  address: string;
  account_id: string | null;
  kind: 'user' | 'escrow';
}
const openAll = hot((p: Params<{ rows: string }>) =>
  insertRows(db.insertInto('account'), NEW, p('rows'))
    .onConflict((conflict) => conflict.column('address').doNothing())
    .returning(['id', 'address']),
);
/** @returns those that were not there. */
const open = (trx: Trx, accounts: readonly NewAccount[], nowMs: number): Promise<AccountRef[]> =>
  trx.all(openAll, {
    rows: rowsJson(
      NEW,
      accounts.map((account) => ({ ...account, first_seen_ms: nowMs, last_seen_ms: nowMs })),
    ),
  });

export const findUser = (reader: Reader, accountId: string) =>
  reader.get(byAccountId, { account_id: accountId });
export const findAccount = (reader: Reader, id: number) => reader.get(byId, { id });

/** The ledger account of somebody, opened when it is heard of first. */
export const openUser = async (trx: Trx, accountId: string, nowMs: number) => {
  const found = await findUser(trx, accountId);
  if (found !== undefined) return found;
  const address = ledgerAddress(accountId);
  await open(trx, [{ address, account_id: accountId, kind: 'user' }], nowMs);
  trx.notify(`account:${accountId}`);
  return (await findUser(trx, accountId)) as NonNullable<typeof found>;
};

/** An account for the funds of each payment. @returns them by their payments' ids */
export const openEscrows = async (
  trx: Trx,
  paymentIds: readonly string[],
  nowMs: number,
): Promise<ReadonlyMap<string, AccountRef>> => {
  if (paymentIds.length === 0) return new Map();
  const wanted = paymentIds.map((id) => ({ id, address: escrowAddress(id) }));
  const opened = await open(
    trx,
    wanted.map(({ address }) => ({ address, account_id: null, kind: 'escrow' })),
    nowMs,
  );
  const byAddress = new Map(opened.map((account) => [account.address, account]));
  return new Map(
    wanted.map(({ id, address }) => {
      const account = byAddress.get(address);
      if (account === undefined) throw new Error(`escrow of ${id} is open already`);
      return [id, account];
    }),
  );
};
