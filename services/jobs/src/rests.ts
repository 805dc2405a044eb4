/** The first rest is long enough for others to have their turn and for news of the miner's offer to arrive... */
const FIRST_MS = 1_000;
/** ...and with each attempt it doubles, up to this. */
const LONGEST_MS = 60_000;
/** Beyond so many at once, jobs go back without a rest: 10,000 timers and names are a few MB. */
const RESTS_MAX = 10_000;

/** How long, unless the process that keeps it ends before. */
export const restOf = (attempt: number, ttlMs: number): number =>
  Math.min(FIRST_MS * 2 ** (attempt - 1), LONGEST_MS, ttlMs / 2);

export interface Rest {
  readonly jobId: string;
  readonly minerId: string;
  readonly attempt: number;
  /** A rest takes no more than half of the time that the job may wait. */
  readonly ttlMs: number;
}

/**
 * Keeps a job that a miner could not run away from that miner for a while, also when no other could run it: asked
 * again at once, it would fail at once, attempt after attempt, and stand before jobs that it can run. In memory:
 * a restart forgets them, and the job is offered without. Of several processes the one that took the report keeps it and
 * offers the job meanwhile; the index keeps what it said.
 */
export const createRests = (options: { onOver: (jobId: string) => void }) => {
  const resting = new Map<string, { minerId: string; timer: NodeJS.Timeout }>();
  return {
    add({ jobId, minerId, attempt, ttlMs }: Rest): void {
      if (resting.size >= RESTS_MAX) return;
      clearTimeout(resting.get(jobId)?.timer);
      const timer = setTimeout(
        () => {
          resting.delete(jobId);
          options.onOver(jobId);
        },
        restOf(attempt, ttlMs),
      );
      timer.unref();
      resting.set(jobId, { minerId, timer });
    },
    /** @returns the miner that is not asked for now, if there is one. */
    of: (jobId: string): string | undefined => resting.get(jobId)?.minerId,
    end: (): void => {
      for (const { timer } of resting.values()) clearTimeout(timer);
      resting.clear();
    },
  };
};
export type Rests = ReturnType<typeof createRests>;
