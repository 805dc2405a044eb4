import { builder, hot, listOf, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { type ExpressionBuilder, sql } from 'kysely';
import type { EndedStatus, Tables } from '../tables.ts';

const db = builder<Tables>();

const submitted = hot((p: Params<{ id: string; account_id: string }>) =>
  db
    .insertInto('job')
    .values({ id: p('id'), owner_account_id: p('account_id') })
    .onConflict((conflict) =>
      conflict.column('id').doUpdateSet((eb) => ({
        owner_account_id: eb.fn.coalesce('job.owner_account_id', eb.val(p('account_id'))),
      })),
    )
    .returning((eb) => [
      'ended_status',
      eb.selectFrom('payment').select('payment.id').where('payment.job_id', '=', p('id')).as('payment_id'),
    ]),
);
/** The first owner stands. @returns what is known of the job already: messages come in any order. */
export const noteJobOwner = async (trx: Trx, jobId: string, accountId: string) => {
  const row = await trx.get(submitted, { id: jobId, account_id: accountId });
  if (row === undefined) throw new Error(`job ${jobId} was not kept`);
  return row;
};

const started = hot(
  (
    p: Params<{
      id: string;
      attempt: number;
      miner_id: string;
      miner_account_id: string;
      deadline_at_ms: number;
    }>,
  ) => {
    const facts = {
      started_attempt: p('attempt'),
      miner_id: p('miner_id'),
      miner_account_id: p('miner_account_id'),
      deadline_at_ms: p('deadline_at_ms'),
    };
    return db
      .insertInto('job')
      .values({ id: p('id'), ...facts })
      .onConflict((conflict) =>
        conflict
          .column('id')
          .doUpdateSet(facts)
          .where('job.started_attempt', '<', p('attempt'))
          .where('job.requeued_attempt', '<', p('attempt'))
          .where('job.ended_status', 'is', null),
      );
  },
);
export const noteJobStarted = async (
  trx: Trx,
  facts: Parameters<(typeof started)['bind']>[0],
): Promise<void> => {
  await trx.run(started, facts);
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

const ended = hot(
  (
    p: Params<{
      id: string;
      account_id: string;
      status: EndedStatus;
      miner_id: string | null;
      miner_account_id: string | null;
      started: number;
      ended_at_ms: number;
      payment_id: string | null;
    }>,
  ) =>
    db
      .insertInto('job')
      .values({
        id: p('id'),
        owner_account_id: p('account_id'),
        started_attempt: p('started'),
        miner_id: p('miner_id'),
        miner_account_id: p('miner_account_id'),
        ended_status: p('status'),
        ended_at_ms: p('ended_at_ms'),
        ended_payment_id: p('payment_id'),
      })
      .onConflict((conflict) =>
        conflict
          .column('id')
          .doUpdateSet((eb) => ({
            owner_account_id: p('account_id'),
            started_attempt: eb
              .case()
              .when('job.started_attempt', '>', 0)
              .then(eb.ref('job.started_attempt'))
              .else(p('started'))
              .end(),
            miner_id: eb.fn.coalesce(eb.val(p('miner_id')), 'job.miner_id'),
            miner_account_id: eb.fn.coalesce(eb.val(p('miner_account_id')), 'job.miner_account_id'),
            ended_status: p('status'),
            ended_at_ms: p('ended_at_ms'),
            ended_payment_id: p('payment_id'),
          }))
          .where('job.ended_status', 'is', null),
      )
      .returning((eb) =>
        eb.selectFrom('payment').select('payment.id').where('payment.job_id', '=', p('id')).as('payment_id'),
      ),
);
/** The first end that is heard stands. @returns whether the job may have a payment. */
export const noteJobEnded = async (
  trx: Trx,
  facts: Parameters<(typeof ended)['bind']>[0],
): Promise<boolean> => (await trx.get(ended, facts))?.payment_id !== null;

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
