import type { Reply } from '@aitbc/sdk';
import { useQuery } from '@tanstack/react-query';
import { api } from '../../session.ts';

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
