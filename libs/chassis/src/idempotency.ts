import { createHash } from 'node:crypto';
import { type AnyRoute, type Caller, Problem, type ReplyOf } from '@aitbc/contracts';
import type { Received } from './http.ts';
import type { ChassisTables } from './migrations.ts';
import { builder, hot, type Params } from './sql.ts';
import type { Store, Trx } from './store.ts';
import type { Scheduled } from './ticker.ts';

const KEY_LENGTH_MAX = 255;
const KEPT_MS = 24 * 3_600_000;
const PURGE_BATCH = 1_000;

const db = builder<ChassisTables>();

const find = hot((p: Params<{ account_id: string; route: string; key: string }>) =>
  db
    .selectFrom('idempotency')
    .select(['request_sha256', 'status', 'body', 'created_at_ms'])
    .where('account_id', '=', p('account_id'))
    .where('route', '=', p('route'))
    .where('key', '=', p('key')),
);

/** The same bytes are the same request. */
const bodyHash = (request: Received): string =>
  createHash('sha256')
    .update(request.rawBody ?? '')
    .digest('base64url');

const forget = hot((p: Params<{ account_id: string; route: string; key: string }>) =>
  db
    .deleteFrom('idempotency')
    .where('account_id', '=', p('account_id'))
    .where('route', '=', p('route'))
    .where('key', '=', p('key')),
);

/**
 * Wraps the write of a request so that the same caller, route, key and body get the stored answer again.
 * Lookup, effect and stored answer are one transaction of one writer, so "still running" cannot be met.
 * Answers of refused requests are not kept: nothing happened, and a second try may fare better.
 * @throws Problem IDEMPOTENCY_KEY_REUSED when the body (or the path) differs.
 */
export const withIdempotency =
  (route: AnyRoute, caller: Caller | null, request: Received, fn: (trx: Trx) => ReplyOf<AnyRoute>) =>
  (trx: Trx): ReplyOf<AnyRoute> => {
    const key = request.get('idempotency-key');
    if (key === undefined || route.idempotent !== true || caller === null) return fn(trx);
    if (key.length === 0 || key.length > KEY_LENGTH_MAX) {
      throw new Problem('VALIDATION_ERROR', `Idempotency-Key must have 1 to ${KEY_LENGTH_MAX} characters.`, {
        details: {
          issues: [{ path: 'Idempotency-Key', message: `must have 1 to ${KEY_LENGTH_MAX} characters` }],
        },
      });
    }
    const id = { account_id: caller.account_id, route: route.name, key };
    const requestHash = `${request.path} ${bodyHash(request)}`;
    const seen = trx.get(find, id);
    if (seen !== undefined && seen.created_at_ms > Date.now() - KEPT_MS) {
      if (seen.request_sha256 !== requestHash) {
        throw new Problem(
          'IDEMPOTENCY_KEY_REUSED',
          'This Idempotency-Key was used with another request; make a new one.',
        );
      }
      return { status: seen.status, body: JSON.parse(seen.body) } as ReplyOf<AnyRoute>;
    }
    const reply = fn(trx);
    const row = {
      ...id,
      request_sha256: requestHash,
      status: reply.status,
      body: JSON.stringify(reply.body ?? null),
      created_at_ms: Date.now(),
    };
    trx.run(
      db
        .insertInto('idempotency')
        .values(row)
        .onConflict((conflict) => conflict.columns(['account_id', 'route', 'key']).doUpdateSet(row)),
    );
    return reply;
  };

/** Forgets keys older than 24 h, a bounded batch a transaction, until none is left. */
export const purgeIdempotency = (store: Store): Scheduled => ({
  name: 'idempotency.purge',
  everyMs: 60_000,
  run: async (signal) => {
    for (;;) {
      const old = store.read.all(
        db
          .selectFrom('idempotency')
          .select(['account_id', 'route', 'key'])
          .where('created_at_ms', '<', Date.now() - KEPT_MS)
          .limit(PURGE_BATCH),
      );
      if (old.length === 0 || signal.aborted) return;
      await store.transact('idempotency.purge', (trx) => {
        for (const row of old) trx.run(forget, row);
      });
    }
  },
});
