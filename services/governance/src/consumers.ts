import type { Consumers } from '@aitbc/chassis';
import { settle } from './commands/executing.ts';
import { notePart } from './store/blocks.ts';

export const createConsumers = (now: () => number): Consumers<'governance'> => ({
  'payments.block_sealed': notePart,
  'payments.allocation_settled': (trx, answer) => settle(trx, answer, now()),
});
