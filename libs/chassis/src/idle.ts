import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Within half a minute after a busy time: one look that still sees it, one that collects, one that collects again. */
const LOOKED_EVERY_MS = 10_000;
/** Of the time between two looks: a pause for a collection then meets next to nobody. */
const IDLE_SHARE_MAX = 0.03;
/** Less is what a young generation fills and empties by itself. */
const GROWN_BYTES = 16 * 1_048_576;
/** A collection that gave back so much is followed by one at the next look: what was still open then may be closed now. */
const WORTH_BYTES = 4 * 1_048_576;

const givers = new Set<() => void>();

/**
 * What a part keeps to be fast, and can do without while nothing happens.
 * @param giveBack is called some 10 to 20 s after a busy time, at most once a look; a few ms at most, and never throws
 * @returns what ends it
 */
export const whenIdle = (giveBack: () => void): (() => void) => {
  givers.add(giveBack);
  return () => void givers.delete(giveBack);
};

/**
 * What loading, or a busy time, leaves behind: V8 keeps it, because an idle service never fills its young generation again.
 * As the last resort: after any other collection V8 keeps the emptied pages (60 MB of 120 after a busy time) for itself. It
 * stops the process for some 50 to 200 ms.
 */
const createCollector = () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: object) => void;
  return (): void => {
    for (const giveBack of givers) giveBack();
    gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  };
};

/** Within a minute after a busy time its garbage is given back to the machine. */
export const collectWhenIdle = (lookedEveryMs = LOOKED_EVERY_MS): void => {
  const collect = createCollector();
  collect();
  let keptBytes = process.memoryUsage.rss();
  /** What was held before the last look's collection: what it gave back shows only a little later. */
  let collectedBytes = 0;
  let before = performance.eventLoopUtilization();
  setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const heldBytes = process.memoryUsage.rss();
    keptBytes = Math.min(keptBytes, heldBytes);
    const isGrown = heldBytes >= keptBytes + GROWN_BYTES;
    const wasWorth = collectedBytes - heldBytes >= WORTH_BYTES;
    collectedBytes = 0;
    if (utilization > IDLE_SHARE_MAX || !(isGrown || wasWorth)) return;
    collect();
    keptBytes = process.memoryUsage.rss();
    collectedBytes = heldBytes;
    // The collection itself is no work.
    before = performance.eventLoopUtilization();
  }, lookedEveryMs).unref();
};
