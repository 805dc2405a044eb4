import type { Consumers, Parameters } from '@aitbc/chassis';

export const createConsumers = (parameters: Parameters<'gateway'>): Consumers<'gateway'> => ({
  'governance.parameter_changed': parameters.apply,
});
