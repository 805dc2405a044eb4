import { z } from 'zod';
import { Id } from '../ids.ts';
import { defineMessage } from '../message.ts';
import { Minor } from '../money.ts';

export const marketMessages = {
  /** Hold this amount for a booking. Answered by payments.booking_held or payments.booking_refused. */
  'market.booking_requested': defineMessage({
    version: 1,
    from: 'market',
    to: ['payments'],
    attempts: 10,
    schema: z.strictObject({
      order_id: Id,
      gpu_id: Id,
      booker_account_id: Id,
      owner_account_id: Id,
      credential_id: Id.nullable(),
      spend_cap_minor: Minor.nullable(),
      amount_minor: Minor.min(1),
    }),
  }),
  /**
   * A booking is over: pay the owner `pay_minor` (fee taken off it), give the rest back. The same amount for one order
   * each time it is said: again by the reconciler while payments.booking_settled has not come, and with 0 for a hold
   * that came after the order was cancelled.
   */
  'market.booking_ended': defineMessage({
    version: 1,
    from: 'market',
    to: ['payments'],
    attempts: 10,
    schema: z.strictObject({ order_id: Id, pay_minor: Minor, reason: z.string().max(200) }),
  }),
} as const;
