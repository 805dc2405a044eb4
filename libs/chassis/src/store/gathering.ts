import type { Trx } from './store.ts';

/** Writes what was gathered for it, in the order in which it came. */
export type Write<I> = (trx: Trx, items: readonly I[]) => Promise<void>;

interface Heap {
  readonly items: unknown[];
  /** So many of them were written. */
  written: number;
}

/**
 * What the functions of a transaction want to be written together, before its commit. It is kept until the end, also what was
 * written: so that what is undone can be taken out again, and what was there before it put back.
 */
export const createGathering = () => {
  const heaps = new Map<Write<never>, Heap>();
  const hasMore = (): boolean => {
    for (const { items, written } of heaps.values()) if (written < items.length) return true;
    return false;
  };
  return {
    add: <I>(write: Write<I>, item: I): void => {
      const heap = heaps.get(write);
      if (heap === undefined) heaps.set(write, { items: [item], written: 0 });
      else heap.items.push(item);
    },
    hasMore,
    /** Also what is gathered meanwhile: what is decided for many at once says so in messages, which are gathered, too. */
    flush: async (trx: Trx): Promise<void> => {
      while (hasMore())
        for (const [write, heap] of heaps) {
          const items = heap.items.slice(heap.written);
          if (items.length === 0) continue;
          heap.written = heap.items.length;
          await write(trx, items as never[]);
        }
    },
    /** @returns puts it back to what it is now */
    mark: (): (() => void) => {
      const before = new Map(
        [...heaps].map(([write, { items, written }]) => [write, { count: items.length, written }]),
      );
      return () => {
        for (const [write, heap] of heaps) {
          const was = before.get(write);
          heap.items.length = was?.count ?? 0;
          heap.written = was?.written ?? 0;
        }
      };
    },
    clear: (): void => heaps.clear(),
  };
};
