import type { PublicReceipt } from '@aitbc/sdk';

// What was done of late, from the public list of receipts: every completed job has one.

const HOUR_MS = 3_600_000;
/** Bars of a chart at most, and how wide one may be: an hour has one a minute. */
const BINS = 60;
const BIN_SECONDS = [1, 5, 15, 60] as const;
export type BinSeconds = (typeof BIN_SECONDS)[number];

/** What the receipts tell: of the last hour, or of the shorter time that the newest of them fill. */
export interface Recent {
  /** All of the hour is known; of a busy network only the newest seconds or minutes are. */
  readonly isWholeHour: boolean;
  readonly binSeconds: BinSeconds;
  /** Seconds since 1970, one for each bar, oldest first. */
  readonly at: number[];
  /** Jobs completed in that time. */
  readonly done: number[];
  readonly completed: number;
  readonly perMinute: number;
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

/** @param hasMore there are older ones than these */
export const recentOf = (receipts: readonly PublicReceipt[], hasMore: boolean, now: number): Recent => {
  const ends = receipts.map(({ completed_at }) => Date.parse(completed_at));
  const oldest = ends.reduce((least, at) => Math.min(least, at), now);
  const isWholeHour = !hasMore || oldest < now - HOUR_MS;
  const since = isWholeHour ? now - HOUR_MS : oldest;
  const binSeconds = BIN_SECONDS.find((seconds) => now - since < (BINS - 1) * seconds * 1_000) ?? 60;
  const binMs = binSeconds * 1_000;
  const end = Math.ceil(now / binMs) * binMs;
  const begin = isWholeHour ? end - HOUR_MS : Math.floor(oldest / binMs) * binMs;
  const done = new Array<number>(Math.max(1, Math.round((end - begin) / binMs))).fill(0);
  const recent = receipts.filter((_, index) => (ends[index] as number) >= begin);
  for (const { completed_at } of recent) {
    const bin = Math.min(done.length - 1, Math.floor((Date.parse(completed_at) - begin) / binMs));
    done[bin] = (done[bin] as number) + 1;
  }
  const took = recent
    .map((receipt) => Date.parse(receipt.completed_at) - Date.parse(receipt.started_at))
    .sort((a, b) => a - b);
  return {
    isWholeHour,
    binSeconds,
    at: done.map((_, bin) => (begin + bin * binMs) / 1_000),
    done,
    completed: recent.length,
    perMinute: (recent.length / Math.max(1_000, now - since)) * 60_000,
    medianMs: quantile(took, 0.5),
    slowMs: quantile(took, 0.95),
    paid: recent.reduce((sum, { price }) => sum + Math.round(price * 1e8), 0) / 1e8,
  };
};
