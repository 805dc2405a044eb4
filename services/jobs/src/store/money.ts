import {
  builder,
  hot,
  type Params,
  type Reader,
  rowsJson,
  rowsOf,
  type Trx,
  unindexed,
} from '@aitbc/chassis';
import { sql } from 'kysely';
import type { JobRow, Tables } from '../tables.ts';
import { WAITING_COLUMNS } from './backlog.ts';

const db = builder<Tables>();

const doubt = hot((p: Params<{ id: string }>) =>
  db
    .updateTable('job')
    .set({ is_funded: 0, payment_status: 'pending' })
    .where('id', '=', p('id'))
    .where('status', '=', 'pending')
    .where('is_funded', '=', 1)
    .where('payment_status', '=', 'escrowed'),
);
/** A waiting job whose money is not sure: it waits for `payments.escrowed` again. @returns whether it was one. */
export const doubtMoney = async (trx: Trx, jobId: string): Promise<boolean> =>
  (await trx.run(doubt, { id: jobId })) > 0;

const sureStream = hot(() => db.selectFrom('sure_of_money').select('stream').where('id', '=', 1));
/** The identity of the file when it was last sure of its jobs' money; undefined before the first time. */
export const streamOfSure = async (reader: Reader): Promise<string | undefined> =>
  (await reader.get(sureStream, {}))?.stream;

const saveSure = hot((p: Params<{ stream: string }>) =>
  db
    .insertInto('sure_of_money')
    .values({ id: 1, stream: p('stream') })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ stream: p('stream') })),
);
export const setStreamOfSure = async (trx: Trx, stream: string): Promise<void> => {
  await trx.run(saveSure, { stream });
};

// What payments says by the hundred is kept by one statement, however many jobs. No job is in it twice: which of two rows counts
// is not said.

/** What finds the jobs is their ids, and not what else is asked of them. */
const isFunded = unindexed<number>('job.is_funded');
const status = unindexed<string>('job.status');

const HELD = { job_id: 'text', payment_id: 'text', amount_minor: 'integer' } as const;
const fund = hot((p: Params<{ rows: string; now_ms: number }>) =>
  db
    .updateTable('job')
    .from(rowsOf(p('rows'), HELD).as('held'))
    .set((eb) => ({
      is_funded: 1,
      payment_id: eb.ref('held.payment_id'),
      payment_status: 'escrowed',
      payment_amount_minor: eb.ref('held.amount_minor'),
      queued_at_ms: p('now_ms'),
      updated_at_ms: p('now_ms'),
      events: sql<number>`job.events + 1`,
    }))
    .whereRef('job.id', '=', 'held.job_id')
    .where(status, '=', 'pending')
    .where(isFunded, '=', 0)
    .returning([...WAITING_COLUMNS, 'job.status', 'job.events', 'job.progress']),
);
/** Money of waiting jobs is there: they may run from now on. @returns those that waited for it */
export const fundJobs = (
  trx: Trx,
  held: readonly { job_id: string; payment_id: string; amount_minor: number }[],
  nowMs: number,
) => trx.all(fund, { rows: rowsJson(HELD, held), now_ms: nowMs });

interface PaymentChange {
  readonly id: string;
  readonly payment_id: string | null;
  readonly payment_status: JobRow['payment_status'];
  /** Stays as it is when it is not said. */
  readonly payment_amount_minor?: number;
  readonly now_ms: number;
}
const changePayment = hot(
  (p: Params<Omit<PaymentChange, 'payment_amount_minor'> & { payment_amount_minor: number | null }>) =>
    db
      .updateTable('job')
      .set({
        payment_id: p('payment_id'),
        payment_status: p('payment_status'),
        payment_amount_minor: sql<number>`coalesce(${p('payment_amount_minor')}, payment_amount_minor)`,
        updated_at_ms: p('now_ms'),
      })
      .where('id', '=', p('id')),
);
export const setPayment = async (trx: Trx, change: PaymentChange): Promise<void> => {
  await trx.run(changePayment, { payment_amount_minor: null, ...change });
};

const OVER = { job_id: 'text', payment_id: 'text', kind: 'text' } as const;
const resolve = hot((p: Params<{ rows: string; now_ms: number }>) =>
  db
    .updateTable('job')
    .from(rowsOf(p('rows'), OVER).as('over'))
    .set((eb) => ({
      payment_id: eb.ref('over.payment_id'),
      payment_status: sql<JobRow['payment_status']>`over.kind`,
      updated_at_ms: p('now_ms'),
    }))
    .whereRef('job.id', '=', 'over.job_id')
    .returning(['job.id', 'job.status']),
);
/** Payments of jobs are over. @returns how those jobs stand */
export const setResolved = (
  trx: Trx,
  over: readonly { job_id: string; payment_id: string; kind: 'released' | 'refunded' }[],
  nowMs: number,
) => trx.all(resolve, { rows: rowsJson(OVER, over), now_ms: nowMs });
