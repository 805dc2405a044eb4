import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { NO_WORDS, type Words } from '../domain.ts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

const reputationRow = hot((p: Params<{ account_id: string }>) =>
  db.selectFrom('reputation').selectAll().where('account_id', '=', p('account_id')),
);
const counterpartyRow = hot((p: Params<{ account_id: string; client_id: string }>) =>
  db
    .selectFrom('counterparty')
    .select(['good', 'bad', 'at_ms'])
    .where('account_id', '=', p('account_id'))
    .where('client_id', '=', p('client_id')),
);
const putCounterparty = hot((p: Params<Tables['counterparty']>) =>
  db
    .insertInto('counterparty')
    .values({
      account_id: p('account_id'),
      client_id: p('client_id'),
      good: p('good'),
      bad: p('bad'),
      at_ms: p('at_ms'),
    })
    .onConflict((conflict) =>
      conflict
        .columns(['account_id', 'client_id'])
        .doUpdateSet({ good: p('good'), bad: p('bad'), at_ms: p('at_ms') }),
    ),
);
const putReputation = hot((p: Params<Tables['reputation']>) =>
  db
    .insertInto('reputation')
    .values({
      account_id: p('account_id'),
      good: p('good'),
      bad: p('bad'),
      at_ms: p('at_ms'),
      announced: p('announced'),
      telling_after: p('telling_after'),
    })
    .onConflict((conflict) =>
      conflict.column('account_id').doUpdateSet({
        good: p('good'),
        bad: p('bad'),
        at_ms: p('at_ms'),
        announced: p('announced'),
        telling_after: p('telling_after'),
      }),
    ),
);
const nextToTell = hot((p: Params<{ account_id: string; after: string; limit: number }>) =>
  db
    .selectFrom('miner')
    .select('id')
    .where('account_id', '=', p('account_id'))
    .where('status', '=', 'active')
    .where('id', '>', p('after'))
    .orderBy('id')
    .limit(p('limit')),
);

export const findReputation = (reader: Reader, accountId: string) =>
  reader.get(reputationRow, { account_id: accountId });

/** What one client has said of an account; `''` is all strangers together. */
export const findWordsOf = async (reader: Reader, accountId: string, clientId: string): Promise<Words> =>
  (await reader.get(counterpartyRow, { account_id: accountId, client_id: clientId })) ?? NO_WORDS;

export const saveWordsOf = async (trx: Trx, row: Tables['counterparty']): Promise<void> => {
  await trx.run(putCounterparty, row);
};

export const saveReputation = async (trx: Trx, row: Tables['reputation']): Promise<void> => {
  await trx.run(putReputation, row);
};

/** Active miners of an account beyond one, in order: those whose reputation others work with. */
export const activeMinersAfter = async (
  reader: Reader,
  accountId: string,
  after: string,
  limit: number,
): Promise<string[]> =>
  (await reader.all(nextToTell, { account_id: accountId, after, limit })).map(({ id }) => id);

/** Accounts of which not all miners have been told of yet. */
export const accountsToTell = async (reader: Reader, limit: number): Promise<string[]> =>
  (
    await reader.all(
      db.selectFrom('reputation').select('account_id').where('telling_after', 'is not', null).limit(limit),
    )
  ).map(({ account_id }) => account_id);
