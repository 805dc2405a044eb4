import {
  builder,
  hot,
  insertRows,
  listOf,
  type Params,
  type Reader,
  rowsJson,
  type Trx,
} from '@aitbc/chassis';
import { type ExpressionBuilder, sql } from 'kysely';
import type { EndedStatus, Tables } from '../tables.ts';

const db = builder<Tables>();

// What jobs says by the hundred is kept by one statement, however many jobs. A statement may not touch a row twice on
// PostgreSQL, so no job is in it twice.

const OWNED = { id: 'text', owner_account_id: 'text' } as const;
const submitted = hot((p: Params<{ rows: string }>) =>
  insertRows(db.insertInto('job'), OWNED, p('rows'))
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((eb) => ({
        owner_account_id: eb.fn.coalesce('job.owner_account_id', 'excluded.owner_account_id'),
      })),
    )
    .returning((eb) => [
      'job.id',
      'job.ended_status',
      eb
        .selectFrom('payment')
        .select('payment.id')
        .whereRef('payment.job_id', '=', 'job.id')
        .as('payment_id'),
    ]),
);
/** The first owner stands. @returns what is known of the jobs already: messages come in any order. */
export const noteJobOwners = (trx: Trx, jobs: readonly { id: string; owner_account_id: string }[]) =>
  trx.all(submitted, { rows: rowsJson(OWNED, jobs) });

const STARTED = {
  id: 'text',
  started_attempt: 'integer',
  miner_id: 'text',
  miner_account_id: 'text',
  deadline_at_ms: 'integer',
} as const;
const started = hot((p: Params<{ rows: string }>) =>
  insertRows(db.insertInto('job'), STARTED, p('rows')).onConflict((conflict) =>
    conflict
      .column('id')
      .doUpdateSet((eb) => ({
        started_attempt: eb.ref('excluded.started_attempt'),
        miner_id: eb.ref('excluded.miner_id'),
        miner_account_id: eb.ref('excluded.miner_account_id'),
        deadline_at_ms: eb.ref('excluded.deadline_at_ms'),
      }))
      .whereRef('job.started_attempt', '<', 'excluded.started_attempt')
      .whereRef('job.requeued_attempt', '<', 'excluded.started_attempt')
      .where('job.ended_status', 'is', null),
  ),
);
interface StartRow {
  id: string;
  started_attempt: number;
  miner_id: string;
  miner_account_id: string;
  deadline_at_ms: number;
}
export const noteJobStarts = async (trx: Trx, starts: readonly StartRow[]): Promise<void> => {
  await trx.run(started, { rows: rowsJson(STARTED, starts) });
};

const requeued = hot((p: Params<{ id: string; attempt: number }>) =>
  db
    .insertInto('job')
    .values({ id: p('id'), requeued_attempt: p('attempt') })
    .onConflict((conflict) =>
      conflict
        .column('id')
        .doUpdateSet({ requeued_attempt: p('attempt') })
        .where('job.requeued_attempt', '<', p('attempt')),
    ),
);
const unassign = hot((p: Params<{ id: string; attempt: number }>) =>
  db
    .updateTable('job')
    .set({ miner_id: null, miner_account_id: null })
    .where('id', '=', p('id'))
    .where('started_attempt', '<=', p('attempt'))
    .where('ended_status', 'is', null),
);
/** Nobody holds it any more: who did is no party to its payment. */
export const noteJobRequeued = async (trx: Trx, id: string, attempt: number): Promise<void> => {
  await trx.run(requeued, { id, attempt });
  await trx.run(unassign, { id, attempt });
};

const ENDED = {
  id: 'text',
  owner_account_id: 'text',
  started_attempt: 'integer',
  miner_id: 'text',
  miner_account_id: 'text',
  ended_status: 'text',
  ended_at_ms: 'integer',
  ended_payment_id: 'text',
} as const;
const ended = hot((p: Params<{ rows: string }>) =>
  insertRows(db.insertInto('job'), ENDED, p('rows')).onConflict((conflict) =>
    conflict
      .column('id')
      .doUpdateSet((eb) => ({
        owner_account_id: eb.ref('excluded.owner_account_id'),
        started_attempt: eb
          .case()
          .when('job.started_attempt', '>', 0)
          .then(eb.ref('job.started_attempt'))
          .else(eb.ref('excluded.started_attempt'))
          .end(),
        miner_id: eb.fn.coalesce('excluded.miner_id', 'job.miner_id'),
        miner_account_id: eb.fn.coalesce('excluded.miner_account_id', 'job.miner_account_id'),
        ended_status: eb.ref('excluded.ended_status'),
        ended_at_ms: eb.ref('excluded.ended_at_ms'),
        ended_payment_id: eb.ref('excluded.ended_payment_id'),
      }))
      .where('job.ended_status', 'is', null),
  ),
);
interface EndRow {
  id: string;
  owner_account_id: string;
  started_attempt: number;
  miner_id: string | null;
  miner_account_id: string | null;
  ended_status: EndedStatus;
  ended_at_ms: number;
  ended_payment_id: string | null;
}
/** The first end that is heard stands. */
export const noteJobEnds = async (trx: Trx, ends: readonly EndRow[]): Promise<void> => {
  await trx.run(ended, { rows: rowsJson(ENDED, ends) });
};

const job = hot((p: Params<{ id: string }>) => db.selectFrom('job').selectAll().where('id', '=', p('id')));
export const findJob = (reader: Reader, id: string) => reader.get(job, { id });

// Of the form of the index: see migrations.
const unpaid = hot((p: Params<{ before_ms: number; limit: number }>) =>
  db
    .selectFrom('job')
    .select(['id', 'ended_at_ms'])
    .where('ended_payment_id', 'is', null)
    .where('is_kept', '=', sql.lit<0 | 1>(0))
    .where('ended_at_ms', '<=', p('before_ms'))
    .orderBy('ended_at_ms')
    .limit(p('limit')),
);
/** Jobs that ended before then and did not take a payment; they may have one that came back. */
export const unpaidJobsDue = (reader: Reader, beforeMs: number, limit: number) =>
  reader.all(unpaid, { before_ms: beforeMs, limit });

const hasPayment = (eb: ExpressionBuilder<Tables, 'job'>) =>
  eb.exists(eb.selectFrom('payment').select('payment.id').whereRef('payment.job_id', '=', 'job.id'));
const keep = hot((p: Params<{ ids: string }>) =>
  db
    .updateTable('job')
    .set({ is_kept: sql.lit<0 | 1>(1) })
    .where('id', 'in', listOf(p('ids')))
    .where(hasPayment),
);
const drop = hot((p: Params<{ ids: string }>) =>
  db
    .deleteFrom('job')
    .where('id', 'in', listOf(p('ids')))
    .where((eb) => eb.not(hasPayment(eb))),
);
/** Those that have a payment stay with it for ever. */
export const dropUnpaidJobs = async (trx: Trx, jobs: readonly { id: string }[]): Promise<void> => {
  const ids = JSON.stringify(jobs.map(({ id }) => id));
  await trx.run(keep, { ids });
  await trx.run(drop, { ids });
};
