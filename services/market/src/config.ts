import { KeepDays, serviceConfig } from '@aitbc/chassis';
import { z } from 'zod';

const Seconds = z.coerce.number().positive().max(86_400);

export const configShape = {
  ...serviceConfig,
  /** An order that payments has not answered for so long cancels itself; a restart of payments fits in. */
  BOOKING_HOLD_SECONDS: Seconds.default(30),
  /** A running booking ends when its miner was away for so long. Real seconds, whatever BUSINESS_TIME_SCALE says. */
  BOOKING_ABSENCE_SECONDS: Seconds.default(300),
  /** What a GPU cost when. Bookings and reviews are kept for ever. */
  KEEP_PRICES_DAYS: KeepDays.default(30),
};
export type Config = z.output<z.ZodObject<typeof configShape>>;
