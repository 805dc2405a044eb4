import { type Backoff, retryDelayMs } from './pacing.ts';

/** So many different jobs in a row: one or two may be at fault themselves. */
const JOBS_IN_A_ROW = 3;

/**
 * Counts failures that tell of this machine, for each job type and model by itself: a job that fails again and again
 * counts once, and one model's trouble stops no other.
 */
export const createTroubles = (backoff: Backoff) => {
  const known = new Map<string, { jobs: Set<string>; rounds: number }>();
  return {
    /** @returns for how long to take no more of this part, or undefined while it is too early to tell. */
    failed(part: string, jobId: string): number | undefined {
      const trouble = known.get(part) ?? { jobs: new Set(), rounds: 0 };
      known.set(part, trouble);
      trouble.jobs.add(jobId);
      if (trouble.jobs.size < JOBS_IN_A_ROW) return undefined;
      trouble.jobs.clear();
      trouble.rounds += 1;
      return retryDelayMs(trouble.rounds - 1, null, backoff);
    },
    done(part: string): void {
      known.delete(part);
    },
  };
};
