import type { Consumers, Parameters } from '@aitbc/chassis';
import { writeAct } from './audit.ts';
import { announced, called } from './webhooks/commands.ts';

/** @param now by which deliveries are due */
export const createConsumers = (
  parameters: Parameters<'gateway'>,
  now: () => number,
): Consumers<'gateway'> => ({
  'governance.parameter_changed': parameters.apply,
  'jobs.announced': (trx, said) => announced(trx, said, now()),
  'payments.announced': (trx, said) => announced(trx, said, now()),
  'market.announced': (trx, said) => announced(trx, said, now()),
  'miners.announced': (trx, said) => announced(trx, said, now()),
  'governance.announced': (trx, said) => announced(trx, said, now()),
  'jobs.audited': (trx, act) => writeAct(trx, 'jobs', act),
  'miners.audited': (trx, act) => writeAct(trx, 'miners', act),
  'market.audited': (trx, act) => writeAct(trx, 'market', act),
  'payments.audited': (trx, act) => writeAct(trx, 'payments', act),
  'governance.audited': (trx, act) => writeAct(trx, 'governance', act),
  'webhooks.called': (trx, report) => called(trx, report, now(), Math.random()),
});
