import { builder, hot, type Params, type Reader } from '@aitbc/chassis';
import type { JobStatus, JobType } from '@aitbc/contracts';
import { sql } from 'kysely';
import type { JobRow, Tables } from '../tables.ts';

const db = builder<Tables>();

const expired = hot((p: Params<{ now_ms: number; limit: number }>) =>
  db
    .selectFrom('job')
    .select('id')
    .where('status', '=', 'pending')
    .where('expires_at_ms', '<=', p('now_ms'))
    .orderBy('expires_at_ms')
    .limit(p('limit')),
);
export const expiredJobs = (reader: Reader, nowMs: number, limit: number): string[] =>
  reader.all(expired, { now_ms: nowMs, limit }).map((row) => row.id);

const timedOut = hot((p: Params<{ now_ms: number; limit: number }>) =>
  db
    .selectFrom('job')
    .select('id')
    .where('status', '=', 'running')
    .where('deadline_at_ms', '<=', p('now_ms'))
    .orderBy('deadline_at_ms')
    .limit(p('limit')),
);
export const timedOutJobs = (reader: Reader, nowMs: number, limit: number): string[] =>
  reader.all(timedOut, { now_ms: nowMs, limit }).map((row) => row.id);

const ofMiner = hot((p: Params<{ miner_id: string }>) =>
  db.selectFrom('job').selectAll().where('status', '=', 'running').where('miner_id', '=', p('miner_id')),
);
/** At most the miner's concurrency. */
export const runningJobsOf = (reader: Reader, minerId: string): JobRow[] =>
  reader.all(ofMiner, { miner_id: minerId });

const countOfMiner = hot((p: Params<{ miner_id: string }>) =>
  db
    .selectFrom('job')
    .select((eb) => eb.fn.countAll<number>().as('n'))
    .where('status', '=', 'running')
    .where('miner_id', '=', p('miner_id')),
);
export const countRunningOf = (reader: Reader, minerId: string): number =>
  Number(reader.get(countOfMiner, { miner_id: minerId })?.n ?? 0);

/** By miner; once, at the start. */
export const countRunning = (reader: Reader): { miner_id: string; n: number }[] =>
  reader
    .all(
      db
        .selectFrom('job')
        .select((eb) => ['miner_id', eb.fn.countAll<number>().as('n')])
        .where('status', '=', sql.lit<JobStatus>('running'))
        .groupBy('miner_id'),
    )
    .map((row) => ({ miner_id: row.miner_id as string, n: Number(row.n) }));

export type WaitingJob = Pick<
  JobRow,
  'seq' | 'id' | 'lane' | 'client_id' | 'priority' | 'attempt' | 'queued_at_ms'
>;

const waitingAfterStatement = hot((p: Params<{ lane: string; id: string; limit: number }>) =>
  db
    .selectFrom('job')
    .select(['seq', 'id', 'lane', 'client_id', 'priority', 'attempt', 'queued_at_ms'])
    .where('status', '=', 'pending')
    .where('is_funded', '=', 1)
    .where((eb) => eb(eb.refTuple('lane', 'id'), '>', eb.tuple(p('lane'), p('id'))))
    .orderBy('lane')
    .orderBy('id')
    .limit(p('limit')),
);
/** Jobs that may run, lane by lane, oldest first; go on from the last one's lane and id. */
export const waitingAfter = (
  reader: Reader,
  after: { lane: string; id: string },
  limit: number,
): WaitingJob[] => reader.all(waitingAfterStatement, { ...after, limit });

const newest = hot((p: Params<{ limit: number }>) =>
  db
    .selectFrom('job')
    .select(['seq', 'id', 'lane', 'client_id', 'priority', 'attempt', 'queued_at_ms', 'status', 'is_funded'])
    .orderBy('seq', 'desc')
    .limit(p('limit')),
);
/** Those among the newest `limit` jobs that may run, oldest first. */
export const newestWaiting = (reader: Reader, limit: number): WaitingJob[] =>
  reader
    .all(newest, { limit })
    .filter((job) => job.status === 'pending' && job.is_funded === 1)
    .reverse();

const laneHead = hot((p: Params<{ lane: string }>) =>
  db
    .selectFrom('job')
    .select('id')
    .where('status', '=', 'pending')
    .where('is_funded', '=', 1)
    .where('lane', '=', p('lane'))
    .limit(1),
);
export const hasWaiting = (reader: Reader, lane: string): boolean =>
  reader.get(laneHead, { lane }) !== undefined;

const nextLane = hot((p: Params<{ after: string }>) =>
  db
    .selectFrom('job')
    .select('lane')
    .where('status', '=', 'pending')
    .where('is_funded', '=', 1)
    .where('lane', '>', p('after'))
    .orderBy('lane')
    .limit(1),
);
/** The lanes in which something waits: one step of the index a lane, not a job. */
export const lanesInUse = (reader: Reader): string[] => {
  const lanes: string[] = [];
  for (;;) {
    const lane = reader.get(nextLane, { after: lanes.at(-1) ?? '' })?.lane;
    if (lane === undefined) return lanes;
    lanes.push(lane);
  }
};

/** Counts by the partial indexes alone; once, at the start. */
export const countActive = (reader: Reader): { pending: number; running: number } => {
  const count = (status: JobStatus) =>
    Number(
      reader.get(
        db
          .selectFrom('job')
          .select((eb) => eb.fn.countAll<number>().as('n'))
          .where('status', '=', sql.lit<JobStatus>(status)),
      )?.n ?? 0,
    );
  return { pending: count('pending'), running: count('running') };
};

/** The least id a job made at `ms` can have: UUIDv7 begins with its time. */
const firstIdOf = (ms: number): string => {
  const time = ms.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-000000000000`;
};

export interface ListFilter {
  readonly client_id: string;
  readonly status: JobStatus | undefined;
  readonly job_type: JobType | undefined;
  readonly label: string | undefined;
  readonly created_after_ms: number | undefined;
  /** Ids below this one. */
  readonly before: string | undefined;
}

/** Own jobs, newest first. A label leads over a status over a type: the rarest first. */
export const listJobsQuery = (filter: ListFilter, limit: number) => {
  const { label } = filter;
  let query = db.selectFrom('job').selectAll('job').orderBy('job.id', 'desc').limit(limit);
  if (label !== undefined) {
    let ids = db
      .selectFrom('job_label')
      .select('job_id')
      .where('client_id', '=', filter.client_id)
      .where('label', '=', label)
      .orderBy('job_id', 'desc')
      .limit(limit);
    if (filter.before !== undefined) ids = ids.where('job_id', '<', filter.before);
    if (filter.created_after_ms !== undefined)
      ids = ids.where('job_id', '>=', firstIdOf(filter.created_after_ms + 1));
    // With another filter beside it the limit must come after that filter.
    if (filter.status !== undefined || filter.job_type !== undefined) ids = ids.clearLimit();
    query = query.where('job.id', 'in', ids);
  } else {
    query = query.where('job.client_id', '=', filter.client_id);
    if (filter.before !== undefined) query = query.where('job.id', '<', filter.before);
    if (filter.created_after_ms !== undefined)
      query = query.where('job.id', '>=', firstIdOf(filter.created_after_ms + 1));
  }
  if (filter.status !== undefined) query = query.where('job.status', '=', filter.status);
  if (filter.job_type !== undefined) query = query.where('job.job_type', '=', filter.job_type);
  return query;
};
