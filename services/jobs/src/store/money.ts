import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { JobRow, Tables } from '../tables.ts';

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

const fund = hot(
  (p: Params<{ id: string; payment_id: string; payment_amount_minor: number; now_ms: number }>) =>
    db
      .updateTable('job')
      .set({
        is_funded: 1,
        payment_id: p('payment_id'),
        payment_status: 'escrowed',
        payment_amount_minor: p('payment_amount_minor'),
        queued_at_ms: p('now_ms'),
        updated_at_ms: p('now_ms'),
        events: sql<number>`events + 1`,
      })
      .where('id', '=', p('id'))
      .where('status', '=', 'pending')
      .where('is_funded', '=', 0)
      .returningAll(),
);
/** A waiting job's money is there: it may run from now on. @returns undefined when it does not wait for any. */
export const fundJob = (
  trx: Trx,
  values: { id: string; payment_id: string; payment_amount_minor: number; now_ms: number },
): Promise<JobRow | undefined> => trx.get(fund, values);

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
      .where('id', '=', p('id'))
      .returningAll(),
);
/** @returns the job as it stands now; undefined when there is none. */
export const setPayment = (trx: Trx, change: PaymentChange): Promise<JobRow | undefined> =>
  trx.get(changePayment, { payment_amount_minor: null, ...change });
