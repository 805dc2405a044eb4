import { z } from 'zod';
import type { Batch } from '../mailbox.ts';
import type { Trx } from '../store/index.ts';

export const BatchSchema: z.ZodType<Batch> = z.strictObject({
  stream: z.string().min(1).max(100),
  floor: z.number().int().nonnegative().optional(),
  messages: z
    .array(
      z.strictObject({
        seq: z.number().int().positive().nullable(),
        name: z.string().max(100),
        version: z.number().int(),
        payload: z.unknown(),
      }),
    )
    .max(1_000),
});

export type Incoming = Batch['messages'][number];

/** What is behind the messages that a sender still has can never be heard: this file was put back from an older copy. */
export interface Missed {
  readonly stream: string;
  readonly from: number;
  readonly to: number;
}

/** Calls `each` for every message that was not heard before, and notes in the same transaction that it was. */
export type ReceiveEach = (
  trx: Trx,
  batch: Batch,
  each: (message: Incoming) => Promise<void>,
  tell: { duplicate: (message: Incoming) => void; missed: (missed: Missed) => void },
) => Promise<void>;
