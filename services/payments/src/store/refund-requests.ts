import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { RefundRequest, Tables } from '../tables.ts';

const db = builder<Tables>();

const byAsker = hot((p: Params<{ payment_id: string; account_id: string }>) =>
  db
    .selectFrom('refund_request')
    .selectAll()
    .where('payment_id', '=', p('payment_id'))
    .where('account_id', '=', p('account_id')),
);
export const findRefundRequest = (
  reader: Reader,
  paymentId: string,
  accountId: string,
): Promise<RefundRequest | undefined> =>
  reader.get(byAsker, { payment_id: paymentId, account_id: accountId });

/** A new wish, or the same one asked again. */
export const saveRefundRequest = async (trx: Trx, row: RefundRequest): Promise<void> => {
  await trx.run(
    db
      .insertInto('refund_request')
      .values(row)
      .onConflict((conflict) => conflict.columns(['payment_id', 'account_id']).doUpdateSet(row)),
  );
};

/** The first answer to a wish stands; one that was made anew since keeps waiting. */
export const refuseRequest = async (
  trx: Trx,
  id: string,
  code: NonNullable<RefundRequest['refused_code']>,
): Promise<void> => {
  await trx.run(
    db
      .updateTable('refund_request')
      .set({ refused_code: code })
      .where('id', '=', id)
      .where('refused_code', 'is', null),
  );
};
