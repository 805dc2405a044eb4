import type { PublicReceipt } from '@aitbc/sdk';

// The last hour, from the public list of receipts: every completed job has one.

export const HOUR_MS = 3_600_000;
export const BIN_MS = 60_000;

export interface Hour {
  /** Seconds since 1970, one for each minute, oldest first. */
  readonly at: number[];
  /** Jobs completed in that minute. */
  readonly done: number[];
  readonly completed: number;
  /** From start to end, of all of them; null without any. */
  readonly medianMs: number | null;
  readonly slowMs: number | null;
  /** What was paid for them. */
  readonly paid: number;
}

const quantile = (sorted: readonly number[], share: number): number | null =>
  sorted.length === 0
    ? null
    : (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number);

export const hourOf = (receipts: readonly PublicReceipt[], now: number): Hour => {
  const end = Math.ceil(now / BIN_MS) * BIN_MS;
  const begin = end - HOUR_MS;
  const bins = HOUR_MS / BIN_MS;
  const done = new Array<number>(bins).fill(0);
  const recent = receipts.filter((receipt) => Date.parse(receipt.completed_at) >= begin);
  for (const receipt of recent) {
    const bin = Math.min(bins - 1, Math.floor((Date.parse(receipt.completed_at) - begin) / BIN_MS));
    done[bin] = (done[bin] as number) + 1;
  }
  const took = recent
    .map((receipt) => Date.parse(receipt.completed_at) - Date.parse(receipt.started_at))
    .sort((a, b) => a - b);
  return {
    at: done.map((_, bin) => (begin + bin * BIN_MS) / 1_000),
    done,
    completed: recent.length,
    medianMs: quantile(took, 0.5),
    slowMs: quantile(took, 0.95),
    paid: recent.reduce((sum, { price }) => sum + Math.round(price * 1e8), 0) / 1e8,
  };
};
