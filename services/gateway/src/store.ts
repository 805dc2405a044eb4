import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { type ExpressionBuilder, sql } from 'kysely';
import type { ApiKeyTable, NonceTable, SessionTable, Tables } from './tables.ts';

const db = builder<Tables>();

const keyByHash = hot((p: Params<{ key_sha256: string }>) =>
  db
    .selectFrom('api_key')
    .innerJoin('account', 'account.id', 'api_key.account_id')
    .selectAll('api_key')
    .select('account.wallet_address')
    .where('key_sha256', '=', p('key_sha256')),
);
const sessionByHash = hot((p: Params<{ token_sha256: string }>) =>
  db
    .selectFrom('session')
    .innerJoin('account', 'account.id', 'session.account_id')
    .selectAll('session')
    .select('account.wallet_address')
    .where('token_sha256', '=', p('token_sha256')),
);
const touchKey = hot((p: Params<{ id: string; at_ms: number }>) =>
  db
    .updateTable('api_key')
    .set({ last_used_at_ms: p('at_ms') })
    .where('id', '=', p('id'))
    // Another gateway may have seen it later.
    .where((eb) => eb.or([eb('last_used_at_ms', 'is', null), eb('last_used_at_ms', '<', p('at_ms'))])),
);
const touchSession = hot((p: Params<{ id: string; at_ms: number }>) =>
  db
    .updateTable('session')
    .set({ last_used_at_ms: p('at_ms') })
    .where('id', '=', p('id'))
    .where('last_used_at_ms', '<', p('at_ms')),
);

/** Each rotation adds one: a key that was rotated daily for years is still found. */
const ROTATIONS_MAX = 10_000;
const firstInChain = hot((p: Params<{ id: string }>) =>
  db
    .withRecursive('chain', (query) =>
      query
        .selectFrom('api_key')
        .select(['id', 'replaces', sql<number>`1`.as('depth')])
        .where('id', '=', p('id'))
        .unionAll(
          query
            .selectFrom('api_key as older')
            .innerJoin('chain', 'chain.replaces', 'older.id')
            .select(['older.id', 'older.replaces', sql<number>`chain.depth + 1`.as('depth')])
            .where('chain.depth', '<', ROTATIONS_MAX),
        ),
    )
    .selectFrom('chain')
    .select('id')
    .orderBy('depth', 'desc')
    .limit(1),
);

/** The key that a chain of rotations began with; a key that replaces none is its own first. */
export const firstKeyOf = async (
  read: Reader,
  key: { id: string; replaces: string | null },
): Promise<string> =>
  key.replaces === null ? key.id : ((await read.get(firstInChain, { id: key.id }))?.id ?? key.id);

export const findKeyByHash = (read: Reader, key_sha256: string) => read.get(keyByHash, { key_sha256 });
export const findSessionByHash = (read: Reader, token_sha256: string) =>
  read.get(sessionByHash, { token_sha256 });
export const markKeyUsed = (trx: Trx, id: string, at_ms: number) => trx.run(touchKey, { id, at_ms });
export const markSessionUsed = (trx: Trx, id: string, at_ms: number) => trx.run(touchSession, { id, at_ms });

export const findAccount = (read: Reader, id: string) =>
  read.get(db.selectFrom('account').selectAll().where('id', '=', id));
export const findAccountByWallet = (read: Reader, wallet: string) =>
  read.get(db.selectFrom('account').selectAll().where('wallet_address', '=', wallet));
export const insertAccount = (trx: Trx, row: Tables['account']) =>
  trx.run(db.insertInto('account').values(row));

export const findKey = (read: Reader, id: string) =>
  read.get(db.selectFrom('api_key').selectAll().where('id', '=', id));
export const insertKey = (trx: Trx, row: ApiKeyTable) => trx.run(db.insertInto('api_key').values(row));

/** Compare-and-set: 1 when this call revoked it. */
export const revokeKeyRow = (
  trx: Trx,
  id: string,
  by: NonNullable<ApiKeyTable['revoked_by']>,
  nowMs: number,
): Promise<number> =>
  trx.run(
    db
      .updateTable('api_key')
      .set({ revoked_at_ms: nowMs, revoked_by: by })
      .where('id', '=', id)
      .where('revoked_at_ms', 'is', null),
  );
export const setKeyExpiry = (trx: Trx, id: string, expires_at_ms: number) =>
  trx.run(db.updateTable('api_key').set({ expires_at_ms }).where('id', '=', id));
export const setBootstrapKey = (trx: Trx, id: string, scopes: string, restore: boolean) =>
  trx.run(
    db
      .updateTable('api_key')
      .set({ scopes, ...(restore ? { revoked_at_ms: null, revoked_by: null } : {}) })
      .where('id', '=', id),
  );
export const listBootstrapKeys = (read: Reader) =>
  read.all(db.selectFrom('api_key').selectAll().where('source', '=', 'environment'));

export interface KeyFilter {
  account_id?: string | undefined;
  active?: boolean | undefined;
  before?: string | undefined;
  limit: number;
  nowMs: number;
}

/** Newest first; ids are UUIDv7, so they are the order too. */
export const listKeys = async (read: Reader, filter: KeyFilter) => {
  let query = db.selectFrom('api_key').selectAll().orderBy('id', 'desc').limit(filter.limit);
  if (filter.account_id !== undefined) query = query.where('account_id', '=', filter.account_id);
  if (filter.before !== undefined) query = query.where('id', '<', filter.before);
  if (filter.active !== undefined) {
    const { active, nowMs } = filter;
    query = query.where((eb) => {
      const usable = eb.and([
        eb('revoked_at_ms', 'is', null),
        eb.or([eb('expires_at_ms', 'is', null), eb('expires_at_ms', '>', nowMs)]),
      ]);
      return active ? usable : eb.not(usable);
    });
  }
  return await read.all(query);
};

export const countUsableKeys = async (read: Reader, nowMs: number, account_id?: string): Promise<number> => {
  let query = db
    .selectFrom('api_key')
    .select((eb) => eb.fn.countAll().as('n'))
    .where('revoked_at_ms', 'is', null)
    .where((eb) => eb.or([eb('expires_at_ms', 'is', null), eb('expires_at_ms', '>', nowMs)]));
  if (account_id !== undefined) query = query.where('account_id', '=', account_id);
  return Number((await read.get(query))?.n ?? 0);
};
export const countAccounts = async (read: Reader): Promise<number> =>
  Number((await read.get(db.selectFrom('account').select((eb) => eb.fn.countAll().as('n'))))?.n ?? 0);
export const countSessions = async (read: Reader, nowMs: number, idleSinceMs: number): Promise<number> =>
  Number(
    (
      await read.get(
        db
          .selectFrom('session')
          .select((eb) => eb.fn.countAll().as('n'))
          .where('expires_at_ms', '>', nowMs)
          .where('last_used_at_ms', '>', idleSinceMs),
      )
    )?.n ?? 0,
  );

export const insertSession = (trx: Trx, row: SessionTable) => trx.run(db.insertInto('session').values(row));
export const listSessions = (read: Reader, account_id: string) =>
  read.all(db.selectFrom('session').selectAll().where('account_id', '=', account_id).orderBy('id', 'desc'));
export const deleteSession = (trx: Trx, id: string) => trx.run(db.deleteFrom('session').where('id', '=', id));

export const insertNonce = (trx: Trx, row: NonceTable) => trx.run(db.insertInto('nonce').values(row));
export const findNonce = (read: Reader, nonce: string) =>
  read.get(db.selectFrom('nonce').selectAll().where('nonce', '=', nonce));
/** Compare-and-set: 1 for the one caller who uses it. */
export const useNonce = (trx: Trx, nonce: string, nowMs: number): Promise<number> =>
  trx.run(db.deleteFrom('nonce').where('nonce', '=', nonce).where('expires_at_ms', '>', nowMs));

export const noncesDue = (read: Reader, nowMs: number, limit: number) =>
  read.all(
    db
      .selectFrom('nonce')
      .select(['nonce', 'expires_at_ms'])
      .where('expires_at_ms', '<=', nowMs)
      .orderBy('expires_at_ms')
      .limit(limit),
  );
export const dropNonces = (trx: Trx, old: readonly { nonce: string }[]) =>
  trx.run(
    db.deleteFrom('nonce').where(
      'nonce',
      'in',
      old.map(({ nonce }) => nonce),
    ),
  );
/**
 * Sessions that were written while the clock ran ahead, or lived longer: nobody used one in the future, and none ends later
 * than one that was opened when it was.
 */
export const boundSessions = async (trx: Trx, nowMs: number, longestMs: number): Promise<void> => {
  const today = { created_at_ms: nowMs, last_used_at_ms: nowMs, expires_at_ms: nowMs + longestMs };
  await trx.run(db.updateTable('session').set(today).where('created_at_ms', '>', nowMs));
  await trx.run(
    db
      .updateTable('session')
      .set((eb) => ({ expires_at_ms: eb('created_at_ms', '+', longestMs) }))
      .where((eb) => eb('expires_at_ms', '>', eb('created_at_ms', '+', longestMs))),
  );
  await trx.run(
    db.updateTable('session').set({ last_used_at_ms: nowMs }).where('last_used_at_ms', '>', nowMs),
  );
};
const isOver = (nowMs: number, idleSinceMs: number) => (eb: ExpressionBuilder<Tables, 'session'>) =>
  eb.or([eb('last_used_at_ms', '<=', idleSinceMs), eb('expires_at_ms', '<=', nowMs)]);
export const sessionsDue = (read: Reader, nowMs: number, idleSinceMs: number, limit: number) =>
  read.all(db.selectFrom('session').select('id').where(isOver(nowMs, idleSinceMs)).limit(limit));
/** But those that were used meanwhile. */
export const dropSessions = (trx: Trx, old: readonly { id: string }[], nowMs: number, idleSinceMs: number) =>
  trx.run(
    db
      .deleteFrom('session')
      .where(
        'id',
        'in',
        old.map(({ id }) => id),
      )
      .where(isOver(nowMs, idleSinceMs)),
  );
