import { pause } from './ticker.ts';

/** A transaction of work that nobody waits for: so long may who writes stand behind it. */
export const STEP_MS = 5;
/** After a step nothing is done for so many times as long: work that nobody waits for takes a quarter of the writer at most. */
const REST = 3;
const FIRST = 16;
/** Then others have their turn, too. */
const TURN_MS = 1_000;

/** What a turn did. */
export interface Turn {
  readonly done: number;
  /** It ended because its time did. */
  readonly isCut: boolean;
}

/**
 * Does what may wait in small steps, each of about {@link STEP_MS}, until there is nothing more to do or a second is over. How
 * many rows that is is learned from step to step, and kept from run to run.
 * @param options.max rows of a step at most; `least`: at least, however long they take
 */
export const createSmallSteps = (options: { max: number; least?: number }) => {
  const { max, least = 1 } = options;
  let batch = Math.min(Math.max(FIRST, least), max);
  return {
    /**
     * @param step does up to `limit` and says how many it found, and how long its transaction took
     */
    run: async (
      signal: AbortSignal,
      step: (limit: number) => Promise<{ found: number; tookMs: number }>,
    ): Promise<Turn> => {
      const until = performance.now() + TURN_MS;
      for (let done = 0; ; ) {
        const limit = batch;
        const { found, tookMs } = await step(limit);
        done += found;
        if (found > 0) {
          // Never more than twice as many: the next rows may be a hundred times as long as these.
          const fits = Math.floor((found * STEP_MS) / Math.max(tookMs, 0.1));
          batch = Math.max(least, Math.min(max, limit * 2, tookMs > STEP_MS ? fits : Math.max(limit, fits)));
        }
        if (found < limit || signal.aborted) return { done, isCut: false };
        if (performance.now() >= until) return { done, isCut: true };
        await pause(Math.min(tookMs * REST, 1_000), signal);
      }
    },
  };
};
