import type { JobStatus, Payload, ProblemCode } from '@aitbc/contracts';
import type { JobRow } from './tables.ts';

/** What can happen to a job. */
export const JOB_EVENTS = [
  'start',
  'complete',
  'fail',
  'fail_retryable',
  'lose_miner',
  'time_out',
  'give_back',
  'cancel',
  'expire',
  'refuse_funds',
  'refund',
] as const;
export type JobEventName = (typeof JOB_EVENTS)[number];

export type Decision =
  | { kind: 'apply'; to: JobStatus }
  /** Nothing to do: it is done already, or no longer concerns anybody. */
  | { kind: 'ignore' }
  | { kind: 'conflict'; code: ProblemCode };

/** `retry`: back to pending while attempts remain, else this end. */
type Entry = Decision | { kind: 'retry'; else: 'failed' | 'expired' };

const apply = (to: JobStatus): Entry => ({ kind: 'apply', to });
const retryElse = (end: 'failed' | 'expired'): Entry => ({ kind: 'retry', else: end });
const conflict = (code: ProblemCode): Entry => ({ kind: 'conflict', code });
const ignore: Entry = { kind: 'ignore' };

const ended: Record<JobEventName, Entry> = {
  start: ignore,
  complete: conflict('JOB_ALREADY_ENDED'),
  fail: conflict('JOB_ALREADY_ENDED'),
  fail_retryable: conflict('JOB_ALREADY_ENDED'),
  lose_miner: ignore,
  time_out: ignore,
  give_back: ignore,
  cancel: conflict('JOB_ALREADY_ENDED'),
  expire: ignore,
  refuse_funds: ignore,
  refund: ignore,
};

const TRANSITIONS: Record<JobStatus, Record<JobEventName, Entry>> = {
  pending: {
    start: apply('running'),
    // The attempt that reports was lost: another will run.
    complete: conflict('STALE_LEASE'),
    fail: conflict('STALE_LEASE'),
    fail_retryable: conflict('STALE_LEASE'),
    lose_miner: ignore,
    time_out: ignore,
    give_back: ignore,
    cancel: apply('cancelled'),
    expire: apply('expired'),
    refuse_funds: apply('failed'),
    refund: apply('failed'),
  },
  running: {
    start: ignore,
    complete: apply('completed'),
    // While another account could prove it wrong: see isFaultProven.
    fail: retryElse('failed'),
    fail_retryable: retryElse('failed'),
    lose_miner: retryElse('failed'),
    // Out of time for good: that is what expired means.
    time_out: retryElse('expired'),
    give_back: apply('pending'),
    cancel: apply('cancelled'),
    // Its time to start counts while it waits.
    expire: ignore,
    refuse_funds: ignore,
    // Nobody works for money that was given back.
    refund: apply('failed'),
  },
  completed: ended,
  failed: ended,
  cancelled: ended,
  expired: ended,
};

/** The attempts that count: a lease that never reached its miner does not. */
export const hasAttemptsLeft = (job: {
  attempt: number;
  undelivered: number;
  max_attempts: number;
}): boolean => job.attempt - job.undelivered < job.max_attempts;

/**
 * Whether a failure that a miner calls the job's own fault ends the job: a stranger's word alone does not, a second
 * account's does, and so does the first when nobody else is there to ask.
 * @param faults the accounts that said so before
 */
export const isFaultProven = (faults: readonly string[], accountId: string, canOthersRun: boolean): boolean =>
  !canOthersRun || faults.some((other) => other !== accountId);

/**
 * The whole life of a job in one function: every state, every event.
 * @param mayRetry whether a lost attempt may be followed by another
 */
export const decide = (status: JobStatus, event: JobEventName, mayRetry: boolean): Decision => {
  const entry = TRANSITIONS[status][event];
  if (entry.kind !== 'retry') return entry;
  return { kind: 'apply', to: mayRetry ? 'pending' : entry.else };
};

export type RefundWish = Pick<Payload<'payments.refund_requested'>, 'payment_id' | 'actor' | 'account_id'>;
export type RefundVerdict =
  | { kind: 'end'; status: 'cancelled' | 'failed' | 'expired' }
  /** It ended without being paid: the money is on its way back. */
  | { kind: 'ended' }
  | { kind: 'refuse'; code: Payload<'jobs.refund_refused'>['code'] };

const end = (status: 'cancelled' | 'failed' | 'expired'): RefundVerdict => ({ kind: 'end', status });
const refuse = (code: Payload<'jobs.refund_refused'>['code']): RefundVerdict => ({ kind: 'refuse', code });

/**
 * What a wish to have a job's money back does to the job. Money that goes back before the end ends the job, so that no
 * receipt can be made of it; money that was earned stays earned. This is the only place where either is decided.
 */
export const judgeRefund = (
  job: Pick<JobRow, 'status' | 'attempt' | 'undelivered' | 'lease_payment_id' | 'miner_account_id'>,
  wish: RefundWish,
): RefundVerdict => {
  const isPaidByIt = job.lease_payment_id === wish.payment_id;
  if (isTerminal(job.status))
    return job.status === 'completed' && isPaidByIt ? refuse('JOB_COMPLETED') : { kind: 'ended' };
  const isRunning = job.status === 'running';
  switch (wish.actor) {
    case 'operator':
      return end('cancelled');
    case 'payer':
      return isRunning ? refuse('JOB_RUNNING') : end('cancelled');
    case 'payee':
      // It gives back what it would have earned: only while it may earn it.
      return isRunning && isPaidByIt && job.miner_account_id === wish.account_id
        ? end('failed')
        : refuse('STALE_LEASE');
    case 'deadline':
      // What was begun is not stopped by it: the job's own times end it.
      return isRunning || job.attempt > job.undelivered ? refuse('JOB_RUNNING') : end('expired');
  }
};

export const isTerminal = (status: JobStatus): boolean => status !== 'pending' && status !== 'running';

export type ReportVerdict = 'accept' | 'repeat' | ProblemCode;

/**
 * What a report (a result, a failure) under a genuine lease of this job is worth.
 * @param reportSha256 of what it says; null for a progress report, which is never kept.
 */
export const judgeReport = (
  job: {
    status: JobStatus;
    attempt: number;
    report_attempt: number | null;
    /** Null also once the content is gone. */
    report_sha256: string | null;
  },
  leaseAttempt: number,
  reportSha256: string | null,
): ReportVerdict => {
  if (reportSha256 !== null && job.report_attempt === leaseAttempt && job.report_sha256 !== null)
    return job.report_sha256 === reportSha256 ? 'repeat' : 'RESULT_CONFLICT';
  if (job.attempt !== leaseAttempt) return 'STALE_LEASE';
  if (job.status === 'running') return 'accept';
  return job.status === 'pending' ? 'STALE_LEASE' : 'JOB_ALREADY_ENDED';
};
