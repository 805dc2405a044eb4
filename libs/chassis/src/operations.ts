import { type Caller, Problem, type ServiceName, toTimestamp, toTimestampOrNull } from '@aitbc/contracts';
import express from 'express';
import { type Actor, type Audit, auditAs } from './audit.ts';
import { CALLER_HEADER, verifyCaller } from './caller.ts';
import { clock } from './clock.ts';
import type { ChassisTables } from './migrations/index.ts';
import { type Purge, schedulePurge } from './purge.ts';
import { builder } from './sql.ts';
import type { Store } from './store/index.ts';
import type { Scheduled } from './ticker.ts';

const db = builder<ChassisTables>();
const DEAD_LETTERS_MAX = 200;

/** Newest first, at most DEAD_LETTERS_MAX. @param before an id of the list before, to go on after it. */
export const listDeadLetters = async (service: string, store: Store, before?: string) => {
  let query = db.selectFrom('dead_letter').selectAll().orderBy('id', 'desc').limit(DEAD_LETTERS_MAX);
  if (before !== undefined) query = query.where('id', '<', before);
  return (await store.read.all(query)).map(
    ({ payload: _payload, version: _version, retry_at_ms, created_at_ms, ...row }) => ({
      ...row,
      service,
      retry_at: toTimestampOrNull(retry_at_ms),
      created_at: toTimestamp(created_at_ms),
    }),
  );
};

/**
 * Tries a dead letter again from its first attempt, or forgets it; and says so, in the same transaction.
 * @throws Problem NOT_FOUND
 */
export const actOnDeadLetter = async (
  store: Store,
  { id, action }: { readonly id: string; readonly action: 'replay' | 'drop' },
  actor: Actor,
  audit: Audit,
): Promise<void> => {
  await store.transact('dead_letter.act', async (trx) => {
    const letter = await trx.get(
      db.selectFrom('dead_letter').select(['name', 'stream']).where('id', '=', id),
    );
    if (letter === undefined) throw new Problem('NOT_FOUND', 'No such dead letter.');
    if (action === 'drop') await trx.run(db.deleteFrom('dead_letter').where('id', '=', id));
    else
      await trx.run(
        db.updateTable('dead_letter').set({ retry_at_ms: clock.nowMs(), attempts: 0 }).where('id', '=', id),
      );
    await audit(trx, actor, {
      action: action === 'drop' ? 'dead_letter.dropped' : 'dead_letter.replayed',
      object: id,
      details: { message: letter.name, stream: letter.stream },
    });
  });
};

/** Forgets what was given up so long ago; what is still tried stays. */
export const purgeDeadLetters = (store: Store, keptMs: number, purge: Purge): Scheduled => {
  const letters = purge({
    what: 'dead_letters',
    find: (limit) =>
      store.read.all(
        db
          .selectFrom('dead_letter')
          .select(['id', 'created_at_ms'])
          .where('retry_at_ms', 'is', null)
          .where('created_at_ms', '<=', clock.nowMs() - keptMs)
          .orderBy('id')
          .limit(limit),
      ),
    dueAtMs: ({ created_at_ms }) => created_at_ms + keptMs,
    drop: (trx, old) =>
      trx.run(
        db
          .deleteFrom('dead_letter')
          .where('retry_at_ms', 'is', null)
          .where(
            'id',
            'in',
            old.map(({ id }) => id),
          ),
      ),
  });
  return schedulePurge('dead_letters.purge', [letters]);
};

/** The operator's view of what could not be handled; for the gateway's admin routes, with an admin caller. */
export const deadLetterRoutes =
  (service: ServiceName, store: Store, callerKey: Buffer) =>
  (app: express.Express): void => {
    const path = '/internal/dead-letters';
    const demandAdmin = (request: express.Request): Caller => {
      const { caller } = verifyCaller(
        callerKey,
        request.headers[CALLER_HEADER],
        request.method,
        request.originalUrl,
        Date.now(),
      );
      if (caller?.scopes.includes('admin') !== true) throw new Problem('FORBIDDEN', 'Operators only.');
      return caller;
    };
    app.get(path, async (request, response) => {
      demandAdmin(request);
      const { before } = request.query;
      response.json({
        items: await listDeadLetters(service, store, typeof before === 'string' ? before : undefined),
      });
    });
    // The gateway's own are for its routes to act on.
    if (service === 'gateway') return;
    const audit = auditAs(service);
    app.post(path, express.json({ limit: 4_096 }), async (request, response) => {
      const caller = demandAdmin(request);
      const { id, action } = (request.body ?? {}) as { id?: unknown; action?: unknown };
      if (typeof id !== 'string' || (action !== 'replay' && action !== 'drop')) {
        throw new Problem('VALIDATION_ERROR', 'Send {id, action: "replay" | "drop"}.');
      }
      await actOnDeadLetter(store, { id, action }, caller, audit);
      response.json({ id, action });
    });
  };
