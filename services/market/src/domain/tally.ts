import { MINOR_PER_AITBC } from '@aitbc/contracts';

/** What one offer adds to the counters of its model. */
export interface Tally {
  readonly total: number;
  readonly available: number;
  /** Rented by somebody else than its owner: an owner cannot raise its own price by booking itself. */
  readonly rented: number;
  readonly price_sum_whole: number;
  readonly price_sum_minor: number;
}

interface Counted {
  readonly price_minor: number;
  readonly is_offered: number;
  readonly absent_since_ms: number | null;
  readonly booked_order_id: string | null;
  readonly is_available: number;
  readonly is_rented: number;
  readonly withdrawn_at_ms: number | null;
}

const NOTHING: Tally = { total: 0, available: 0, rented: 0, price_sum_whole: 0, price_sum_minor: 0 };

/** The rule that the CHECK on gpu.is_available states. */
export const isAvailable = (gpu: Omit<Counted, 'is_available' | 'is_rented' | 'price_minor'>): boolean =>
  gpu.is_offered === 1 &&
  gpu.absent_since_ms === null &&
  gpu.booked_order_id === null &&
  gpu.withdrawn_at_ms === null;

export const tallyOf = (gpu: Counted | null): Tally => {
  if (gpu === null || gpu.withdrawn_at_ms !== null) return NOTHING;
  return {
    total: 1,
    available: gpu.is_available,
    rented: gpu.is_rented,
    price_sum_whole: Math.floor(gpu.price_minor / MINOR_PER_AITBC),
    price_sum_minor: gpu.price_minor % MINOR_PER_AITBC,
  };
};

export const tallyDifference = (before: Tally, after: Tally): Tally | null => {
  const difference: Tally = {
    total: after.total - before.total,
    available: after.available - before.available,
    rented: after.rented - before.rented,
    price_sum_whole: after.price_sum_whole - before.price_sum_whole,
    price_sum_minor: after.price_sum_minor - before.price_sum_minor,
  };
  return Object.values(difference).some((value) => value !== 0) ? difference : null;
};

/** Integrals over time of the GPUs rented and offered, at `at_ms`, and the counters in force around it. */
export interface Accrued {
  readonly rented: number;
  readonly available: number;
  readonly rented_gpu_ms: number;
  readonly offered_gpu_ms: number;
}

/** The integrals `ms` later (or earlier, when negative) with the counters unchanged. */
export const accrue = ({ rented, available, rented_gpu_ms, offered_gpu_ms }: Accrued, ms: number) => ({
  rented_gpu_ms: rented_gpu_ms + rented * ms,
  offered_gpu_ms: offered_gpu_ms + (rented + available) * ms,
});

/** An hour of business time on the clock. */
export const hourMs = (scale: number): number => Math.max(1, Math.round(3_600_000 / scale));
export const startOfHour = (ms: number, hour: number): number => Math.floor(ms / hour) * hour;

/** Full hours that utilisation looks back; its window begins with the full hour. */
export const UTILIZATION_HOURS = 24;
