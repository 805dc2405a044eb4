import { sendAs, type Trx } from '@aitbc/chassis';
import type { JobStatus, Payload } from '@aitbc/contracts';
import type { Requirement } from '../dispatcher/match.ts';
import { decide, hasAttemptsLeft, type JobEventName } from '../domain.ts';
import { paysOf, requirementOfRow } from '../requirement.ts';
import type { WaitingJob } from '../store/backlog.ts';
import { addEvent, addLostAttempt, endJob, minersThatLost, type Report, requeueJob } from '../store/jobs.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';

const send = sendAs<'jobs'>();

export type Outcome = Payload<'jobs.attempt_ended'>['outcome'];
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** Accounts whose miners lost this job, as long as another's could run it: one account under many names is one. */
const accountsToAvoid = (
  work: Work,
  reader: Pick<Trx, 'all' | 'get'>,
  job: WaitingJob,
  requirement: Requirement,
): string[] => {
  if (job.attempt === 0) return [];
  const miners = minersThatLost(reader, job.seq).map((id) => work.fleet.miner(id)?.account_id);
  const lost = [...new Set(miners.filter((id) => id !== undefined))];
  const isElsewhere = () => work.fleet.capacity(requirement, Date.now(), lost) === 'capable';
  return lost.length > 0 && isElsewhere() ? lost : [];
};

/** Tells the dispatchers that a job may run. Again is harmless. */
export const offerJob = (work: Work, reader: Pick<Trx, 'all' | 'get'>, job: WaitingJob): void => {
  const requirement = requirementOfRow(job);
  work.hints.queued({
    job_id: job.id,
    account_id: job.client_id,
    requirement,
    pays_minor: paysOf(job),
    priority: job.priority,
    avoid: accountsToAvoid(work, reader, job, requirement),
  });
};

/** A job that waits from now on, or on other terms: offered once the commit is on disk. */
export const offerAfterCommit = (trx: Trx, work: Work, job: WaitingJob): void =>
  trx.afterCommit(() => offerJob(work, work.store.read, job));

const leaseEnded = (trx: Trx, work: Work, job: JobRow, outcome: Outcome): void => {
  const minerId = job.miner_id as string;
  send(trx, 'jobs.attempt_ended', { job_id: job.id, miner_id: minerId, attempt: job.attempt, outcome });
  if (outcome !== 'completed') work.metrics.attemptsLost.inc({ outcome });
  trx.afterCommit(() => {
    work.load.add(minerId, -1);
    work.polls.freed(minerId);
  });
};

/**
 * Ends a job for good and tells everyone concerned, in one transaction.
 * @param job as it stands now, pending or running.
 */
export const finish = (
  trx: Trx,
  work: Work,
  job: JobRow,
  end: {
    status: Exclude<JobStatus, 'pending' | 'running'>;
    outcome: Outcome;
    error: Failure | null;
    report: Report | null;
    nowMs: number;
  },
): JobRow | undefined => {
  const { status, nowMs } = end;
  const ended = endJob(trx, job, { status, error: end.error, report: end.report, now_ms: nowMs });
  if (ended === undefined) return undefined;
  addEvent(trx, ended, status, end.error?.message ?? null, nowMs);
  if (job.status === 'running') leaseEnded(trx, work, job, end.outcome);
  send(trx, 'jobs.ended', {
    job_id: job.id,
    account_id: job.client_id,
    status,
    miner_id: ended.miner_id,
    miner_account_id: ended.miner_account_id,
    started: job.attempt > job.undelivered,
    ended_at_ms: nowMs,
  });
  trx.afterCommit(() => {
    work.metrics.active[job.status as 'pending' | 'running'] -= 1;
    work.metrics.ended.inc({ status });
    if (job.status === 'running' && job.started_at_ms !== null)
      work.metrics.runTime.observe((nowMs - job.started_at_ms) / 1_000);
    if (job.status === 'pending' && job.is_funded === 1) work.hints.withdrawn({ job_id: job.id });
  });
  return ended;
};

/** An attempt is over without a result: back to waiting while attempts remain, else the end. */
export const loseAttempt = (
  trx: Trx,
  work: Work,
  job: JobRow,
  lost: {
    event: Extract<JobEventName, 'fail' | 'fail_retryable' | 'lose_miner' | 'time_out'>;
    outcome: Outcome;
    error: Failure;
    report: Report | null;
    nowMs: number;
  },
): JobRow | undefined => {
  const decision = decide(job.status, lost.event, hasAttemptsLeft(job));
  if (decision.kind !== 'apply') return undefined;
  if (decision.to !== 'pending') {
    return finish(trx, work, job, {
      status: decision.to as 'failed' | 'expired',
      outcome: lost.outcome,
      error: lost.error,
      report: lost.report,
      nowMs: lost.nowMs,
    });
  }
  const waiting = requeueJob(trx, job, {
    undelivered: job.undelivered,
    error: lost.error,
    report: lost.report,
    now_ms: lost.nowMs,
  });
  if (waiting === undefined) return undefined;
  addLostAttempt(trx, job.seq, job.miner_id as string);
  addEvent(trx, waiting, 'retrying', lost.error.message, lost.nowMs);
  leaseEnded(trx, work, job, lost.outcome);
  backToWaiting(trx, work, waiting);
  return waiting;
};

const backToWaiting = (trx: Trx, work: Work, waiting: JobRow): void => {
  trx.afterCommit(() => {
    work.metrics.active.running -= 1;
    work.metrics.active.pending += 1;
  });
  offerAfterCommit(trx, work, waiting);
};

/** A lease that never reached its miner, whose request had gone: the attempt does not count, against nobody. */
export const giveBack = (trx: Trx, work: Work, job: JobRow, nowMs: number): void => {
  if (decide(job.status, 'give_back', true).kind !== 'apply') return;
  const waiting = requeueJob(trx, job, {
    undelivered: job.undelivered + 1,
    error: null,
    report: null,
    now_ms: nowMs,
  });
  if (waiting === undefined) return;
  work.metrics.matchesRefused.inc({ reason: 'request_gone' });
  addEvent(trx, waiting, 'retrying', 'the miner went away before it got the job', nowMs);
  leaseEnded(trx, work, job, 'cancelled');
  backToWaiting(trx, work, waiting);
};
