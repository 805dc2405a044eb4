import { KeepDays, serviceConfig } from '@aitbc/chassis';
import type { z } from 'zod';

export const configShape = {
  ...serviceConfig,
  /** How attempts ended, for agents that were away, and which payments count as earned. What is reported goes in 15 minutes. */
  KEEP_ATTEMPTS_DAYS: KeepDays.default(1),
};
export type Config = z.output<z.ZodObject<typeof configShape>>;
