import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
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
const open = hot(
  (p: Params<{ address: string; account_id: string | null; kind: 'user' | 'escrow'; now_ms: number }>) =>
    db
      .insertInto('account')
      .values({
        address: p('address'),
        account_id: p('account_id'),
        kind: p('kind'),
        first_seen_ms: p('now_ms'),
        last_seen_ms: p('now_ms'),
      })
      .onConflict((conflict) => conflict.column('address').doNothing())
      .returning('id'),
);

export const findUser = (reader: Reader, accountId: string) =>
  reader.get(byAccountId, { account_id: accountId });
export const findAccount = (reader: Reader, id: number) => reader.get(byId, { id });

/** The ledger account of somebody, opened when it is heard of first. */
export const openUser = async (trx: Trx, accountId: string, nowMs: number) => {
  const found = await findUser(trx, accountId);
  if (found !== undefined) return found;
  const address = ledgerAddress(accountId);
  await trx.get(open, { address, account_id: accountId, kind: 'user', now_ms: nowMs });
  trx.notify(`account:${accountId}`);
  return (await findUser(trx, accountId)) as NonNullable<typeof found>;
};

export const openEscrow = async (trx: Trx, paymentId: string, nowMs: number): Promise<AccountRef> => {
  const address = escrowAddress(paymentId);
  const row = await trx.get(open, { address, account_id: null, kind: 'escrow', now_ms: nowMs });
  if (row === undefined) throw new Error(`escrow of ${paymentId} is open already`);
  return { id: row.id, address };
};
