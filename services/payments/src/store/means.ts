import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { Tables as ExchangeTables } from '../exchange/tables.ts';
import type { Tables } from '../tables.ts';
import { type AccountRef, openUser } from './accounts.ts';
import { spentBy } from './payments.ts';

const db = builder<Tables & ExchangeTables>();

const means = hot((p: Params<{ account_id: string; credential_id: string | null }>) =>
  db
    .selectFrom('account as a')
    .select((eb) => [
      'a.id',
      'a.address',
      'a.balance_minor',
      eb
        .selectFrom('exchange_debt')
        .select((of) => of.fn.sum<number>('amount_minor').as('minor'))
        // Written into the statement: a partial index is not found for a bound value.
        .where('status', '=', sql.lit<'open'>('open'))
        .whereRef('exchange_debt.account', '=', 'a.id')
        .as('owed_minor'),
      eb
        .selectFrom('credential_spend')
        .select('spent_minor')
        .where('credential_id', '=', p('credential_id'))
        .as('spent_minor'),
    ])
    .where('a.account_id', '=', p('account_id')),
);

/** All that says whether somebody may spend: the account, what of it is owed, and what the key has spent. */
const findMeans = async (reader: Reader, accountId: string, credentialId: string | null) => {
  const row = await reader.get(means, { account_id: accountId, credential_id: credentialId });
  if (row === undefined) return undefined;
  const { id, address, balance_minor } = row;
  return {
    payer: { id, address },
    availableMinor: Math.max(0, balance_minor - Number(row.owed_minor ?? 0)),
    spentMinor: row.spent_minor ?? 0,
  };
};

/** The same of whoever spends now: who has no account yet gets one, empty. */
export const meansOf = async (trx: Trx, accountId: string, credentialId: string | null, nowMs: number) => {
  const found = await findMeans(trx, accountId, credentialId);
  if (found !== undefined) return found;
  const payer = await openUser(trx, accountId, nowMs);
  return { payer, availableMinor: 0, spentMinor: await spentBy(trx, credentialId) };
};

/**
 * The same of many who spend in one transaction: each is read once, and what is taken is gone for those that follow.
 * @returns what an account and a key have left
 */
export const createPurses = (trx: Trx, nowMs: number) => {
  const accounts = new Map<string, { payer: AccountRef; availableMinor: number }>();
  const keys = new Map<string | null, { spentMinor: number }>();
  const addAccount = async (accountId: string, credentialId: string | null) => {
    const { spentMinor, ...account } = await meansOf(trx, accountId, credentialId, nowMs);
    accounts.set(accountId, account);
    keys.set(credentialId, { spentMinor });
    return account;
  };
  const addKey = async (credentialId: string | null) => {
    const key = { spentMinor: await spentBy(trx, credentialId) };
    keys.set(credentialId, key);
    return key;
  };
  return async (accountId: string, credentialId: string | null) => {
    const account = accounts.get(accountId) ?? (await addAccount(accountId, credentialId));
    const key = keys.get(credentialId) ?? (await addKey(credentialId));
    return {
      payer: account.payer,
      availableMinor: account.availableMinor,
      spentMinor: key.spentMinor,
      take: (minor: number): void => {
        account.availableMinor -= minor;
        // Who has no key has no cap.
        if (credentialId !== null) key.spentMinor += minor;
      },
    };
  };
};
