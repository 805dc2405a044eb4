import type { Order } from '@aitbc/sdk';

// What a booking costs, by the rules that the API states, so that it is seen before anything is sent.

const MINOR_PER_AITBC = 1e8;
const MINUTES_PER_HOUR = 60;
const MINUTES = BigInt(MINUTES_PER_HOUR);

/** As the API rounds the hours of a booking. */
export const toMinutes = (hours: number): number => Math.round(hours * MINUTES_PER_HOUR);

/** What minutes at a price an hour cost: rounded up to 0.00000001. */
export const costOf = (pricePerHour: number, minutes: number): number => {
  const product = BigInt(Math.round(pricePerHour * MINOR_PER_AITBC)) * BigInt(minutes);
  return Number((product + MINUTES - 1n) / MINUTES) / MINOR_PER_AITBC;
};

export interface Return {
  readonly minutes: number;
  readonly paid: number;
  readonly back: number;
}
/**
 * What becomes of the money when a booking is given back now: by who booked it, each started minute is paid, and nothing
 * before it begins; by the owner of the GPU, whole minutes.
 */
export const returnOf = (order: Order, byOwner: boolean, now: number): Return => {
  const start = Date.parse(order.start_time);
  const end = Date.parse(order.end_time);
  const agreed = toMinutes(order.duration_hours);
  const used = (Math.min(Math.max(now - start, 0), end - start) * agreed) / (end - start);
  const minutes = byOwner ? Math.floor(used) : now < start ? 0 : Math.max(1, Math.ceil(used));
  const paid = costOf(order.price_per_hour, minutes);
  return { minutes, paid, back: Math.round((order.amount - paid) * MINOR_PER_AITBC) / MINOR_PER_AITBC };
};
