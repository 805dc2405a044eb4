import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { Status } from '../domain.ts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

const saveSeenOf = hot((p: Params<{ id: string; seen_at_ms: number }>) =>
  db
    .updateTable('miner')
    .set({ seen_at_ms: p('seen_at_ms') })
    .where('id', '=', p('id')),
);
export const saveSeenAt = (trx: Trx, id: string, seenAtMs: number): Promise<number> =>
  trx.run(saveSeenOf, { id, seen_at_ms: seenAtMs });

/** Who was seen when, and until when its process is taken for living. */
export interface Seen {
  readonly id: string;
  readonly seen_at_ms: number;
  readonly instance: { readonly id: string; readonly lives_until_ms: number } | null;
}

/** Writes down who was seen, many with one statement. Another process may have written a later time. */
export const saveSeen = async (trx: Trx, seen: readonly Seen[]): Promise<void> => {
  const rows = seen.map(
    ({ id, seen_at_ms, instance }) =>
      sql`(CAST(${id} AS TEXT), CAST(${seen_at_ms} AS BIGINT), CAST(${instance?.id ?? ''} AS TEXT), CAST(${instance?.lives_until_ms ?? 0} AS BIGINT))`,
  );
  await trx.run(
    db
      .updateTable('miner')
      .from(sql<{ column1: string; column2: number }>`(VALUES ${sql.join(rows)})`.as('seen'))
      .set({
        seen_at_ms: sql<number>`CASE WHEN seen.column2 > miner.seen_at_ms THEN seen.column2 ELSE miner.seen_at_ms END`,
        lives_until_ms: sql<number>`CASE WHEN seen.column3 = miner.instance_id THEN seen.column4 ELSE miner.lives_until_ms END`,
      })
      .whereRef('miner.id', '=', 'seen.column1'),
  );
};

const presenceColumns = [
  'id',
  'account_id',
  'name',
  'status',
  'seen_at_ms',
  'instance_id',
  'lives_until_ms',
] as const;
/** All registered miners, for the roster: read once, at start. */
export const allPresences = (reader: Reader) => reader.all(db.selectFrom('miner').select(presenceColumns));

const presenceById = hot((p: Params<{ id: string }>) =>
  db.selectFrom('miner').select(presenceColumns).where('id', '=', p('id')),
);
const presencesByAccount = hot((p: Params<{ account_id: string; limit: number }>) =>
  db
    .selectFrom('miner')
    .select(presenceColumns)
    .where('account_id', '=', p('account_id'))
    .orderBy('id')
    .limit(p('limit')),
);
export const presenceOf = (reader: Reader, id: string) => reader.get(presenceById, { id });
/** Two of an account's miners at most: whether there is one alone. */
export const firstPresences = (reader: Reader, accountId: string) =>
  reader.all(presencesByAccount, { account_id: accountId, limit: 2 });

const countOfAccount = hot((p: Params<{ account_id: string }>) =>
  db
    .selectFrom('miner')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('account_id', '=', p('account_id')),
);
export const minersOfAccount = async (reader: Reader, accountId: string): Promise<number> =>
  (await reader.get(countOfAccount, { account_id: accountId }))?.count ?? 0;

export const countMiners = async (reader: Reader, status?: Status): Promise<number> => {
  let query = db.selectFrom('miner').select((eb) => eb.fn.countAll<number>().as('count'));
  if (status !== undefined) query = query.where('status', '=', status);
  return (await reader.get(query))?.count ?? 0;
};

/** Active miners that no process wrote down as seen since then. */
export const silentSince = async (reader: Reader, seenBeforeMs: number, limit: number): Promise<string[]> =>
  (
    await reader.all(
      db
        .selectFrom('miner')
        .select('id')
        .where('status', '=', 'active')
        .where('seen_at_ms', '<', seenBeforeMs)
        .limit(limit),
    )
  ).map(({ id }) => id);

/** Those of some that are inactive. */
export const inactiveOf = async (reader: Reader, ids: readonly string[]): Promise<string[]> =>
  ids.length === 0
    ? []
    : (
        await reader.all(
          db.selectFrom('miner').select('id').where('id', 'in', ids).where('status', '=', 'inactive'),
        )
      ).map(({ id }) => id);
