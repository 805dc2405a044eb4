import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { sql } from 'kysely';
import type { Tables as LedgerTables } from '../../tables.ts';
import type { DebtStatus, Tables } from '../tables.ts';
import type { Output } from './outputs.ts';

const db = builder<Tables & LedgerTables>();

// Written into the statements: a partial index is not found for a bound value.
const OPEN = sql.lit<DebtStatus>('open');
const RETURNED = sql.lit<DebtStatus>('returned');

const owed = hot((p: Params<{ account: number }>) =>
  db
    .selectFrom('exchange_debt')
    .select((eb) => eb.fn.sum<number>('amount_minor').as('minor'))
    .where('status', '=', OPEN)
    .where('account', '=', p('account')),
);
const standing = hot((p: Params<{ txid: string; vout: number }>) =>
  db
    .selectFrom('exchange_debt')
    .select(['id', 'status'])
    .where('txid', '=', p('txid'))
    .where('vout', '=', p('vout'))
    .where('status', '<>', RETURNED),
);
const byId = hot((p: Params<{ id: string }>) =>
  db
    .selectFrom('exchange_debt as d')
    .innerJoin('account as a', 'a.id', 'd.account')
    .selectAll('d')
    .select(['a.address', 'a.account_id', 'a.balance_minor'])
    .where('d.id', '=', p('id')),
);
const covered = hot((p: Params<{ limit: number }>) =>
  db
    .selectFrom('exchange_debt as d')
    .innerJoin('account as a', 'a.id', 'd.account')
    .select('d.id')
    .where('d.status', '=', OPEN)
    .whereRef('a.balance_minor', '>=', 'd.amount_minor')
    .orderBy('d.id')
    .limit(p('limit')),
);
const backInChain = hot((p: Params<{ next_height: number; limit: number }>) =>
  db
    .selectFrom('exchange_debt as d')
    .innerJoin('exchange_output as o', (on) =>
      on.onRef('o.txid', '=', 'd.txid').onRef('o.vout', '=', 'd.vout'),
    )
    .innerJoin('exchange_invoice as i', 'i.id', 'd.invoice_id')
    .select(['d.id', 'o.script'])
    .where('d.status', 'in', [sql.lit<DebtStatus>('open'), sql.lit<DebtStatus>('paid')])
    .where('o.state', '=', 'confirmed')
    .where((eb) => eb(eb('o.block_height', '+', eb.ref('i.confirmations_required')), '<=', p('next_height')))
    .limit(p('limit')),
);

/** What an account owes: so much of its balance cannot be spent. */
export const owedBy = async (reader: Reader, account: number): Promise<number> =>
  Number((await reader.get(owed, { account }))?.minor ?? 0);

/** The debt of an output that is not returned yet. */
export const standingDebtOf = (reader: Reader, output: Pick<Output, 'txid' | 'vout'>) =>
  reader.get(standing, { txid: output.txid, vout: output.vout });

export const findDebt = (reader: Reader, id: string) => reader.get(byId, { id });
export type Debt = NonNullable<Awaited<ReturnType<typeof findDebt>>>;

/** Open debts that their account can pay now. */
export const coveredDebts = async (reader: Reader, limit: number): Promise<string[]> =>
  (await reader.all(covered, { limit })).map(({ id }) => id);

/** Debts whose output stands in the chain again, as deep as its credit needed. */
export const debtsBackInChain = (reader: Reader, tipHeight: number, limit: number) =>
  reader.all(backInChain, { next_height: tipHeight + 1, limit });

export const addDebt = async (
  trx: Trx,
  debt: {
    account: number;
    invoice_id: string;
    txid: string;
    vout: number;
    value_sats: number;
    amount_minor: number;
    opened_at_ms: number;
  },
): Promise<void> => {
  await trx.run(db.insertInto('exchange_debt').values({ id: newId(), ...debt }));
};

/** Compare-and-set. @returns false when it stood elsewhere. */
export const closeDebt = async (
  trx: Trx,
  debt: Pick<Debt, 'id' | 'status'>,
  changes: { status: 'paid' | 'returned'; transfer_hash?: string; closed_at_ms: number },
): Promise<boolean> =>
  (await trx.run(
    db.updateTable('exchange_debt').set(changes).where('id', '=', debt.id).where('status', '=', debt.status),
  )) === 1;

export const listDebts = async (
  reader: Reader,
  filter: { status: DebtStatus | undefined; before: string | undefined; limit: number },
): Promise<Debt[]> => {
  let query = db
    .selectFrom('exchange_debt as d')
    .innerJoin('account as a', 'a.id', 'd.account')
    .selectAll('d')
    .select(['a.address', 'a.account_id', 'a.balance_minor'])
    .orderBy('d.id', 'desc')
    .limit(filter.limit);
  if (filter.status !== undefined) query = query.where('d.status', '=', filter.status);
  if (filter.before !== undefined) query = query.where('d.id', '<', filter.before);
  return await reader.all(query);
};

/** What is owed for one invoice. */
export const owedFor = async (reader: Reader, invoiceId: string): Promise<number> =>
  Number(
    (
      await reader.get(
        db
          .selectFrom('exchange_debt')
          .select((eb) => eb.fn.sum<number>('amount_minor').as('minor'))
          .where('invoice_id', '=', invoiceId)
          .where('status', '=', 'open'),
      )
    )?.minor ?? 0,
  );

/** All that is owed, and by how many debts. */
export const totalOwed = async (reader: Reader): Promise<{ minor: number; debts: number }> => {
  const row = await reader.get(
    db
      .selectFrom('exchange_debt')
      .select((eb) => [eb.fn.sum<number>('amount_minor').as('minor'), eb.fn.countAll<number>().as('n')])
      .where('status', '=', OPEN),
  );
  return { minor: Number(row?.minor ?? 0), debts: Number(row?.n ?? 0) };
};
