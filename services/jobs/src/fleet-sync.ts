import type { Store } from '@aitbc/chassis';
import type { Fleet } from './fleet.ts';
import { minerRevisions, readOffers } from './store/fleet.ts';

/** Said in the commit that changes a miner. */
export const MINERS_TOPIC = 'miners';

/** Described miners read by one statement: some MB at most. */
const READ_AT_ONCE = 200;
/** Between two looks, however much is said... */
const LOOK_GAP_MS = 250;
/** ...and so many times what a look takes: ten thousand miners are 20 ms, and a look never more than a twentieth of a core. */
const LOOK_REST = 20;

/**
 * Keeps the copy of the miners true where several processes write the table: looks when it is told of a change, which a
 * topic also is every two seconds for nothing. Each look compares the revisions of all, so none is missed
 * whatever the order of their commits.
 */
export const createFleetSync = (options: {
  store: Store;
  fleet: Fleet;
  onChanged: (minerId: string) => void;
}) => {
  const { store, fleet } = options;
  let isLooking = false;
  let isAsked = false;
  let timer: NodeJS.Timeout | undefined;
  let restsUntil = 0;
  let isEnded = false;

  const compare = async (): Promise<void> => {
    const startedAt = performance.now();
    const changed = (await minerRevisions(store.read))
      .filter(({ id, revision }) => revision > (fleet.miner(id)?.revision ?? -1))
      .map(({ id }) => id);
    for (let at = 0; at < changed.length; at += READ_AT_ONCE)
      for (const offer of await readOffers(store.read, changed.slice(at, at + READ_AT_ONCE))) {
        fleet.setMiner(offer);
        options.onChanged(offer.miner_id);
      }
    const now = performance.now();
    restsUntil = now + Math.max(LOOK_GAP_MS, (now - startedAt) * LOOK_REST);
  };
  /** As soon as the last look is long enough ago. What is said during a look gets one of its own. */
  const soon = (): void => {
    isAsked = true;
    if (isEnded || timer !== undefined || isLooking) return;
    timer = setTimeout(
      async () => {
        timer = undefined;
        isAsked = false;
        isLooking = true;
        // What cannot be read now is read by the look that comes by itself.
        await compare().catch(() => {});
        isLooking = false;
        if (isAsked) soon();
      },
      Math.max(0, restsUntil - performance.now()),
    );
  };
  const stopListening = store.subscribe(MINERS_TOPIC, soon);

  return {
    soon,
    /** Reads one that is asked for by name and may have been registered at another process just now. */
    find: async (minerId: string): Promise<void> => {
      for (const offer of await readOffers(store.read, [minerId])) fleet.setMiner(offer);
    },
    end: (): void => {
      isEnded = true;
      stopListening();
      clearTimeout(timer);
    },
  };
};
export type FleetSync = ReturnType<typeof createFleetSync>;
