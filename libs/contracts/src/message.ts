import type { z } from 'zod';
import type { Destination } from './names.ts';

/** One kind of message: who says it, who hears it, and what it holds. Named `<owner>.<past_tense>`. */
export interface Message<
  F extends Destination = Destination,
  T extends readonly Destination[] = readonly Destination[],
  S extends z.ZodType = z.ZodType,
> {
  /** Raised by a change that an older receiver could not read; receivers take this and the one before. */
  readonly version: number;
  readonly from: F;
  readonly to: T;
  /** Tries before a failing message becomes a dead letter. */
  readonly attempts: number;
  readonly schema: S;
  /** Nobody waits for this one: it may linger in the outbox for company. Without, every one leaves at once. */
  lingers?(payload: z.output<S>): boolean;
}

export const defineMessage = <
  const F extends Destination,
  const T extends readonly Destination[],
  S extends z.ZodType,
>(
  message: Message<F, T, S>,
): Message<F, T, S> => message;
