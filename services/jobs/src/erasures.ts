import type { Store } from '@aitbc/chassis';

const RETRY_EVERY_MS = 5_000;

/**
 * What was erased still stands in the log of the store, until that is emptied: at once where it can be, and else again and
 * again. Also at the start, for a process that died between the two.
 */
export const createErasures = (store: Pick<Store, 'emptyLog'>) => {
  let isOwed = true;
  const empty = async (): Promise<void> => {
    isOwed = true;
    if (await store.emptyLog().catch(() => false)) isOwed = false;
  };
  return {
    /** Resolves when it was emptied, or could not be. */
    finish: empty,
    schedule: {
      name: 'jobs.erasures',
      where: 'everywhere' as const,
      everyMs: RETRY_EVERY_MS,
      run: () => (isOwed ? empty() : undefined),
    },
  };
};
export type Erasures = ReturnType<typeof createErasures>;
