import type { Consumers, Listeners } from '@aitbc/chassis';
import { minerChanged } from './commands/offer.ts';
import { calledOff, held, type Moment, refused, settled } from './commands/saga.ts';
import type { Holds } from './holds.ts';

export const createConsumers = (
  holds: Holds,
  listeners: Listeners,
  clock: () => Moment,
): Consumers<'market'> => ({
  'gateway.listeners_changed': listeners.apply,
  'miners.changed': (trx, message) => minerChanged(trx, message, clock()),
  'payments.booking_held': async (trx, message) => {
    await held(trx, message, clock());
    holds.answered(trx, message.order_id);
  },
  'payments.booking_refused': async (trx, message) => {
    await refused(trx, message, clock());
    holds.answered(trx, message.order_id);
  },
  'payments.booking_refund_requested': async (trx, message) => {
    await calledOff(trx, message, clock());
    holds.answered(trx, message.order_id);
  },
  'payments.booking_settled': (trx, message) => settled(trx, message, clock()),
});
