import type { Store } from '@aitbc/chassis';
import { countRunningOfAll } from './store/backlog.ts';

/** Miners that are counted by one statement. */
const COUNTED_AT_ONCE = 500;

/** Said in the commit that frees a slot of a miner, to all processes: its polls may be held by another. */
export const slotsTopic = (minerId: string): string => `slots:${minerId}`;

/**
 * How many jobs each miner holds, in memory: asked with every poll. Where one process writes, counted at the start and
 * exact from then on. Where several do it is a hint, counted again when a poll opens and when slots may be free; what
 * decides is counted in the transaction of a start.
 */
export const createLoad = () => {
  const running = new Map<string, number>();
  const set = (minerId: string, count: number): void => {
    if (count > 0) running.set(minerId, count);
    else running.delete(minerId);
  };
  const of = (minerId: string): number => running.get(minerId) ?? 0;
  return {
    of,
    set,
    add: (minerId: string, count: number): void => set(minerId, of(minerId) + count),
    countAgain: async (store: Store, minerIds: readonly string[]): Promise<void> => {
      for (let at = 0; at < minerIds.length; at += COUNTED_AT_ONCE) {
        const ids = minerIds.slice(at, at + COUNTED_AT_ONCE);
        const counts = await countRunningOfAll(store.read, ids);
        for (const id of ids) set(id, counts.get(id) ?? 0);
      }
    },
  };
};
export type Load = ReturnType<typeof createLoad>;
