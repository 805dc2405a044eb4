import { sendAs, type Trx } from '@aitbc/chassis';
import type { JobStatus, Payload } from '@aitbc/contracts';
import type { Requirement } from '../dispatcher/match.ts';
import { decide, hasAttemptsLeft, isFaultProven, type JobEventName } from '../domain.ts';
import type { WaitingJob } from '../store/backlog.ts';
import { addLane, findLane } from '../store/fleet.ts';
import { addEvent, endJob, findJob, type Report, requeueJob } from '../store/jobs.ts';
import { accountsThatLost, addLostAttempt } from '../store/lost-attempts.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';

const send = sendAs<'jobs'>();

export type Outcome = Payload<'jobs.attempt_ended'>['outcome'];
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** The lane of a job, also when it ran, or waited for its money, so long that memory forgot it. */
const laneOf = (work: Work, reader: Pick<Trx, 'all' | 'get'>, id: string, nowMs: number) => {
  const known = work.fleet.lane(id);
  if (known !== undefined) return known;
  const requirement = findLane(reader, id);
  if (requirement === undefined) return undefined;
  openLane(work, id, requirement, nowMs);
  return work.fleet.lane(id);
};

/** Names of one account that an offer says to avoid, at most; an account with more has lost its way. */
const AVOID_MAX = 100;

/** Miners of the accounts that lost this job, as long as one of another account could run it. */
const minersToAvoid = (work: Work, reader: Pick<Trx, 'all' | 'get'>, job: WaitingJob): string[] => {
  if (job.attempt === 0) return [];
  const lost = accountsThatLost(reader, job.seq).map(({ account_id }) => account_id);
  if (lost.length === 0 || !work.fleet.isCapable(job.lane, Date.now(), lost)) return [];
  return lost.flatMap((account) => work.fleet.minersOf(account)).slice(0, AVOID_MAX);
};

const withRest = (avoid: string[], resting: string | undefined): string[] =>
  resting === undefined || avoid.includes(resting) ? avoid : [...avoid, resting];

/** Tells the dispatchers that a job may run. Again is harmless. */
export const offerJob = (work: Work, reader: Pick<Trx, 'all' | 'get'>, job: WaitingJob): void =>
  work.hints.queued({
    job_id: job.id,
    lane: job.lane,
    account_id: job.client_id,
    priority: job.priority,
    avoid: withRest(minersToAvoid(work, reader, job), work.rests.of(job.id)),
  });

/** A miner that could not run this job may be asked again. */
export const offerRested = (work: Work, jobId: string): void => {
  const job = findJob(work.store.read, jobId);
  if (job?.status === 'pending' && job.is_funded === 1) offerJob(work, work.store.read, job);
};

/** A lane that exists from now on: in memory, and in the offers of polls that are open already. */
const openLane = (work: Work, id: string, requirement: Requirement, nowMs: number): void => {
  if (work.fleet.lane(id) !== undefined) return;
  work.polls.announce(work.fleet.setLane(id, requirement, nowMs));
};

/** Keeps a lane that is new. */
export const keepLane = (trx: Trx, work: Work, id: string, requirement: Requirement, nowMs: number): void => {
  addLane(trx, id, requirement, nowMs);
  trx.afterCommit(() => openLane(work, id, requirement, nowMs));
};

/** A job that waits from now on: offered once the commit is on disk. */
export const offerAfterCommit = (trx: Trx, work: Work, job: JobRow, nowMs: number): void => {
  trx.afterCommit(() => {
    const lane = laneOf(work, work.store.read, job.lane, nowMs);
    if (lane !== undefined) lane.usedAtMs = nowMs;
    offerJob(work, work.store.read, job);
  });
};

const leaseEnded = (trx: Trx, work: Work, job: JobRow, outcome: Outcome): void => {
  const minerId = job.miner_id as string;
  send(trx, 'jobs.attempt_ended', {
    job_id: job.id,
    miner_id: minerId,
    attempt: job.attempt,
    outcome,
    client_account_id: job.client_id,
  });
  if (outcome !== 'completed') work.metrics.attemptsLost.inc({ outcome });
  trx.afterCommit(() => {
    work.load.add(minerId, -1);
    work.polls.freed(minerId);
  });
};

/**
 * Tells payments how a job ended: the same words each time. What is paid is what the attempt that completed was leased
 * for, which is what its receipt says.
 */
export const sayEnded = (trx: Trx, job: JobRow): void => {
  const isCompleted = job.status === 'completed';
  send(trx, 'jobs.ended', {
    job_id: job.id,
    account_id: job.client_id,
    status: job.status as Exclude<JobStatus, 'pending' | 'running'>,
    miner_id: job.miner_id,
    miner_account_id: job.miner_account_id,
    started: job.attempt > job.undelivered,
    ended_at_ms: job.ended_at_ms as number,
    payment_id: isCompleted ? job.lease_payment_id : null,
    price_minor: isCompleted ? job.lease_price_minor : 0,
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
  sayEnded(trx, ended);
  trx.afterCommit(() => {
    work.metrics.active[job.status as 'pending' | 'running'] -= 1;
    work.metrics.ended.inc({ status });
    if (job.status === 'running' && job.started_at_ms !== null)
      work.metrics.runTime.observe((nowMs - job.started_at_ms) / 1_000);
    if (job.status === 'pending' && job.is_funded === 1)
      work.hints.withdrawn({ job_id: job.id, account_id: job.client_id, lane: job.lane });
  });
  return ended;
};

/**
 * Whether a lost attempt is followed by another. An account that lost the job before counts once while another could run
 * it: it is avoided then, and got the job again by a race at most. With nobody else there each of its losses counts, so
 * that a job always ends.
 */
const mayRetry = (
  trx: Trx,
  work: Work,
  job: JobRow,
  lost: { event: JobEventName; nowMs: number },
): { mayRetry: boolean; isCounted: boolean } => {
  const accountId = job.miner_account_id;
  if (job.status !== 'running' || accountId === null) return { mayRetry: false, isCounted: true };
  const before = accountsThatLost(trx, job.seq);
  const others = [accountId, ...before.map(({ account_id }) => account_id)];
  laneOf(work, trx, job.lane, lost.nowMs);
  const canOthersRun = work.fleet.isCapable(job.lane, lost.nowMs, others);
  const isCounted = !canOthersRun || before.every(({ account_id }) => account_id !== accountId);
  const faults = before.filter(({ isFault }) => isFault).map(({ account_id }) => account_id);
  const isOver = lost.event === 'fail' && isFaultProven(faults, accountId, canOthersRun);
  return { isCounted, mayRetry: !isOver && (!isCounted || hasAttemptsLeft(job)) };
};

/**
 * An attempt is over without a result: back to waiting while attempts remain, else the end. A miner's word that the job
 * itself is at fault ends it when a second account says so too, or when no other account could be asked.
 */
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
  const ruling = mayRetry(trx, work, job, lost);
  const decision = decide(job.status, lost.event, ruling.mayRetry);
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
    undelivered: job.undelivered + (ruling.isCounted ? 0 : 1),
    error: lost.error,
    report: lost.report,
    now_ms: lost.nowMs,
  });
  if (waiting === undefined) return undefined;
  addLostAttempt(trx, {
    job_seq: job.seq,
    miner_id: job.miner_id as string,
    account_id: job.miner_account_id,
    is_fault: lost.event === 'fail' ? 1 : 0,
  });
  addEvent(trx, waiting, 'retrying', lost.error.message, lost.nowMs);
  leaseEnded(trx, work, job, lost.outcome);
  backToWaiting(trx, work, waiting, lost.nowMs);
  return waiting;
};

const backToWaiting = (trx: Trx, work: Work, waiting: JobRow, nowMs: number): void => {
  send(trx, 'jobs.requeued', { job_id: waiting.id, attempt: waiting.attempt });
  trx.afterCommit(() => {
    work.metrics.active.running -= 1;
    work.metrics.active.pending += 1;
  });
  offerAfterCommit(trx, work, waiting, nowMs);
};

const GONE = { reason: 'request_gone', message: 'the miner went away before it got the job' };

/**
 * A lease that never reached its miner, whose request had gone, or that the miner returned before any work: the attempt
 * does not count, against nobody.
 */
export const giveBack = (
  trx: Trx,
  work: Work,
  job: JobRow,
  nowMs: number,
  why: { reason: string; message: string } = GONE,
  report: Report | null = null,
): JobRow | undefined => {
  if (decide(job.status, 'give_back', true).kind !== 'apply') return undefined;
  const waiting = requeueJob(trx, job, {
    undelivered: job.undelivered + 1,
    error: null,
    report,
    now_ms: nowMs,
  });
  if (waiting === undefined) return undefined;
  work.metrics.matchesRefused.inc({ reason: why.reason });
  addEvent(trx, waiting, 'retrying', why.message, nowMs);
  leaseEnded(trx, work, job, 'returned');
  backToWaiting(trx, work, waiting, nowMs);
  return waiting;
};
