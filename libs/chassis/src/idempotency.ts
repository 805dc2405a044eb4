import type { IncomingMessage } from 'node:http';
import {
  type AnyRoute,
  type Caller,
  canonicalJson,
  invalidField,
  Problem,
  type ReplyOf,
  sha256,
} from '@aitbc/contracts';
import { clock } from './clock.ts';
import type { ChassisTables } from './migrations/index.ts';
import { type Purge, schedulePurge } from './purge.ts';
import { builder, hot, type Params } from './sql.ts';
import { isStoreFault } from './store/fault.ts';
import type { Store, Trx } from './store/index.ts';
import type { Scheduled } from './ticker.ts';

const KEY_LENGTH_MAX = 255;

const db = builder<ChassisTables>();

const find = hot((p: Params<{ account_id: string; route: string; key: string }>) =>
  db
    .selectFrom('idempotency')
    .select(['request_sha256', 'status', 'body', 'created_at_ms'])
    .where('account_id', '=', p('account_id'))
    .where('route', '=', p('route'))
    .where('key', '=', p('key')),
);

/** The parts of a request that say what it asks for: what was meant by the address, and the JSON as it was sent. */
interface Asked {
  readonly request: IncomingMessage;
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

/** The order of fields, white space and escapes do not make another request. */
const hashOf = ({ params, query, body }: Asked): string =>
  sha256(canonicalJson([params ?? null, query ?? null, body ?? null]));

/** @throws Problem BAD_REQUEST when it was sent twice, VALIDATION_ERROR when its length is wrong. */
const readKey = (request: IncomingMessage): string | undefined => {
  // Node joins what is sent twice, and the joined text would be a key that nobody meant.
  if ((request.headersDistinct['idempotency-key']?.length ?? 0) > 1)
    throw new Problem('BAD_REQUEST', 'Send one Idempotency-Key, not several.');
  const key = request.headers['idempotency-key'] as string | undefined;
  if (key !== undefined && (key.length === 0 || key.length > KEY_LENGTH_MAX))
    throw invalidField('Idempotency-Key', `must have 1 to ${KEY_LENGTH_MAX} characters`);
  return key;
};

// A key that was used again meanwhile is younger.
const forget = hot((p: Params<{ account_id: string; route: string; key: string; created_at_ms: number }>) =>
  db
    .deleteFrom('idempotency')
    .where('account_id', '=', p('account_id'))
    .where('route', '=', p('route'))
    .where('key', '=', p('key'))
    .where('created_at_ms', '=', p('created_at_ms')),
);

/** The one write of a request. */
export type Write<T extends AnyRoute> = (trx: Trx) => ReplyOf<T> | Promise<ReplyOf<T>>;

/**
 * How an answer is kept beside its key without what must stand in one place alone, and made whole again from there.
 * Bodies, not answers: the status is kept as it is.
 */
export interface Abridged {
  readonly keep: (body: unknown) => unknown;
  readonly recall: (trx: Trx, kept: unknown) => Promise<unknown>;
}

/**
 * Wraps the write of a request so that the same caller, route, key and request get the stored answer again.
 * Lookup, effect and stored answer are one transaction, so "still running" cannot be met.
 * Answers of refused requests are not kept: nothing happened, and a second try may fare better.
 * @param keptMs for how long.
 * @throws Problem IDEMPOTENCY_KEY_REUSED when body, path or query ask for something else; see readKey for the rest.
 */
export const withIdempotency = (
  route: AnyRoute,
  caller: Caller | null,
  asked: Asked,
  fn: Write<AnyRoute>,
  keptMs: number,
  abridged?: Abridged,
): Write<AnyRoute> => {
  if (route.idempotent !== true || caller === null) return fn;
  const key = readKey(asked.request);
  if (key === undefined) return fn;
  const id = { account_id: caller.account_id, route: route.name, key };
  // Before the transaction: for a batch of 4 MB it takes 50 ms, in which nobody else could write.
  const requestHash = hashOf(asked);
  const storedAnswer = async (trx: Trx): Promise<ReplyOf<AnyRoute> | undefined> => {
    const seen = await trx.get(find, id);
    if (seen === undefined || seen.created_at_ms <= clock.nowMs() - keptMs) return undefined;
    if (seen.request_sha256 !== requestHash) {
      throw new Problem(
        'IDEMPOTENCY_KEY_REUSED',
        'This Idempotency-Key was used with another request; make a new one.',
      );
    }
    const kept: unknown = JSON.parse(seen.body);
    return {
      status: seen.status,
      body: abridged === undefined ? kept : await abridged.recall(trx, kept),
    } as ReplyOf<AnyRoute>;
  };
  const rowOf = (reply: ReplyOf<AnyRoute>) => ({
    ...id,
    request_sha256: requestHash,
    status: reply.status,
    body: JSON.stringify((abridged === undefined ? reply.body : abridged.keep(reply.body)) ?? null),
    created_at_ms: clock.nowMs(),
  });
  const lookThenDo: Write<AnyRoute> = async (trx) => {
    const stored = await storedAnswer(trx);
    if (stored !== undefined) return stored;
    const reply = await fn(trx);
    const row = rowOf(reply);
    await trx.run(
      db
        .insertInto('idempotency')
        .values(row)
        .onConflict((conflict) => conflict.columns(['account_id', 'route', 'key']).doUpdateSet(row)),
    );
    return reply;
  };
  // Who looks first for a key that is not there makes a conflict of every other key that is written near it. So it is
  // done, and undone when the key turns out to be known.
  const doThenLook: Write<AnyRoute> = async (trx) => {
    try {
      return await trx.savepoint(async () => {
        const reply = await fn(trx);
        const isNew = await trx.run(
          db
            .insertInto('idempotency')
            .values(rowOf(reply))
            .onConflict((conflict) => conflict.columns(['account_id', 'route', 'key']).doNothing()),
        );
        if (isNew === 0) throw new KeyKnown();
        return reply;
      });
    } catch (error) {
      if (isStoreFault(error)) throw error;
      const stored = await storedAnswer(trx);
      if (stored !== undefined) return stored;
      if (error instanceof KeyKnown) return lookThenDo(trx);
      throw error;
    }
  };
  return (trx) => (trx.isShared ? doThenLook(trx) : lookThenDo(trx));
};

class KeyKnown extends Error {}

/** Forgets keys whose time is over. */
export const purgeIdempotency = (store: Store, keptMs: number, purge: Purge): Scheduled => {
  const keys = purge({
    what: 'idempotency_keys',
    find: (limit) =>
      store.read.all(
        db
          .selectFrom('idempotency')
          .select(['account_id', 'route', 'key', 'created_at_ms'])
          .where('created_at_ms', '<=', clock.nowMs() - keptMs)
          .orderBy('created_at_ms')
          .limit(limit),
      ),
    dueAtMs: ({ created_at_ms }) => created_at_ms + keptMs,
    drop: async (trx, old) => {
      for (const row of old) await trx.run(forget, row);
    },
  });
  return schedulePurge('idempotency.purge', [keys]);
};
