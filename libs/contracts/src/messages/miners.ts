import { z } from 'zod';
import { Id } from '../ids.ts';
import { defineMessage } from '../message.ts';
import { Minor } from '../money.ts';

export const minersMessages = {
  /** The whole of what others need to know of a miner: on registration, on change, on return from absence. */
  'miners.changed': defineMessage({
    version: 1,
    from: 'miners',
    to: ['jobs', 'market'],
    attempts: 10,
    schema: z.strictObject({
      miner_id: Id,
      account_id: Id,
      /** Rises by one with each change of this miner; an older one is ignored. */
      revision: z.number().int().min(1),
      status: z.enum(['active', 'inactive']),
      capabilities: z.array(z.string()),
      gpus: z.array(z.strictObject({ model: z.string(), vram_gb: z.number(), count: z.number().int() })),
      cuda_version: z.string().nullable(),
      models: z.array(z.string()),
      region: z.string().nullable(),
      price_per_job_minor: Minor,
      concurrency: z.number().int().min(1).max(64),
      /** 0–1. */
      reputation: z.number().min(0).max(1),
      /** Of one that registered through the routes of the original coordinator: how it is named there, and by which key. */
      alias: z
        .strictObject({
          name: z.string().max(100),
          key_id: Id.nullable(),
          registered_at_ms: z.number().int().nonnegative(),
        })
        .optional(),
    }),
  }),
  /**
   * Three statements of a miner in a row did not name these attempts, which it was given. Jobs decides, by
   * compare-and-set on job and attempt; said again while they count as running.
   */
  'miners.attempts_abandoned': defineMessage({
    version: 1,
    from: 'miners',
    to: ['jobs'],
    attempts: 3,
    schema: z.strictObject({
      miner_id: Id,
      attempts: z
        .array(z.strictObject({ job_id: Id, attempt: z.number().int().min(1) }))
        .min(1)
        .max(64),
    }),
  }),
} as const;
