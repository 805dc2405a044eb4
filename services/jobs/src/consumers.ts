import type { Consumers } from '@aitbc/chassis';
import { attemptsAbandoned, describeAgain, minerChanged } from './commands/miners.ts';
import { paymentEscrowed, paymentRefused, paymentResolved, refundRequested } from './commands/payments.ts';
import { startMatched } from './commands/start.ts';
import type { Work } from './work.ts';

export const createConsumers = (work: Work): Consumers<'jobs'> => ({
  'dispatch.matched': (trx, match) => startMatched(trx, work, match),
  'dispatch.capability_missing': (trx, missing) => describeAgain(trx, work, missing),
  'miners.changed': (trx, miner) => minerChanged(trx, work, miner),
  'miners.attempts_abandoned': (trx, said) => attemptsAbandoned(trx, work, said),
  'payments.escrowed': (trx, payment) => paymentEscrowed(trx, work, payment),
  'payments.refused': (trx, payment) => paymentRefused(trx, work, payment),
  'payments.refund_requested': (trx, wish) => refundRequested(trx, work, wish),
  'payments.resolved': (trx, payment) => paymentResolved(trx, work, payment),
  'gateway.listeners_changed': work.listeners.apply,
  'governance.parameter_changed': (trx, change) => work.parameters.apply(trx, change),
});
