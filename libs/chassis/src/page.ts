/**
 * A page ends when it reaches this, whatever `limit` says, and `next_cursor` goes on. 500 ordinary items stay below it;
 * of the largest that the contracts allow it holds a few. A reader can take it, a server can make it in milliseconds.
 */
export const PAGE_BYTES_MAX = 256 * 1_024;

/**
 * Cuts a page out of rows: at most `limit` items and {@link PAGE_BYTES_MAX} bytes of JSON, but one item at least, so that
 * a walk always goes on. `rows` may be read as it is walked: what does not fit any more is then never read.
 * @param rows in the order of the list, one more than `limit` where there are more
 * @param view of a row; null ends the page before it, for a bound of work. It gives at least the first
 * @param cursorOf the place after which the next page begins
 */
export const pageOf = async <R, V>(
  rows: Iterable<R> | AsyncIterable<R>,
  limit: number,
  view: (row: R) => V | null | Promise<V | null>,
  cursorOf: (last: R) => string,
): Promise<{ items: V[]; next_cursor: string | null }> => {
  const items: V[] = [];
  let bytes = 0;
  let last: R | undefined;
  for await (const row of rows) {
    const item = items.length === limit ? null : await view(row);
    if (item !== null) bytes += Buffer.byteLength(JSON.stringify(item));
    if (item === null || (bytes > PAGE_BYTES_MAX && items.length > 0))
      return { items, next_cursor: last === undefined ? null : cursorOf(last) };
    items.push(item);
    last = row;
  }
  return { items, next_cursor: null };
};
