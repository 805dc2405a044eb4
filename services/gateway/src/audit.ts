import {
  type Actor,
  auditAct,
  builder,
  type Done,
  type Handlers,
  hot,
  type Params,
  pageOf,
  type Reader,
  type Store,
  type Trx,
} from '@aitbc/chassis';
import {
  AUDIT_START,
  type AuditAct,
  type AuditEntry,
  auditHash,
  type auditRoutes,
  invalidField,
  type QueryOf,
  type ServiceName,
  toTimestamp,
} from '@aitbc/contracts';
import { cursorAfter, readCursor } from './cursor.ts';
import type { AuditTable, Tables } from './tables.ts';

const db = builder<Tables>();

const byId = hot((p: Params<{ id: string }>) =>
  db.selectFrom('audit').select('seq').where('id', '=', p('id')),
);
const newest = hot(() => db.selectFrom('audit').select(['seq', 'hash']).orderBy('seq', 'desc').limit(1));

const view = ({ at_ms, details, ...row }: AuditTable): AuditEntry => ({
  ...row,
  details: JSON.parse(details) as AuditEntry['details'],
  at: toTimestamp(at_ms),
});

/** Writes an act behind the last one; told again, it changes nothing. Of two at once the second is undone and made again. */
export const writeAct = async (trx: Trx, service: ServiceName, act: AuditAct): Promise<void> => {
  if ((await trx.get(byId, { id: act.id })) !== undefined) return;
  const last = await trx.get(newest, {});
  const row = {
    seq: (last?.seq ?? 0) + 1,
    id: act.id,
    service,
    action: act.action,
    actor_id: act.actor?.account_id ?? null,
    credential_id: act.actor?.credential_id ?? null,
    object: act.object,
    account_id: act.account_id,
    details: JSON.stringify(act.details),
    at_ms: act.at_ms,
    prev_hash: last?.hash ?? AUDIT_START,
    hash: '',
  };
  await trx.run(db.insertInto('audit').values({ ...row, hash: auditHash(view(row)) }));
};

/** An act of the gateway's own, in its transaction. */
export const writeOwn = (trx: Trx, actor: Actor, done: Done, nowMs: number): Promise<void> =>
  writeAct(trx, 'gateway', auditAct(actor, done, nowMs));

type Query = QueryOf<(typeof auditRoutes)['audit']>;

const list = (reader: Reader, { action, account_id, actor_id, limit }: Query, before: number | undefined) => {
  let query = db
    .selectFrom('audit')
    .selectAll()
    .orderBy('seq', 'desc')
    .limit(limit + 1);
  if (before !== undefined) query = query.where('seq', '<', before);
  if (action !== undefined) query = query.where('action', '=', action);
  if (account_id !== undefined) query = query.where('account_id', '=', account_id);
  if (actor_id !== undefined) query = query.where('actor_id', '=', actor_id);
  return reader.all(query);
};

const seqOf = (cursor: string | undefined): number | undefined => {
  const text = readCursor(cursor);
  if (text === undefined) return undefined;
  const seq = Number(text);
  if (!Number.isSafeInteger(seq)) throw invalidField('query.cursor', 'is not a cursor of this list');
  return seq;
};

export const auditHandlers = ({ read }: Store): Handlers<typeof auditRoutes> => ({
  audit: async ({ query }) => {
    const rows = await list(read, query, seqOf(query.cursor));
    return {
      status: 200,
      body: await pageOf(rows, query.limit, view, ({ seq }) => cursorAfter(String(seq))),
    };
  },
});
