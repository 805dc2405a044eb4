import { z } from 'zod';
import { Timestamp } from '../ids.ts';

/**
 * What every service answers to the gateway alone (plain paths, the same in all; see chassis/http).
 * The gateway's admin routes are built from them.
 */
export const DeadLetter = z
  .strictObject({
    id: z.string(),
    service: z.string(),
    name: z.string(),
    stream: z.string(),
    seq: z.number().int().nullable(),
    attempts: z.number().int(),
    error: z.string(),
    retry_at: Timestamp.nullable().meta({ description: 'Null: given up, an operator decides' }),
    created_at: Timestamp,
  })
  .meta({ id: 'DeadLetter' });

export const DependencyHealth = z.strictObject({
  ok: z.boolean(),
  required: z.boolean(),
  message: z.string().nullable(),
});

export const Health = z
  .strictObject({
    status: z.enum(['ok', 'unavailable']),
    service: z.string(),
    dependencies: z.record(z.string(), DependencyHealth),
  })
  .meta({ id: 'Health' });

export const operationsRoutes = {
  health: '/health',
  ready: '/health/ready',
  metrics: '/metrics',
  deadLetters: '/internal/dead-letters',
} as const;
