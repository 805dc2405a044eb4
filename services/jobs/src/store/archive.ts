import { builder, hot, type Params, type Reader, rowsOf, type Trx } from '@aitbc/chassis';
import type { ArchiveRow, Tables } from '../tables.ts';
import type { OldJob } from './purge.ts';

const db = builder<Tables>();

const state = hot(() => db.selectFrom('archive').selectAll().where('id', '=', 1));
export const archiveState = (reader: Reader): Promise<ArchiveRow | undefined> => reader.get(state, {});

/** Begins a line. What was under way in the one before is in its archive, and stays here for this one too. */
export const beginLine = async (
  trx: Trx,
  row: Pick<ArchiveRow, 'line' | 'identity' | 'target' | 'hash'>,
): Promise<void> => {
  const values = { ...row, number: 0, entry: null, job_seqs: null };
  await trx.run(
    db
      .insertInto('archive')
      .values({ id: 1, ...values })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(values)),
  );
};

/** The part's file is in the archive: from now on its rows may go. @returns false when another process was faster */
export const beginPart = async (
  trx: Trx,
  part: Pick<ArchiveRow, 'line' | 'number' | 'hash'> & { entry: string; job_seqs: string },
): Promise<boolean> => {
  const { line, ...values } = part;
  const changed = await trx.run(
    db
      .updateTable('archive')
      .set(values)
      .where('line', '=', line)
      .where('number', '=', part.number - 1)
      .where('entry', 'is', null),
  );
  return changed === 1;
};
/** Its rows are gone. */
export const endPart = async (trx: Trx, part: Pick<ArchiveRow, 'line' | 'number'>): Promise<void> => {
  await trx.run(
    db
      .updateTable('archive')
      .set({ entry: null, job_seqs: null })
      .where('line', '=', part.line)
      .where('number', '=', part.number),
  );
};

/** Numbers of jobs that come as JSON. */
const given = (seqs: string) =>
  db.selectFrom(rowsOf(seqs, { seq: 'integer' }).as('given')).select('given.seq');
export const seqsText = (seqs: readonly number[]): string => JSON.stringify(seqs.map((seq) => [seq]));

const left = hot((p: Params<{ seqs: string; limit: number }>) =>
  db
    .selectFrom('job')
    .select(['seq', 'id', 'client_id', 'labels', 'ended_at_ms'])
    .where('seq', 'in', given(p('seqs')))
    .orderBy('seq')
    .limit(p('limit')),
);
/** Those of these jobs that are still here. */
export const jobsOf = (reader: Reader, seqs: string, limit: number): Promise<OldJob[]> =>
  reader.all(left, { seqs, limit });

// Each column by its name: a new one is archived when somebody has thought about it. Not here are contents, which are gone by
// then, and addresses that clients want to be called at.
const jobs = hot((p: Params<{ seqs: string }>) =>
  db
    .selectFrom('job')
    .select([
      'seq',
      'id',
      'client_id',
      'job_type',
      'status',
      'model',
      'key_id',
      'priority',
      'constraints',
      'labels',
      'parameters_sha256',
      'timeout_ms',
      'ttl_ms',
      'max_attempts',
      'attempt',
      'undelivered',
      'miner_id',
      'miner_account_id',
      'progress',
      'error_code',
      'payment_amount_minor',
      'payment_id',
      'payment_status',
      'lease_payment_id',
      'lease_price_minor',
      'report_attempt',
      'report_metrics',
      'created_at_ms',
      'updated_at_ms',
      'queued_at_ms',
      'started_at_ms',
      'ended_at_ms',
      'expires_at_ms',
      'content_gone_at_ms',
    ])
    .where('seq', 'in', given(p('seqs')))
    .orderBy('seq'),
);
const events = hot((p: Params<{ seqs: string }>) =>
  db
    .selectFrom('job_event')
    .select(['job_seq', 'id', 'type', 'status', 'attempt', 'progress', 'at_ms'])
    .where('job_seq', 'in', given(p('seqs')))
    .orderBy('job_seq')
    .orderBy('id'),
);
const losses = hot((p: Params<{ seqs: string }>) =>
  db
    .selectFrom('lost_attempt')
    .select(['job_seq', 'miner_id', 'account_id', 'is_fault'])
    .where('job_seq', 'in', given(p('seqs')))
    .orderBy('job_seq')
    .orderBy('miner_id'),
);
const receipts = hot((p: Params<{ seqs: string }>) =>
  db
    .selectFrom('receipt')
    .select(['job_seq', 'id', 'proof', 'created_at_ms'])
    .where('job_seq', 'in', given(p('seqs'))),
);

const byJob = <T extends { job_seq: number }>(rows: readonly T[]): Map<number, Omit<T, 'job_seq'>[]> => {
  const grouped = new Map<number, Omit<T, 'job_seq'>[]>();
  for (const { job_seq, ...row } of rows) {
    const of = grouped.get(job_seq) ?? [];
    of.push(row);
    grouped.set(job_seq, of);
  }
  return grouped;
};

/** What leaves with these jobs, as it goes into the archive. */
export const archivedRows = async (reader: Reader, seqs: readonly number[]) => {
  const these = { seqs: seqsText(seqs) };
  const found = await reader.all(jobs, these);
  const eventsOf = byJob(await reader.all(events, these));
  const lossesOf = byJob(await reader.all(losses, these));
  const receiptOf = byJob(await reader.all(receipts, these));
  return found.map(({ seq, constraints, labels, report_metrics, ...job }) => ({
    job: {
      ...job,
      constraints: JSON.parse(constraints) as unknown,
      labels: JSON.parse(labels) as unknown,
      report_metrics: report_metrics === null ? null : (JSON.parse(report_metrics) as unknown),
    },
    events: eventsOf.get(seq) ?? [],
    lost_attempts: lossesOf.get(seq) ?? [],
    receipt: receiptOf.get(seq)?.[0] ?? null,
  }));
};
export type ArchivedJob = Awaited<ReturnType<typeof archivedRows>>[number];
