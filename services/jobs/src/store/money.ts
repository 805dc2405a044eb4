import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { Tables } from '../tables.ts';

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
