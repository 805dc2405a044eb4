import type { PublicReceipt, Reply } from '@aitbc/sdk';
import { useQuery } from '@tanstack/react-query';
import { api } from '../../session.ts';

// The last hour, from the public list of receipts: every completed job has one.

/** How often what is new is asked for: with blocks and miners 28 requests a minute, of the 60 that a signed-out address has. */
export const LIVE_MS = 5_000;
/** As many as are counted, and as are asked for to find what is new: 10 a second until it takes the whole page again. */
const RECEIPTS = 500;
const NEW = 50;

type Receipts = Reply<'jobs.public_receipts'>;
const KEY = ['receipts', 'recent'];

/** The newest receipts. After the first time only what is new is asked for. */
export const useReceipts = () =>
  useQuery({
    queryKey: KEY,
    queryFn: async ({ signal, client }): Promise<Receipts> => {
      const newest = (limit: number) => api().explorer.receipts({ limit }, { signal }).page();
      const before = client.getQueryData<Receipts>(KEY);
      if (before === undefined || before.items.length === 0) return newest(RECEIPTS);
      const known = new Set(before.items.map(({ id }) => id));
      const { items, next_cursor } = await newest(NEW);
      const seen = items.findIndex(({ id }) => known.has(id));
      if (seen === -1) return newest(RECEIPTS);
      const all = [...items.slice(0, seen), ...before.items];
      return {
        items: all.slice(0, RECEIPTS),
        next_cursor: all.length > RECEIPTS ? next_cursor : before.next_cursor,
      };
    },
    refetchInterval: LIVE_MS,
  });

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
