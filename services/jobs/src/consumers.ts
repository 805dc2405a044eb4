import type { Consumers, Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { attemptsAbandoned, describeAgain, minerChanged } from './commands/miners.ts';
import { paymentRefused, paymentsEscrowed, paymentsResolved, refundRequested } from './commands/payments.ts';
import { startMatched } from './commands/start.ts';
import type { Work } from './work.ts';

/** What others tell. What payments says of each job is gathered, and done for all of a batch by a handful of statements. */
export const createConsumers = (work: Work): Consumers<'jobs'> => {
  const escrowed = (trx: Trx, said: readonly Payload<'payments.escrowed'>[]) =>
    paymentsEscrowed(trx, work, said);
  const resolved = (trx: Trx, said: readonly Payload<'payments.resolved'>[]) =>
    paymentsResolved(trx, work, said);
  return {
    'dispatch.matched': (trx, match) => startMatched(trx, work, match),
    'dispatch.capability_missing': (trx, missing) => describeAgain(trx, work, missing),
    'miners.changed': (trx, miner) => minerChanged(trx, work, miner),
    'miners.attempts_abandoned': (trx, said) => attemptsAbandoned(trx, work, said),
    'payments.escrowed': (trx, payment) => trx.gather(escrowed, payment),
    'payments.refused': (trx, payment) => paymentRefused(trx, work, payment),
    'payments.refund_requested': (trx, wish) => refundRequested(trx, work, wish),
    'payments.resolved': (trx, payment) => trx.gather(resolved, payment),
    'gateway.listeners_changed': work.listeners.apply,
    'governance.parameter_changed': (trx, change) => work.parameters.apply(trx, change),
  };
};
