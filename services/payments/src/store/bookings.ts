import { builder, hot, type Params, type Trx } from '@aitbc/chassis';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

const bookingOwner = hot((p: Params<{ order_id: string; owner_account_id: string }>) =>
  db
    .insertInto('booking')
    .values({ order_id: p('order_id'), owner_account_id: p('owner_account_id') })
    .onConflict((conflict) =>
      conflict.column('order_id').doUpdateSet({ owner_account_id: p('owner_account_id') }),
    ),
);
export const noteBookingOwner = async (trx: Trx, orderId: string, ownerAccountId: string): Promise<void> => {
  await trx.run(bookingOwner, { order_id: orderId, owner_account_id: ownerAccountId });
};

const bookingEnd = hot((p: Params<{ order_id: string; pay_minor: number; reason: string }>) =>
  db
    .insertInto('booking')
    .values({ order_id: p('order_id'), end_pay_minor: p('pay_minor'), end_reason: p('reason') })
    .onConflict((conflict) =>
      conflict
        .column('order_id')
        .doUpdateSet({ end_pay_minor: p('pay_minor'), end_reason: p('reason') })
        .where('booking.end_pay_minor', 'is', null),
    ),
);
/** The first end that is heard stands. */
export const noteBookingEnd = async (
  trx: Trx,
  orderId: string,
  payMinor: number,
  reason: string,
): Promise<void> => {
  await trx.run(bookingEnd, { order_id: orderId, pay_minor: payMinor, reason });
};
