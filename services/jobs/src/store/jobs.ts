import { builder, hot, insertMany, listOf, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { JobStatus } from '@aitbc/contracts';
import { sql } from 'kysely';
import type { EventRow, JobRow, Tables } from '../tables.ts';

const db = builder<Tables>();

/** What every job begins with. */
const NEW = {
  attempt: 0,
  undelivered: 0,
  miner_id: null,
  miner_account_id: null,
  progress: 0,
  error_code: null,
  error_message: null,
  payment_id: null,
  lease_payment_id: null,
  lease_price_minor: 0,
  report_attempt: null,
  report_sha256: null,
  report_metrics: null,
  events: 1,
  started_at_ms: null,
  ended_at_ms: null,
  deadline_at_ms: null,
  content_gone_at_ms: null,
  content_due_at_ms: null,
} as const;
type NewJob = Omit<JobRow, keyof typeof NEW | 'seq' | 'content_kept_ms'>;

const settingOf = (accountId: string) =>
  db.selectFrom('account_setting').select('content_kept_ms').where('account_id', '=', accountId);
const insert = hot((p: Params<NewJob>) =>
  db
    .insertInto('job')
    .values({
      id: p('id'),
      client_id: p('client_id'),
      job_type: p('job_type'),
      status: p('status'),
      requirement: p('requirement'),
      model: p('model'),
      key_id: p('key_id'),
      priority: p('priority'),
      is_funded: p('is_funded'),
      constraints: p('constraints'),
      labels: p('labels'),
      callback_url: p('callback_url'),
      salt: p('salt'),
      parameters_sha256: p('parameters_sha256'),
      timeout_ms: p('timeout_ms'),
      ttl_ms: p('ttl_ms'),
      max_attempts: p('max_attempts'),
      ...NEW,
      content_kept_ms: settingOf(p('client_id')),
      payment_amount_minor: p('payment_amount_minor'),
      payment_status: p('payment_status'),
      created_at_ms: p('created_at_ms'),
      updated_at_ms: p('updated_at_ms'),
      queued_at_ms: p('queued_at_ms'),
      expires_at_ms: p('expires_at_ms'),
    })
    .returning(['seq', 'content_kept_ms']),
);
/**
 * A longer text is written by the function that brings it, in its own time: sixteen of 4 MB that were written together took
 * PostgreSQL longer than a function may, and all callers of the group were answered with 500.
 */
export const GATHERED_TEXT_MAX = 64 * 1024;
// Nothing reads these before the commit, so a commit's are written together.
const insertParameters = insertMany<Tables['job_parameters']>('job_parameters', [
  'job_seq',
  'parameters',
  'payload',
]);
const insertLabels = insertMany<Tables['job_label']>('job_label', ['client_id', 'label', 'job_id']);
const insertEvents = insertMany<EventRow>('job_event', [
  'job_seq',
  'id',
  'type',
  'status',
  'attempt',
  'progress',
  'message',
  'at_ms',
]);

/** Progress reports past this many events move the number alone: a job's stream stays a stream a person can read. */
const EVENTS_MAX = 1_000;

export const addEvent = (
  trx: Trx,
  job: Pick<JobRow, 'seq' | 'id' | 'events' | 'status' | 'attempt' | 'progress'>,
  type: EventRow['type'],
  message: string | null,
  atMs: number,
): void => {
  if (type === 'progress' && job.events > EVENTS_MAX) return;
  trx.gather(insertEvents, {
    job_seq: job.seq,
    id: job.events,
    type,
    status: job.status,
    attempt: job.attempt,
    progress: job.progress,
    message,
    at_ms: atMs,
  });
  trx.notify(jobTopic(job.id));
};

/** Those who watch a job subscribe to this. */
export const jobTopic = (jobId: string): string => `job:${jobId}`;

export const insertJob = async (
  trx: Trx,
  job: NewJob,
  { parameters, payload }: { parameters: string; payload: string | null },
  labels: readonly string[],
): Promise<JobRow> => {
  const made = (await trx.get(insert, job)) as Pick<JobRow, 'seq' | 'content_kept_ms'>;
  const row: JobRow = { ...NEW, ...job, ...made };
  const texts = { job_seq: row.seq, parameters, payload };
  if (parameters.length + (payload?.length ?? 0) > GATHERED_TEXT_MAX) {
    // In the order of their numbers: what is put between others moves them.
    await trx.flush();
    await insertParameters(trx, [texts]);
  } else trx.gather(insertParameters, texts);
  for (const label of new Set(labels))
    trx.gather(insertLabels, { client_id: job.client_id, label, job_id: job.id });
  addEvent(trx, row, 'pending', null, job.created_at_ms);
  return row;
};

const byId = hot((p: Params<{ id: string }>) => db.selectFrom('job').selectAll().where('id', '=', p('id')));
export const findJob = (reader: Reader, id: string): Promise<JobRow | undefined> => reader.get(byId, { id });

const byIds = hot((p: Params<{ ids: string }>) =>
  db
    .selectFrom('job')
    .selectAll()
    .where('id', 'in', listOf(p('ids'))),
);
/** Jobs by id, with one look. */
export const findJobs = async (reader: Reader, ids: readonly string[]): Promise<Map<string, JobRow>> =>
  new Map((await reader.all(byIds, { ids: JSON.stringify(ids) })).map((row) => [row.id, row]));

/** @returns undefined for somebody else's job, as if it did not exist. */
export const findOwnJob = async (
  reader: Reader,
  id: string,
  clientId: string,
): Promise<JobRow | undefined> => {
  const job = await findJob(reader, id);
  return job?.client_id === clientId ? job : undefined;
};

/** The newest event of each of these jobs. */
export const eventNumbers = (
  reader: Reader,
  ids: readonly string[],
): Promise<Pick<JobRow, 'id' | 'events'>[]> =>
  reader.all(db.selectFrom('job').select(['id', 'events']).where('id', 'in', ids));

/** What is shown where there are none any more. */
const NO_PARAMETERS = '{}';
/** Where it stands apart, or in the receipt of before. */
export const resultText = sql<string>`coalesce(job_result.result, receipt.result)`.as('result');

/** A job with its two long texts; `result` is null without a receipt. */
export interface JobAndTexts {
  readonly job: JobRow;
  readonly parameters: string;
  readonly result: string | null;
}
/** Reads the texts of jobs. @returns in the order of `jobs` */
export const textsOf = async (reader: Reader, jobs: readonly JobRow[]): Promise<JobAndTexts[]> => {
  const rows = await reader.all(
    db
      .selectFrom('job_parameters')
      .leftJoin('receipt', 'receipt.job_seq', 'job_parameters.job_seq')
      .leftJoin('job_result', 'job_result.job_seq', 'job_parameters.job_seq')
      .select(['job_parameters.job_seq as seq', 'parameters', resultText])
      .where(
        'job_parameters.job_seq',
        'in',
        jobs.map(({ seq }) => seq),
      ),
  );
  const bySeq = new Map(rows.map((row) => [row.seq, row]));
  return jobs.map((job) => ({
    job,
    ...(job.content_gone_at_ms === null
      ? {
          parameters: bySeq.get(job.seq)?.parameters ?? NO_PARAMETERS,
          result: bySeq.get(job.seq)?.result ?? null,
        }
      : { parameters: NO_PARAMETERS, result: null }),
  }));
};

const requeue = hot(
  (
    p: Params<{
      seq: number;
      attempt: number;
      undelivered: number;
      error_code: string | null;
      error_message: string | null;
      report_attempt: number | null;
      report_sha256: string | null;
      report_metrics: string | null;
      now_ms: number;
    }>,
  ) =>
    db
      .updateTable('job')
      .set({
        status: 'pending',
        undelivered: p('undelivered'),
        miner_id: null,
        miner_account_id: null,
        lease_payment_id: null,
        lease_price_minor: 0,
        progress: 0,
        error_code: p('error_code'),
        error_message: p('error_message'),
        report_attempt: p('report_attempt'),
        report_sha256: p('report_sha256'),
        report_metrics: p('report_metrics'),
        events: sql<number>`events + 1`,
        updated_at_ms: p('now_ms'),
        queued_at_ms: p('now_ms'),
        started_at_ms: null,
        deadline_at_ms: null,
        expires_at_ms: sql<number>`${p('now_ms')} + ttl_ms`,
      })
      .where('seq', '=', p('seq'))
      .where('status', '=', 'running')
      .where('attempt', '=', p('attempt'))
      .returningAll(),
);
export interface Report {
  readonly attempt: number;
  readonly sha256: string;
  readonly metrics: string | null;
}
/** Puts a running job back, with a fresh time to start. @returns undefined when this attempt no longer runs. */
export const requeueJob = (
  trx: Trx,
  job: JobRow,
  values: {
    undelivered: number;
    error: { code: string; message: string } | null;
    report: Report | null;
    now_ms: number;
  },
): Promise<JobRow | undefined> =>
  trx.get(requeue, {
    seq: job.seq,
    attempt: job.attempt,
    undelivered: values.undelivered,
    error_code: values.error?.code ?? null,
    error_message: values.error?.message ?? null,
    report_attempt: values.report?.attempt ?? job.report_attempt,
    report_sha256: values.report?.sha256 ?? job.report_sha256,
    report_metrics: values.report === null ? job.report_metrics : values.report.metrics,
    now_ms: values.now_ms,
  });

const end = hot(
  (
    p: Params<{
      seq: number;
      from: JobStatus;
      attempt: number;
      status: JobStatus;
      progress: number;
      error_code: string | null;
      error_message: string | null;
      report_attempt: number | null;
      report_sha256: string | null;
      report_metrics: string | null;
      now_ms: number;
    }>,
  ) =>
    db
      .updateTable('job')
      .set({
        status: p('status'),
        progress: p('progress'),
        error_code: p('error_code'),
        error_message: p('error_message'),
        report_attempt: p('report_attempt'),
        report_sha256: p('report_sha256'),
        report_metrics: p('report_metrics'),
        events: sql<number>`events + 1`,
        updated_at_ms: p('now_ms'),
        ended_at_ms: p('now_ms'),
        deadline_at_ms: null,
        content_due_at_ms: sql<number | null>`${p('now_ms')} + content_kept_ms`,
      })
      .where('seq', '=', p('seq'))
      .where('status', '=', p('from'))
      .where('attempt', '=', p('attempt'))
      .returning('events'),
);
/** Ends a job as it stands in `job`. @returns undefined when it stands otherwise by now. */
export const endJob = async (
  trx: Trx,
  job: JobRow,
  values: {
    status: JobStatus;
    error: { code: string; message: string } | null;
    report: Report | null;
    now_ms: number;
  },
): Promise<JobRow | undefined> => {
  const { now_ms: nowMs } = values;
  const changes = {
    status: values.status,
    progress: values.status === 'completed' ? 1 : job.progress,
    error_code: values.error?.code ?? null,
    error_message: values.error?.message ?? null,
    report_attempt: values.report?.attempt ?? job.report_attempt,
    report_sha256: values.report?.sha256 ?? job.report_sha256,
    report_metrics: values.report === null ? job.report_metrics : values.report.metrics,
  };
  const found = await trx.get(end, {
    ...changes,
    seq: job.seq,
    from: job.status,
    attempt: job.attempt,
    now_ms: nowMs,
  });
  if (found === undefined) return undefined;
  const { events } = found;
  return {
    ...job,
    ...changes,
    events,
    updated_at_ms: nowMs,
    ended_at_ms: nowMs,
    deadline_at_ms: null,
    content_due_at_ms: job.content_kept_ms === null ? null : nowMs + job.content_kept_ms,
  };
};

const progress = hot((p: Params<{ seq: number; attempt: number; progress: number; now_ms: number }>) =>
  db
    .updateTable('job')
    .set({ progress: p('progress'), events: sql<number>`events + 1`, updated_at_ms: p('now_ms') })
    .where('seq', '=', p('seq'))
    .where('status', '=', 'running')
    .where('attempt', '=', p('attempt'))
    .returningAll(),
);
export const setProgress = (
  trx: Trx,
  job: JobRow,
  value: number,
  nowMs: number,
): Promise<JobRow | undefined> =>
  trx.get(progress, { seq: job.seq, attempt: job.attempt, progress: value, now_ms: nowMs });

const eventsAfterStatement = hot((p: Params<{ job_seq: number; after: number; limit: number }>) =>
  db
    .selectFrom('job_event')
    .selectAll()
    .where('job_seq', '=', p('job_seq'))
    .where('id', '>', p('after'))
    .orderBy('id')
    .limit(p('limit')),
);
export const eventsAfter = (reader: Reader, seq: number, after: number, limit: number): Promise<EventRow[]> =>
  reader.all(eventsAfterStatement, { job_seq: seq, after, limit });
