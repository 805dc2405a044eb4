import { isTerminal } from '../domain.ts';
import type { OutputReader } from '../output/index.ts';
import { findJob } from '../store/jobs.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';

export type Outcome =
  | { readonly kind: 'ended'; readonly job: JobRow }
  /** The caller went away. */
  | { readonly kind: 'left' }
  /** This process stops. */
  | { readonly kind: 'stopping' }
  /** There is no more time, or no more sense in it. */
  | { readonly kind: 'given_up' };

/**
 * Waits for the end of a job, and listens to it from the beginning: while somebody listens its miner tells at once what it
 * makes, and hears at once that nobody waits any more.
 */
export const attend = (
  work: Work,
  jobId: string,
  options: {
    gone: AbortSignal;
    stopping: AbortSignal;
    /** Called when there may be something to read. */
    onOutput?: () => void;
  },
) => {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  let last: JobRow | undefined;
  const look = async (): Promise<void> => {
    const job = await findJob(work.store.read, jobId);
    if (job === undefined) return;
    last = job;
    watched.knows(job.events);
    if (isTerminal(job.status)) resolve({ kind: 'ended', job });
  };
  // What cannot be read now is read when the next change wakes, or time is over.
  const wake = (): void => void look().catch(() => {});
  const leave = (): void => resolve({ kind: 'left' });
  const stop = (): void => resolve({ kind: 'stopping' });
  const watched = work.watch.open(jobId, wake);
  const reader: OutputReader = work.output.listen(jobId, () => options.onOutput?.());
  const { gone, stopping } = options;
  gone.addEventListener('abort', leave);
  stopping.addEventListener('abort', stop);
  if (gone.aborted) leave();
  else if (stopping.aborted) stop();
  wake();
  return {
    reader,
    outcome: promise,
    giveUp: (): void => resolve({ kind: 'given_up' }),
    /** As it was last seen. */
    job: (): JobRow | undefined => last,
    end: (): void => {
      watched.end();
      reader.end();
      gone.removeEventListener('abort', leave);
      stopping.removeEventListener('abort', stop);
    },
  };
};
export type Attendance = ReturnType<typeof attend>;
