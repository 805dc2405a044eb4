import { clock, type Trx } from '@aitbc/chassis';
import {
  CURRENCY,
  canonicalJson,
  fromMinor,
  type JobResult,
  type JobStatus,
  type JobType,
  newId,
  notFound,
  Problem,
  type ProblemCode,
  type Receipt,
  saltedSha256,
  sha256,
  toTimestamp,
} from '@aitbc/contracts';
import type { z } from 'zod';

import { judgeReport } from '../domain.ts';
import { readWritten } from '../door/written.ts';
import type { Lease } from '../lease.ts';
import { findMiner } from '../store/fleet.ts';
import { addEvent, findJob, type Report, setProgress } from '../store/jobs.ts';
import { insertReceipt, receiptOf } from '../store/receipts.ts';
import type { JobRow } from '../tables.ts';
import { resultOf, toReceipt } from '../views.ts';
import type { Work } from '../work.ts';
import { finish, giveBack, loseAttempt } from './lifecycle.ts';

export interface Verdict {
  status: JobStatus;
  receipt: z.output<typeof Receipt> | null;
}

/** A failure without words of its own. */
const UNNAMED = { code: 'MINER_FAILED', message: 'The miner could not run the job.' };

const UNREADABLE = { code: 'RESULT_UNREADABLE', message: 'The result is not the answer of a model server.' };

const REFUSALS: Partial<Record<ProblemCode, string>> = {
  STALE_LEASE: 'This lease is over; the job is no longer yours. Stop and drop it.',
  JOB_ALREADY_ENDED: 'The job has ended; nothing more is wanted of it.',
  RESULT_CONFLICT: 'Another result was accepted for this attempt.',
};
const refuse = (code: ProblemCode): Problem => new Problem(code, REFUSALS[code] ?? 'Refused.');

/** Whose a miner is, which never changes. One that was leased to by another process may not be in the copy here yet. */
const accountOf = async (work: Work, minerId: string): Promise<string | undefined> => {
  const known = work.fleet.miner(minerId);
  if (known !== undefined || !work.store.isShared) return known?.account_id;
  return (await findMiner(work.store.read, minerId))?.account_id;
};

/**
 * The lease of a report, if it was made here for this job and a miner of this account.
 * @throws Problem NOT_FOUND for any other, whatever is wrong with it.
 */
export const openLease = async (
  work: Work,
  accountId: string,
  report: { job_id: string; lease: string },
): Promise<Lease> => {
  const lease = work.leases.open(report.lease);
  if (
    lease === null ||
    lease.job_id !== report.job_id ||
    (await accountOf(work, lease.miner_id)) !== accountId
  )
    throw notFound('lease');
  work.seen.add(lease.miner_id);
  return lease;
};

/** What a report says, in one hash: a second one is the same only when it says the same. */
const hashOf = (report: Said, resultText: string | null): string =>
  resultText === null
    ? sha256(canonicalJson({ error: report.error ?? null, retryable: report.retryable ?? false }))
    : sha256(resultText);

const claimsFor = (job: JobRow, id: string, resultSha256: string, atMs: number) => ({
  receipt_id: id,
  job_id: job.id,
  attempt: job.attempt,
  client_id: job.client_id,
  miner_id: job.miner_id as string,
  job_type: job.job_type,
  parameters_sha256: job.parameters_sha256,
  result_sha256: resultSha256,
  // What the attempt was leased for, whatever was paid or asked since.
  price: fromMinor(job.lease_price_minor),
  currency: CURRENCY,
  started_at: toTimestamp(job.started_at_ms as number),
  completed_at: toTimestamp(atMs),
});

/** A report without the word that names its lease. */
export type Said = Omit<JobResult, 'lease'>;

export interface PreparedReport {
  readonly report: Said;
  readonly lease: Lease;
  readonly resultText: string | null;
  readonly sha256: string;
}

const reportOf = (job: JobRow, { report, sha256: hash }: PreparedReport): Report => ({
  attempt: job.attempt,
  sha256: hash,
  metrics: report.metrics === undefined ? null : JSON.stringify(report.metrics),
});

/** All of a report that can be looked at without the job. @throws Problem NOT_FOUND */
export const prepareReport = async (
  work: Work,
  accountId: string,
  report: JobResult,
): Promise<PreparedReport> => {
  return preparedUnder(await openLease(work, accountId, report), report);
};

/** The same under a lease that is known to be the reporter's. */
export const preparedUnder = (lease: Lease, report: Said): PreparedReport => {
  const resultText = report.status === 'completed' ? canonicalJson(report.result) : null;
  return { report, lease, resultText, sha256: hashOf(report, resultText) };
};

const repeated = async (trx: Trx, job: JobRow): Promise<Verdict> => {
  // The report that it repeats may be of the same commit.
  if (job.status === 'completed') await trx.flush();
  const receipt = job.status === 'completed' ? await receiptOf(trx, job.seq) : undefined;
  return {
    status: job.status,
    receipt: receipt === undefined ? null : toReceipt(job, receipt, resultOf(job, receipt)),
  };
};

/**
 * Signed inside the transaction: the claims are what is committed, and with one thread and one writer a signature
 * (60 µs) costs the same before it, plus a second look at the job.
 */
const complete = async (trx: Trx, work: Work, job: JobRow, prepared: PreparedReport): Promise<Verdict> => {
  const nowMs = Math.max(clock.nowMs(), job.started_at_ms as number);
  const ended = await finish(trx, work, job, {
    status: 'completed',
    outcome: 'completed',
    error: null,
    report: reportOf(job, prepared),
    resultBytes: Buffer.byteLength(prepared.resultText as string),
    nowMs,
  });
  if (ended === undefined) throw refuse('STALE_LEASE');
  const id = newId();
  const resultText = prepared.resultText as string;
  const proof = work.keyring.sign(claimsFor(ended, id, saltedSha256(job.salt, resultText), nowMs));
  const receipt = { id, proof, created_at_ms: nowMs };
  await insertReceipt(trx, { ...receipt, job_seq: job.seq, result: resultText });
  return { status: 'completed', receipt: toReceipt(ended, receipt, prepared.report.result) };
};

/** What a model server would never answer; by the type of the job. */
const NO_ANSWER: Partial<Record<JobType, (result: unknown) => boolean>> = {
  chat_completion: (result) => readWritten('chat', result) === null,
  text_completion: (result) => readWritten('completion', result) === null,
};

/**
 * Why an attempt failed; null when its job is done. A result that nobody could read as an answer is not paid for: another miner
 * may give one.
 */
const failureOf = (job: JobRow, { report, resultText }: PreparedReport) => {
  if (resultText === null) return { error: report.error ?? UNNAMED, isRetryable: report.retryable === true };
  if (NO_ANSWER[job.job_type]?.(report.result) !== true) return null;
  return { error: UNREADABLE, isRetryable: true };
};

/** So many attempts of a job may end uncounted; a miner that returns all it gets burns a job's time no longer. */
const UNCOUNTED_MAX = 5;

/** A miner could not run the job: it, or its offer, needs a moment; the job is not asked of it again at once. */
const rest = (trx: Trx, work: Work, job: JobRow): void =>
  // Before the hook that offers the job again, without the miner that rests from it.
  trx.afterCommit(() =>
    work.rests.add({
      jobId: job.id,
      minerId: job.miner_id as string,
      attempt: job.attempt,
      ttlMs: job.ttl_ms,
    }),
  );

/** No work was begun, so no attempt was made. @returns undefined when this one counts all the same. */
const returned = async (
  trx: Trx,
  work: Work,
  job: JobRow,
  prepared: PreparedReport,
): Promise<JobRow | undefined> => {
  const { report } = prepared;
  if (report.not_started !== true || job.undelivered >= UNCOUNTED_MAX) return undefined;
  const { code, message } = report.error ?? UNNAMED;
  const why = { reason: 'returned', message: `${code}: ${message}` };
  return await giveBack(trx, work, job, clock.nowMs(), why, reportOf(job, prepared));
};

/**
 * Takes a result or a failure. Exactly one result of a job is ever accepted: the lease must be current, and the
 * receipt's primary key is the job.
 * @param read the job as this transaction has read it, if it has
 * @throws Problem STALE_LEASE, JOB_ALREADY_ENDED, RESULT_CONFLICT
 */
export const acceptReport = async (
  trx: Trx,
  work: Work,
  prepared: PreparedReport,
  read?: JobRow,
): Promise<Verdict> => {
  const { lease } = prepared;
  const job = read ?? (await findJob(trx, lease.job_id));
  if (job === undefined) throw notFound('job');
  const verdict = judgeReport(job, lease.attempt, prepared.sha256);
  if (verdict === 'repeat') return await repeated(trx, job);
  if (verdict !== 'accept') throw refuse(verdict);
  const failure = failureOf(job, prepared);
  if (failure === null) return await complete(trx, work, job, prepared);
  if (failure.isRetryable) rest(trx, work, job);
  const lost =
    (await returned(trx, work, job, prepared)) ??
    (await loseAttempt(trx, work, job, {
      event: failure.isRetryable ? 'fail_retryable' : 'fail',
      outcome: 'failed',
      error: failure.error,
      report: reportOf(job, prepared),
      nowMs: clock.nowMs(),
    }));
  if (lost === undefined) throw refuse('STALE_LEASE');
  return { status: lost.status, receipt: null };
};

/** @throws Problem STALE_LEASE, JOB_ALREADY_ENDED */
export const acceptProgress = async (
  trx: Trx,
  lease: Lease,
  report: { progress: number; message?: string | undefined },
): Promise<JobStatus> => {
  const job = await findJob(trx, lease.job_id);
  if (job === undefined) throw notFound('job');
  const verdict = judgeReport(job, lease.attempt, null);
  if (verdict !== 'accept') throw refuse(verdict as ProblemCode);
  const nowMs = clock.nowMs();
  const updated = await setProgress(trx, job, report.progress, nowMs);
  if (updated === undefined) throw refuse('STALE_LEASE');
  addEvent(trx, updated, 'progress', report.message ?? null, nowMs);
  return updated.status;
};
