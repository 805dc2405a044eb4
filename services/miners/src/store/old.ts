import { builder, deleteMany, hot, type Params, type Reader } from '@aitbc/chassis';
import { WORDS_FORGOTTEN_MS } from '../domain.ts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

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
/** One whose end was heard meanwhile is kept for longer. */
export const dropAttempts = deleteMany<{ job_id: string; attempt: number; forget_at_ms: number }>('attempt', {
  job_id: 'text',
  attempt: 'integer',
  forget_at_ms: 'integer',
});

export const earningsDue = (reader: Reader, nowMs: number, limit: number) =>
  reader.all(
    db
      .selectFrom('earning')
      .select(['payment_id', 'forget_at_ms'])
      .where('forget_at_ms', '<=', nowMs)
      .orderBy('forget_at_ms')
      .limit(limit),
  );
export const dropEarnings = deleteMany<{ payment_id: string }>('earning', { payment_id: 'text' });

/** Words of which nothing is left. */
export const wordsDue = (reader: Reader, nowMs: number, limit: number) =>
  reader.all(
    db
      .selectFrom('counterparty')
      .select(['account_id', 'client_id', 'at_ms'])
      .where('at_ms', '<=', nowMs - WORDS_FORGOTTEN_MS)
      .orderBy('at_ms')
      .limit(limit),
  );
/** Words that were said again meanwhile stay. */
export const dropWords = deleteMany<{ account_id: string; client_id: string; at_ms: number }>(
  'counterparty',
  {
    account_id: 'text',
    client_id: 'text',
    at_ms: 'integer',
  },
);
