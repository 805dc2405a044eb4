import { clock, type Drop, type Purge, type Scheduled, schedulePurge } from '@aitbc/chassis';
import type { Archive } from './archive.ts';
import { eraseContent } from './store/content.ts';
import { doorRequestsDue, dropDoorRequests } from './store/door.ts';
import { contentDue, dropFront, dropJobs, erasedFront, jobsDue, TEXTS } from './store/purge.ts';
import type { Work } from './work.ts';

const EVERY_MS = 1_000;
/** What leaves from the front leaves behind what was just erased; beside that, a look reads 1,500 rows in vain. */
const FRONT_EVERY_MS = 60_000;

export interface Periods {
  /** Parameters, results and what miners said, after the end of a job. */
  readonly contentMs: number;
  /** The job and its events, after its end. Its content never stays longer. */
  readonly jobsMs: number;
}

/**
 * Takes out what is older than it is kept, in this order: texts are erased where they stand, erased texts leave from the front
 * of their tables, jobs without texts leave.
 * @param archive where jobs go before they leave
 */
export const createPurges = (
  work: Pick<Work, 'store' | 'erasures'>,
  periods: Periods,
  purge: Purge,
  archive?: Archive,
): Scheduled[] => {
  const { store } = work;
  const contentMs = Math.min(periods.contentMs, periods.jobsMs);
  const content = purge({
    what: 'content',
    find: (limit) => contentDue(store.read, { nowMs: clock.nowMs(), keptMs: contentMs }, limit),
    dueAtMs: (job) => job.dueAtMs,
    drop: (trx, due) =>
      eraseContent(trx, { seqs: due.map(({ seq }) => seq), nowMs: clock.nowMs(), place: store.place }),
  });
  const jobs = purge({
    what: 'jobs',
    find: (limit) =>
      archive === undefined
        ? jobsDue(store.read, clock.nowMs() - periods.jobsMs, limit)
        : archive.leaving(limit),
    dueAtMs: (job) => Number(job.ended_at_ms) + periods.jobsMs,
    drop: dropJobs,
  });
  const archived: Drop = async (signal) =>
    archive === undefined ? jobs(signal) : archive.run(signal, () => jobs(signal));
  const front = (what: keyof typeof TEXTS) =>
    purge({
      what,
      find: (limit) => erasedFront(store.read, TEXTS[what], limit),
      drop: (trx, erased) => dropFront(trx, TEXTS[what], erased),
    });
  const texts = { parameters: front('parameters'), results: front('results') };
  const doorRequests = purge({
    what: 'door_requests',
    find: (limit) => doorRequestsDue(store.read, clock.nowMs(), limit),
    dueAtMs: ({ expires_at_ms }) => expires_at_ms,
    drop: dropDoorRequests,
  });
  let frontAt = Number.NEGATIVE_INFINITY;
  const contentWithLog: Drop = async (signal) => {
    const turn = await content(signal);
    if (turn.done === 0) return turn;
    frontAt = Number.NEGATIVE_INFINITY;
    await work.erasures.finish();
    return turn;
  };
  const fronts: Drop = async (signal) => {
    if (performance.now() - frontAt < FRONT_EVERY_MS) return { done: 0, isCut: false };
    frontAt = performance.now();
    const [parameters, results] = [await texts.parameters(signal), await texts.results(signal)];
    const isCut = parameters.isCut || results.isCut;
    if (isCut) frontAt = Number.NEGATIVE_INFINITY;
    return { done: parameters.done + results.done, isCut };
  };
  return [
    schedulePurge('jobs.purge', [contentWithLog, fronts, archived], EVERY_MS),
    schedulePurge('door.purge', [doorRequests]),
  ];
};
