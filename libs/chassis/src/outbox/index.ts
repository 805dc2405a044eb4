import type { Scheduled } from '../ticker.ts';
import { startRelay } from './relay.ts';

export { sendAs } from './send.ts';

/** How often it is looked for streams whose process died, and for adopted ones that are done. */
const ADOPT_EVERY_MS = 1_000;

type Relay = Awaited<ReturnType<typeof startRelay>>;

/**
 * A relay for each stream that this process holds: its own, and those whose process died, until all of theirs was
 * acknowledged. A stream that is lost, with the connection that held it, is relayed no more; held again, from its first row.
 */
export const startRelays = async (options: Omit<Parameters<typeof startRelay>[0], 'stream'>) => {
  const { store } = options;
  const relays = new Map<string, Relay>();
  let isStopping = false;

  const leaving: Relay[] = [];

  const heldNow = (): readonly string[] => (isStopping ? [] : store.streams.held());
  const follow = async (): Promise<void> => {
    for (const relay of leaving.splice(0)) await relay.stop();
    for (const stream of heldNow()) {
      if (relays.has(stream)) continue;
      const relay = await startRelay({ ...options, stream });
      // It may have been lost meanwhile.
      if (heldNow().includes(stream)) relays.set(stream, relay);
      else await relay.stop();
    }
  };
  let following = follow();
  const followAgain = (): Promise<void> => {
    const held = heldNow();
    for (const [stream, relay] of relays) {
      if (held.includes(stream)) continue;
      // At once: another process may be about to hold it.
      relay.halt();
      relays.delete(stream);
      leaving.push(relay);
    }
    following = following.then(follow, follow);
    return following;
  };
  // The store is away in this moment: the schedule below looks again.
  const unsubscribe = store.streams.onChange(() => void followAgain().catch(() => {}));
  await following;

  const adopt: Scheduled = {
    name: 'outbox.adopt',
    everyMs: ADOPT_EVERY_MS,
    where: 'everywhere',
    run: async () => {
      const held = store.streams.held();
      if (held.some((stream) => !relays.has(stream))) await followAgain();
      for (const stream of held.slice(1))
        if ((await relays.get(stream)?.unacknowledged()) === 0) await store.streams.release(stream);
      if (store.leads()) await store.streams.adopt();
    },
  };

  return {
    /** For a store that others share; one alone has nothing to adopt. */
    schedule: store.isShared ? [adopt] : [],
    /** Messages not yet acknowledged, over all destinations. */
    unacknowledged: async (): Promise<number> => {
      let sum = 0;
      for (const relay of relays.values()) sum += await relay.unacknowledged();
      return sum;
    },
    stop: async (): Promise<void> => {
      isStopping = true;
      unsubscribe();
      await followAgain();
    },
  };
};
