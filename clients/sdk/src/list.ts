import type { RequestOptions } from './http.ts';

export interface Page<T> {
  readonly items: T[];
  readonly next_cursor: string | null;
}

/**
 * A list of the coordinator, newest first unless it says otherwise. `for await` walks all of it, page by page; nothing is
 * asked before. What is added meanwhile does not shift it.
 */
export class List<T, P extends Page<T> = Page<T>> implements AsyncIterable<T> {
  readonly #ask: (cursor: string | undefined) => Promise<P>;
  readonly #from: string | undefined;

  constructor(ask: (cursor: string | undefined) => Promise<P>, from?: string) {
    this.#ask = ask;
    this.#from = from;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) yield* page.items;
  }

  /** The pages themselves, with the cursor from which another program may go on. */
  async *pages(): AsyncGenerator<P, void, undefined> {
    let cursor = this.#from;
    do {
      const page = await this.#ask(cursor);
      yield page;
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
  }

  /** The first page. */
  page(): Promise<P> {
    return this.#ask(this.#from);
  }

  /** @param max how many at most; lists may be very long, so it must be said. */
  async take(max: number): Promise<T[]> {
    const items: T[] = [];
    if (max <= 0) return items;
    for await (const item of this) {
      items.push(item);
      if (items.length >= max) break;
    }
    return items;
  }
}

/** A list by a query that may hold a cursor to begin at. */
export const listOf = <Q extends { cursor?: string | undefined }, P extends Page<unknown>>(
  query: Q,
  call: RequestOptions,
  ask: (query: Q, call: RequestOptions) => Promise<P>,
): List<P['items'][number], P> =>
  new List<P['items'][number], P>(
    (cursor) => ask(cursor === undefined ? query : { ...query, cursor }, call),
    query.cursor,
  );
