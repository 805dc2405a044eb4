import { builder, hot, type Params, type Reader, rowsOf, type Trx } from '@aitbc/chassis';
import { WORDS_FORGOTTEN_MS } from '../domain.ts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();
const ATTEMPT = { job_id: 'text', attempt: 'integer', forget_at_ms: 'integer' } as const;
const WORDS = { account_id: 'text', client_id: 'text', at_ms: 'integer' } as const;

const attempts = hot((p: Params<{ now_ms: number; limit: number }>) =>
  db
    .selectFrom('attempt')
    .select(['job_id', 'attempt', 'forget_at_ms'])
    .where('forget_at_ms', '<=', p('now_ms'))
    .orderBy('forget_at_ms')
    .limit(p('limit')),
);
export const attemptsDue = (reader: Reader, nowMs: number, limit: number) =>
  reader.all(attempts, { now_ms: nowMs, limit });
// One whose end was heard meanwhile is kept for longer.
const deleteAttempts = hot((p: Params<{ rows: string }>) =>
  db.deleteFrom('attempt').where((eb) =>
    eb(
      eb.refTuple('job_id', 'attempt', 'forget_at_ms'),
      'in',
      eb
        .selectFrom(rowsOf(p('rows'), ATTEMPT).as('old'))
        .select(['old.job_id', 'old.attempt', 'old.forget_at_ms'])
        .$asTuple('job_id', 'attempt', 'forget_at_ms'),
    ),
  ),
);
export const dropAttempts = async (
  trx: Trx,
  old: readonly { job_id: string; attempt: number; forget_at_ms: number }[],
): Promise<void> => {
  const rows = old.map(({ job_id, attempt, forget_at_ms }) => [job_id, attempt, forget_at_ms]);
  await trx.run(deleteAttempts, { rows: JSON.stringify(rows) });
};

export const earningsDue = (reader: Reader, nowMs: number, limit: number) =>
  reader.all(
    db
      .selectFrom('earning')
      .select(['payment_id', 'forget_at_ms'])
      .where('forget_at_ms', '<=', nowMs)
      .orderBy('forget_at_ms')
      .limit(limit),
  );
export const dropEarnings = async (trx: Trx, old: readonly { payment_id: string }[]): Promise<void> => {
  const ids = old.map(({ payment_id }) => payment_id);
  await trx.run(db.deleteFrom('earning').where('payment_id', 'in', ids));
};

/** Words of which nothing is left. */
export const wordsDue = (reader: Reader, nowMs: number, limit: number) =>
  reader.all(
    db
      .selectFrom('counterparty')
      .select(['account_id', 'client_id', 'at_ms'])
      .where('at_ms', '<=', nowMs - WORDS_FORGOTTEN_MS)
      .limit(limit),
  );
const deleteWords = hot((p: Params<{ rows: string }>) =>
  db.deleteFrom('counterparty').where((eb) =>
    eb(
      eb.refTuple('account_id', 'client_id', 'at_ms'),
      'in',
      eb
        .selectFrom(rowsOf(p('rows'), WORDS).as('old'))
        .select(['old.account_id', 'old.client_id', 'old.at_ms'])
        .$asTuple('account_id', 'client_id', 'at_ms'),
    ),
  ),
);
export const dropWords = async (
  trx: Trx,
  old: readonly { account_id: string; client_id: string; at_ms: number }[],
): Promise<void> => {
  const rows = old.map(({ account_id, client_id, at_ms }) => [account_id, client_id, at_ms]);
  await trx.run(deleteWords, { rows: JSON.stringify(rows) });
};
