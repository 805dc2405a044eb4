import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

/** Work that comes back by itself: timers, reconcilers, watchers. */
export interface Scheduled {
  readonly name: string;
  readonly everyMs: number;
  /** Runs alone: the next run starts `everyMs` after this one ended. Must bound its own batch. */
  readonly run: (signal: AbortSignal) => Promise<void> | void;
}

/** Starts the schedule; a run that throws is logged and counted, and comes back. */
export const startTicker = (options: { schedule: readonly Scheduled[]; log: Log; metrics: Metrics }) => {
  const stopping = new AbortController();
  const loops = options.schedule.map(async (item) => {
    while (!stopping.signal.aborted) {
      await pause(item.everyMs, stopping.signal);
      if (stopping.signal.aborted) return;
      try {
        await item.run(stopping.signal);
        options.metrics.scheduleRuns.inc({ name: item.name, outcome: 'done' });
      } catch (error) {
        options.metrics.scheduleRuns.inc({ name: item.name, outcome: 'failed' });
        options.log.error({ err: error, schedule: item.name }, 'scheduled work failed; it will run again');
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
