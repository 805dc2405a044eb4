import type { Consumers } from '@aitbc/chassis';

export const createConsumers = (): Consumers<'miners'> => ({});
