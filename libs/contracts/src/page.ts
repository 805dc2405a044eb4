import { z } from 'zod';
import { WholeNumber } from './query.ts';

/** Query part of every list: keyset paging, newest first. */
export const PageQuery = z.strictObject({
  limit: WholeNumber(1, 500).default(50).meta({ description: 'Items per page, 1–500' }),
  cursor: z.string().min(1).max(500).optional().meta({ description: '`next_cursor` of the page before' }),
});

/**
 * Answer of every list. `next_cursor` is null on the last page. A page may hold fewer items than `limit`: it ends when it
 * reaches 256 KB.
 */
export const Page = <T extends z.ZodType>(item: T) =>
  z.strictObject({
    items: z.array(item),
    next_cursor: z.string().nullable().meta({
      description: 'Null on the last page alone: a page ends at `limit` items or 256 KB',
    }),
  });
