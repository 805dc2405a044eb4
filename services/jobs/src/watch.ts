import type { Store } from '@aitbc/chassis';
import { gathered } from './gathered.ts';
import { eventNumbers, jobTopic } from './store/jobs.ts';

/** Jobs looked at by one statement. */
const LOOK_AT_ONCE = 500;

export interface Watched {
  /** Tells the newest event that the watcher knows of; it is not woken before. */
  readonly knows: (events: number) => void;
  readonly end: () => void;
}

interface Watcher {
  readonly wake: () => void;
  known: number | undefined;
  newest: number;
}

const wakeIfNew = (watcher: Watcher): void => {
  if (watcher.known === undefined || watcher.newest <= watcher.known) return;
  watcher.known = watcher.newest;
  watcher.wake();
};

/**
 * Wakes those who wait for a job to change. To be opened before the job is read. Where several processes write, a
 * topic is a hint that may also come for nothing, to all watchers every two seconds: so the number of the newest event is looked
 * at, of all at once, and who knows it is not woken.
 */
export const createWatch = (store: Store) => {
  const watched = new Map<string, Set<Watcher>>();
  const look = gathered(async (ids) => {
    for (let at = 0; at < ids.length; at += LOOK_AT_ONCE)
      for (const { id, events } of await eventNumbers(store.read, ids.slice(at, at + LOOK_AT_ONCE)))
        for (const watcher of [...(watched.get(id) ?? [])]) {
          watcher.newest = Math.max(watcher.newest, events);
          wakeIfNew(watcher);
        }
  });

  const openShared = (jobId: string, wake: () => void): Watched => {
    const watcher: Watcher = { wake, known: undefined, newest: 0 };
    const watchers = watched.get(jobId) ?? new Set();
    watched.set(jobId, watchers.add(watcher));
    const unsubscribe = store.subscribe(jobTopic(jobId), () => look(jobId));
    return {
      knows: (events) => {
        watcher.known = events;
        wakeIfNew(watcher);
      },
      end: () => {
        unsubscribe();
        watchers.delete(watcher);
        if (watchers.size === 0 && watched.get(jobId) === watchers) watched.delete(jobId);
      },
    };
  };

  return {
    open: (jobId: string, wake: () => void): Watched =>
      store.isShared
        ? openShared(jobId, wake)
        : { knows: () => {}, end: store.subscribe(jobTopic(jobId), wake) },
  };
};
export type Watch = ReturnType<typeof createWatch>;
