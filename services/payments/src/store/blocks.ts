import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
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

const leaves = hot((p: Params<{ first_seq: number; last_seq: number }>) =>
  db
    .selectFrom('transfer')
    .select('hash')
    .where('seq', '>=', p('first_seq'))
    .where('seq', '<=', p('last_seq'))
    .orderBy('seq'),
);
/** The leaf hashes of a sealed range. */
export const leavesOf = (reader: Reader, range: { first_seq: number; last_seq: number }): Buffer[] =>
  reader.all(leaves, { first_seq: range.first_seq, last_seq: range.last_seq }).map((row) => row.hash);

export const addBlock = (trx: Trx, block: Tables['block']): void => {
  trx.run(db.insertInto('block').values(block));
};

const sealBalance = hot((p: Params<{ id: number; delta: number }>) =>
  db
    .updateTable('account')
    .set((eb) => ({ sealed_minor: eb('sealed_minor', '+', p('delta')) }))
    .where('id', '=', p('id'))
    .returning(['kind', 'account_id', 'sealed_minor']),
);
/** Moves an account's balance at the last sealed block. @returns what it is now. */
export const moveSealed = (trx: Trx, id: number, delta: number) => {
  const row = trx.get(sealBalance, { id, delta });
  if (row === undefined) throw new Error(`no account ${id}`);
  return row;
};

const sealedOf = hot((p: Params<{ id: number }>) =>
  db.selectFrom('account').select('sealed_minor').where('id', '=', p('id')),
);
export const sealedBalance = (reader: Reader, id: number): number =>
  reader.get(sealedOf, { id })?.sealed_minor ?? 0;
