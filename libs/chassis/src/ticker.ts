import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { occasionally } from './occasionally.ts';

/** Work that comes back by itself: timers, reconcilers, watchers. */
export interface Scheduled {
  readonly name: string;
  readonly everyMs: number;
  /**
   * Runs in every process of the service: for what is about this process alone, such as something in its memory. Without
   * it, it runs in the process that leads. That is a saving: two may run side by side for a moment, so each step decides
   * by compare-and-set.
   */
  readonly where?: 'everywhere';
  /** Runs alone: a run that takes longer than `everyMs` makes the next ones fall out. Must bound its own batch. */
  readonly run: (signal: AbortSignal) => Promise<void> | void;
}

/**
 * Until a multiple of `everyMs` in the life of this process: what comes as often, or half as often, wakes it once for all. Alone,
 * some fifteen items woke an idle process twenty times a second, and waking cost more than what they do.
 */
const untilNext = (everyMs: number): number => {
  const leftMs = everyMs - (performance.now() % everyMs);
  // A timer may be a little early: what is nearly there was just run.
  return leftMs < everyMs / 4 ? leftMs + everyMs : leftMs;
};

/**
 * Starts the schedule; a run that throws is counted and, once a minute at most, logged; and comes back.
 * @param options.leads whether this process does what one alone is to do
 */
export const startTicker = (options: {
  schedule: readonly Scheduled[];
  leads: () => boolean;
  log: Log;
  metrics: Metrics;
}) => {
  const stopping = new AbortController();
  const tell = occasionally();
  const failing = new Set<string>();
  const loops = options.schedule.map(async (item) => {
    while (!stopping.signal.aborted) {
      await pause(untilNext(item.everyMs), stopping.signal);
      if (stopping.signal.aborted) return;
      if (item.where !== 'everywhere' && !options.leads()) continue;
      try {
        await item.run(stopping.signal);
        options.metrics.scheduleRuns.inc({ name: item.name, outcome: 'done' });
        if (failing.delete(item.name)) options.log.info({ schedule: item.name }, 'scheduled work runs again');
      } catch (error) {
        options.metrics.scheduleRuns.inc({ name: item.name, outcome: 'failed' });
        const keptBack = tell(item.name);
        if (keptBack === undefined) continue;
        failing.add(item.name);
        options.log.error(
          { err: error, schedule: item.name, kept_back: keptBack },
          'scheduled work failed; it will run again',
        );
      }
    }
  });
  return {
    stop: async (): Promise<void> => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
};

/** Waits, or returns at once when the signal aborts. */
export const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
