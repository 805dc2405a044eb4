import { builder, fieldOf, hot, type Params, type Reader, rowsOf, type Trx } from '@aitbc/chassis';
import type { JobStatus, JobType } from '@aitbc/contracts';
import { type Expression, sql } from 'kysely';
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
export const expiredJobs = async (reader: Reader, nowMs: number, limit: number): Promise<string[]> =>
  (await reader.all(expired, { now_ms: nowMs, limit })).map((row) => row.id);

const timedOut = hot((p: Params<{ now_ms: number; limit: number }>) =>
  db
    .selectFrom('job')
    .select('id')
    .where('status', '=', 'running')
    .where('deadline_at_ms', '<=', p('now_ms'))
    .orderBy('deadline_at_ms')
    .limit(p('limit')),
);
export const timedOutJobs = async (reader: Reader, nowMs: number, limit: number): Promise<string[]> =>
  (await reader.all(timedOut, { now_ms: nowMs, limit })).map((row) => row.id);

/**
 * What was written while the clock ran ahead, or read now that it runs behind: a job waits and runs no longer from now
 * than it may. Once, at the start; after it the clock does not go back.
 */
export const boundTimes = async (trx: Trx, nowMs: number): Promise<void> => {
  await trx.run(
    db
      .updateTable('job')
      .set({ queued_at_ms: nowMs, expires_at_ms: sql<number>`${nowMs} + ttl_ms` })
      .where('status', '=', 'pending')
      .where('expires_at_ms', '>', sql<number>`${nowMs} + ttl_ms`),
  );
  await trx.run(
    db
      .updateTable('job')
      .set({ deadline_at_ms: sql<number>`${nowMs} + timeout_ms` })
      .where('status', '=', 'running')
      .where('deadline_at_ms', '>', sql<number>`${nowMs} + timeout_ms`),
  );
};

const ofMiner = hot((p: Params<{ miner_id: string }>) =>
  db.selectFrom('job').selectAll().where('status', '=', 'running').where('miner_id', '=', p('miner_id')),
);
/** At most the miner's concurrency. */
export const runningJobsOf = (reader: Reader, minerId: string): Promise<JobRow[]> =>
  reader.all(ofMiner, { miner_id: minerId });

const runningPaid = hot((p: Params<{ limit: number }>) =>
  db
    .selectFrom('job')
    .selectAll()
    .where('status', '=', 'running')
    .where('payment_status', '=', 'escrowed')
    .limit(p('limit')),
);
/** Running jobs whose payment is held, in no order; once, at the start of a restored file. */
export const runningPaidJobs = (reader: Reader, limit: number): Promise<JobRow[]> =>
  reader.all(runningPaid, { limit });

const countOfMiner = hot((p: Params<{ miner_id: string }>) =>
  db
    .selectFrom('job')
    .select((eb) => eb.fn.countAll<number>().as('n'))
    .where('status', '=', 'running')
    .where('miner_id', '=', p('miner_id')),
);
export const countRunningOf = async (reader: Reader, minerId: string): Promise<number> =>
  Number((await reader.get(countOfMiner, { miner_id: minerId }))?.n ?? 0);

/** Of many at once; whoever is not named holds none. */
export const countRunningOfAll = async (
  reader: Reader,
  minerIds: readonly string[],
): Promise<Map<string, number>> =>
  new Map(
    (
      await reader.all(
        db
          .selectFrom('job')
          .select((eb) => ['miner_id', eb.fn.countAll<number>().as('n')])
          .where('status', '=', sql.lit<JobStatus>('running'))
          .where('miner_id', 'in', minerIds)
          .groupBy('miner_id'),
      )
    ).map((row) => [row.miner_id as string, Number(row.n)]),
  );

/** By miner; once, at the start. */
export const countRunning = async (reader: Reader): Promise<{ miner_id: string; n: number }[]> =>
  (
    await reader.all(
      db
        .selectFrom('job')
        .select((eb) => ['miner_id', eb.fn.countAll<number>().as('n')])
        .where('status', '=', sql.lit<JobStatus>('running'))
        .groupBy('miner_id'),
    )
  ).map((row) => ({ miner_id: row.miner_id as string, n: Number(row.n) }));

export type WaitingJob = Pick<
  JobRow,
  | 'seq'
  | 'id'
  | 'client_id'
  | 'job_type'
  | 'model'
  | 'constraints'
  | 'payment_amount_minor'
  | 'payment_status'
  | 'priority'
  | 'attempt'
  | 'report_attempt'
  | 'queued_at_ms'
  | 'ttl_ms'
>;
/** What is needed to offer a job. */
export const WAITING_COLUMNS = [
  'seq',
  'id',
  'client_id',
  'job_type',
  'model',
  'constraints',
  'payment_amount_minor',
  'payment_status',
  'priority',
  'attempt',
  'report_attempt',
  'queued_at_ms',
  'ttl_ms',
] as const;

const waitingAfterStatement = hot((p: Params<{ job_type: JobType; id: string; limit: number }>) =>
  db
    .selectFrom('job')
    .select(WAITING_COLUMNS)
    .where('status', '=', 'pending')
    .where('is_funded', '=', 1)
    .where((eb) => eb(eb.refTuple('job_type', 'id'), '>', eb.tuple(p('job_type'), p('id'))))
    .orderBy('job_type')
    .orderBy('id')
    .limit(p('limit')),
);
/** Jobs that may run, type by type, oldest first; go on from the last one's type and id. */
export const waitingAfter = (
  reader: Reader,
  after: { job_type: JobType | ''; id: string },
  limit: number,
): Promise<WaitingJob[]> =>
  reader.all(waitingAfterStatement, { job_type: after.job_type as JobType, id: after.id, limit });

/** Whether any job may run. */
export const hasWaiting = async (reader: Reader): Promise<boolean> =>
  (await waitingAfter(reader, { job_type: '', id: '' }, 1)).length > 0;

const newest = hot((p: Params<{ limit: number }>) =>
  db
    .selectFrom('job')
    .select([...WAITING_COLUMNS, 'status', 'is_funded'])
    .orderBy('seq', 'desc')
    .limit(p('limit')),
);
/** Those among the newest `limit` jobs that may run, oldest first. */
export const newestWaiting = async (reader: Reader, limit: number): Promise<WaitingJob[]> =>
  (await reader.all(newest, { limit }))
    .filter((job) => job.status === 'pending' && job.is_funded === 1)
    .reverse();

/** The oldest jobs of one type that may run. */
export const oldestWaiting = async (reader: Reader, jobType: JobType, limit: number): Promise<WaitingJob[]> =>
  (await waitingAfter(reader, { job_type: jobType, id: '' }, limit)).filter(
    (job) => job.job_type === jobType,
  );

const waitingRequirements = hot((p: Params<{ client_id: string; requirements: string }>) =>
  db
    .selectFrom(rowsOf(p('requirements'), { requirement: 'text' }).as('asked'))
    .select('asked.requirement')
    // As a value: of a join a planner may read all that waits, and here one row of each tells.
    .where(
      (eb) =>
        eb
          .selectFrom('job')
          .select('job.id')
          .where('job.status', '=', 'pending')
          .where('job.client_id', '=', p('client_id'))
          .whereRef('job.requirement', '=', 'asked.requirement')
          .limit(1),
      'is not',
      null,
    ),
);
/** With which of these requirements a job of this account waits already. */
export const waitingWith = async (
  reader: Reader,
  clientId: string,
  requirements: readonly string[],
): Promise<Set<string>> => {
  const values = { client_id: clientId, requirements: JSON.stringify(requirements.map((each) => [each])) };
  return new Set((await reader.all(waitingRequirements, values)).map(({ requirement }) => requirement));
};

const waitingNames = hot((p: Params<{ miners: string }>) =>
  db
    .selectFrom(rowsOf(p('miners'), { miner_id: 'text' }).as('asked'))
    .select('asked.miner_id')
    // As a value: one row of each tells, however many jobs name it.
    .where(
      (eb) =>
        eb
          .selectFrom('job')
          .select('job.id')
          .where('job.status', '=', 'pending')
          .where('job.is_funded', '=', 1)
          .where(fieldOf('job.constraints', 'miner_id'), '=', eb.ref('asked.miner_id'))
          .limit(1),
      'is not',
      null,
    ),
);
/** Which of these miners a job that may run names. */
export const namedByWaiting = async (reader: Reader, minerIds: readonly string[]): Promise<string[]> =>
  (await reader.all(waitingNames, { miners: JSON.stringify(minerIds.map((id) => [id])) })).map(
    ({ miner_id }) => miner_id,
  );

const nextRequirement = (clientId: string, after: Expression<string>) =>
  db
    .selectFrom('job')
    .select('requirement')
    .where('status', '=', 'pending')
    .where('client_id', '=', clientId)
    .where('requirement', '>', after)
    .orderBy('requirement')
    .limit(1);
const requirementsOf = hot((p: Params<{ client_id: string; max: number }>) =>
  db
    .withRecursive('step', (query) =>
      query
        .selectNoFrom((eb) => [
          nextRequirement(p('client_id'), eb.val('')).as('requirement'),
          sql<number>`1`.as('n'),
        ])
        .unionAll(
          query
            .selectFrom('step')
            .select((eb) => [
              nextRequirement(p('client_id'), eb.ref('step.requirement')).as('requirement'),
              sql<number>`step.n + 1`.as('n'),
            ])
            .where('step.requirement', 'is not', null)
            .where('step.n', '<', p('max')),
        ),
    )
    .selectFrom('step')
    .select((eb) => eb.fn.count<number>('requirement').as('count')),
);
/** Different requirements of this account that wait, up to `max`: one step of the index each, whatever waits. */
export const countRequirements = async (reader: Reader, clientId: string, max: number): Promise<number> =>
  Number((await reader.get(requirementsOf, { client_id: clientId, max }))?.count ?? 0);

/** Counts by the partial indexes alone; once, at the start. */
export const countActive = async (reader: Reader): Promise<{ pending: number; running: number }> => {
  const count = async (status: JobStatus) =>
    Number(
      (
        await reader.get(
          db
            .selectFrom('job')
            .select((eb) => eb.fn.countAll<number>().as('n'))
            .where('status', '=', sql.lit<JobStatus>(status)),
        )
      )?.n ?? 0,
    );
  return { pending: await count('pending'), running: await count('running') };
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
  readonly created_before_ms?: number | undefined;
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
    if (filter.created_before_ms !== undefined)
      query = query.where('job.id', '<', firstIdOf(filter.created_before_ms + 1));
  }
  if (filter.status !== undefined) query = query.where('job.status', '=', filter.status);
  if (filter.job_type !== undefined) query = query.where('job.job_type', '=', filter.job_type);
  return query;
};

/** How many jobs a list holds, counted up to `max`. */
export const countJobs = async (reader: Reader, filter: ListFilter, max: number): Promise<number> => {
  const counted = listJobsQuery(filter, max).clearSelect().clearOrderBy().select('job.id');
  const found = await reader.get(
    db.selectFrom(counted.as('counted')).select((eb) => eb.fn.countAll<number>().as('n')),
  );
  return Number(found?.n ?? 0);
};
