import { builder, hot, type Params, type Reader, rowsOf, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

const tip = hot((_: Params<Record<never, never>>) =>
  db
    .selectFrom('block')
    .select(['height', 'hash', 'last_seq', 'sealed_at_ms'])
    .orderBy('height', 'desc')
    .limit(1),
);
export const findTip = (reader: Reader) => reader.get(tip, {});

const after = hot((p: Params<{ seq: number; limit: number }>) =>
  db
    .selectFrom('transfer')
    .select(['seq', 'hash', 'debit', 'credit', 'amount_minor', 'kind'])
    .where('seq', '>', p('seq'))
    .orderBy('seq')
    .limit(p('limit')),
);
/** Transfers beyond `seq`, in the order of their sealing. */
export const transfersAfter = (reader: Reader, seq: number, limit: number) =>
  reader.all(after, { seq, limit });

const from = hot((p: Params<{ height: number; limit: number }>) =>
  db
    .selectFrom('block')
    .select(['height', 'first_seq', 'tx_count', 'sealed_at_ms'])
    .where('height', '>=', p('height'))
    .orderBy('height')
    .limit(p('limit')),
);
/** Sealed blocks from `height` on, in order. */
export const blocksFrom = (reader: Reader, height: number, limit: number) =>
  reader.all(from, { height, limit });

const before = hot((p: Params<{ id: number; seq: number }>) =>
  db
    .selectFrom('account')
    .where('id', '=', p('id'))
    .select((eb) => {
      const since = (leg: 'debit' | 'credit') =>
        eb
          .selectFrom('transfer')
          .whereRef(`transfer.${leg}`, '=', 'account.id')
          .where('seq', '>=', p('seq'))
          .select(sql<number>`coalesce(sum(amount_minor), 0)`.as('sum'));
      return [
        'kind',
        'account_id',
        sql<number>`balance_minor - ${since('credit')} + ${since('debit')}`.as('balance_minor'),
      ];
    }),
);
/** Who an account is, and what it held before the transfer `seq`: what moved since is taken back. */
export const accountBefore = (reader: Reader, id: number, seq: number) => reader.get(before, { id, seq });

const leaves = hot((p: Params<{ first_seq: number; last_seq: number }>) =>
  db
    .selectFrom('transfer')
    .select('hash')
    .where('seq', '>=', p('first_seq'))
    .where('seq', '<=', p('last_seq'))
    .orderBy('seq'),
);
/** The leaf hashes of a sealed range. */
export const leavesOf = async (
  reader: Reader,
  range: { first_seq: number; last_seq: number },
): Promise<Buffer[]> =>
  (await reader.all(leaves, { first_seq: range.first_seq, last_seq: range.last_seq })).map((row) => row.hash);

export const addBlock = async (trx: Trx, block: Tables['block']): Promise<void> => {
  await trx.run(db.insertInto('block').values(block));
};

const sealBalances = hot((p: Params<{ deltas: string }>) =>
  db
    .updateTable('account')
    .from(rowsOf(p('deltas'), { moved: 'integer', delta: 'integer' }).as('of'))
    .set((eb) => ({ sealed_minor: eb('account.sealed_minor', '+', eb.ref('of.delta')) }))
    .whereRef('account.id', '=', 'of.moved')
    .returning(['account.id', 'account.kind', 'account.account_id', 'account.sealed_minor']),
);
/** Moves the balances of accounts at the last sealed block. @returns what they are now */
export const moveSealed = async (trx: Trx, deltas: readonly (readonly [id: number, minor: number])[]) => {
  const rows = await trx.all(sealBalances, { deltas: JSON.stringify(deltas) });
  if (rows.length !== deltas.length) throw new Error('an account of a transfer is not there');
  return rows;
};

const sealedOf = hot((p: Params<{ id: number }>) =>
  db.selectFrom('account').select('sealed_minor').where('id', '=', p('id')),
);
export const sealedBalance = async (reader: Reader, id: number): Promise<number> =>
  (await reader.get(sealedOf, { id }))?.sealed_minor ?? 0;

const term = hot((_: Params<Record<never, never>>) => db.selectFrom('sealer').select('term'));
/** The term of whoever seals now. */
export const sealingTerm = async (reader: Reader): Promise<number> => (await reader.get(term, {}))?.term ?? 0;

/** Begins a term of one's own, which ends all before it. @returns its number */
export const beginTerm = async (trx: Trx): Promise<number> => {
  await trx.run(db.updateTable('sealer').set((eb) => ({ term: eb('term', '+', 1) })));
  return sealingTerm(trx);
};
