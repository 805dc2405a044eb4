import { clock, sendAs, type Trx } from '@aitbc/chassis';
import { fromMinor, type JobStatus, type Payload, toTimestamp } from '@aitbc/contracts';
import type { Requirement } from '../dispatcher/match.ts';
import { decide, hasAttemptsLeft, isFaultProven, type JobEventName } from '../domain.ts';
import { slotsTopic } from '../load.ts';
import { paysOf, requirementOfRow } from '../requirement.ts';
import type { WaitingJob } from '../store/backlog.ts';
import { addEvent, endJob, findJob, type Report, requeueJob } from '../store/jobs.ts';
import { countLoad } from '../store/load.ts';
import { accountsThatLost, addLostAttempt } from '../store/lost-attempts.ts';
import { countUsage } from '../store/usage.ts';
import type { JobRow } from '../tables.ts';
import { usageOf } from '../usage.ts';
import type { Work } from '../work.ts';

const send = sendAs<'jobs'>();

export type Outcome = Payload<'jobs.attempt_ended'>['outcome'];
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** Accounts whose miners lost this job, as long as another's could run it: one account under many names is one. */
const accountsToAvoid = async (
  work: Work,
  reader: Pick<Trx, 'all' | 'get'>,
  job: WaitingJob,
  requirement: Requirement,
): Promise<string[]> => {
  if (job.attempt === 0) return [];
  const lost = (await accountsThatLost(reader, job.seq)).map(({ account_id }) => account_id);
  const isElsewhere = () => work.fleet.capacity(requirement, clock.nowMs(), lost) === 'capable';
  return lost.length > 0 && isElsewhere() ? lost : [];
};

/** Whom a job that waits is not given to: accounts by what the file knows of its attempts, and a miner that rests from it. */
const avoidedBy = async (
  work: Work,
  reader: Pick<Trx, 'all' | 'get'>,
  job: WaitingJob,
  requirement: Requirement,
): Promise<string[]> => {
  const resting = work.rests.of(job.id);
  const accounts = await accountsToAvoid(work, reader, job, requirement);
  return resting === undefined ? accounts : [...accounts, resting];
};

/**
 * Whether a miner may not have a job that waits. The index knows what it was told last, which a restart, another miner or
 * a lost hint may have overtaken; this is read from the file at the moment of the start.
 */
export const isAvoided = async (
  work: Work,
  reader: Pick<Trx, 'all' | 'get'>,
  job: WaitingJob,
  requirement: Requirement,
  miner: { readonly id: string; readonly accountId: string },
): Promise<boolean> =>
  (await avoidedBy(work, reader, job, requirement)).some(
    (name) => name === miner.id || name === miner.accountId,
  );

/** Tells the dispatchers that a job may run. Again is harmless. */
export const offerJob = async (
  work: Work,
  reader: Pick<Trx, 'all' | 'get'>,
  job: WaitingJob,
): Promise<void> => {
  const requirement = requirementOfRow(job);
  if (requirement.miner_id !== undefined) work.nameMiner(requirement.miner_id);
  work.hints.queued({
    job_id: job.id,
    account_id: job.client_id,
    requirement,
    pays_minor: paysOf(job),
    priority: job.priority,
    avoid: await avoidedBy(work, reader, job, requirement),
  });
};

/** A miner that could not run this job may be asked again. */
export const offerRested = async (work: Work, jobId: string): Promise<void> => {
  try {
    const job = await findJob(work.store.read, jobId);
    if (job?.status === 'pending' && job.is_funded === 1) await offerJob(work, work.store.read, job);
  } catch {
    work.hints.missed();
  }
};

/** A job that waits from now on, or on other terms: offered once the commit is on disk. */
export const offerAfterCommit = (trx: Trx, work: Work, job: WaitingJob): void =>
  // A server that went away since the commit must not end this process: nobody waits for this.
  trx.afterCommit(() => offerJob(work, work.store.read, job).catch(work.hints.missed));

/**
 * A job that may run for the first time: a dispatcher looks for a miner while the commit goes to the disk. The match that it
 * proposes is decided after that commit, in a transaction of its own; and finds no job when the commit failed.
 */
export const offerWithCommit = (trx: Trx, work: Work, job: WaitingJob): void =>
  job.attempt > 0
    ? offerAfterCommit(trx, work, job)
    : trx.whileCommitting(() => offerJob(work, work.store.read, job).catch(work.hints.missed));

const leaseEnded = async (trx: Trx, work: Work, job: JobRow, outcome: Outcome): Promise<void> => {
  const minerId = job.miner_id as string;
  await send(trx, 'jobs.attempt_ended', {
    job_id: job.id,
    miner_id: minerId,
    attempt: job.attempt,
    outcome,
    client_account_id: job.client_id,
  });
  // Its poll may be held by another process.
  if (work.store.isShared) trx.notify(slotsTopic(minerId));
  trx.afterCommit(() => {
    if (outcome !== 'completed') work.metrics.attemptsLost.inc({ outcome });
    work.load.add(minerId, -1);
    work.polls.freed(minerId);
  });
};

/**
 * Tells payments how a job ended: the same words each time. What is paid is what the attempt that completed was leased
 * for, which is what its receipt says.
 */
export const sayEnded = async (trx: Trx, job: JobRow): Promise<void> => {
  const isCompleted = job.status === 'completed';
  await send(trx, 'jobs.ended', {
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

/** For the webhooks of its client, where there are any, and for its own. */
const announce = async (trx: Trx, work: Work, job: JobRow): Promise<void> => {
  if (job.callback_url === null && !work.listeners.has(job.client_id)) return;
  const status = job.status as Exclude<JobStatus, 'pending' | 'running'>;
  const isCompleted = status === 'completed';
  const endedAtMs = job.ended_at_ms as number;
  await send(trx, 'jobs.announced', {
    account_ids: [job.client_id],
    object_id: job.id,
    at_ms: endedAtMs,
    fact: {
      type: `job.${status}`,
      data: {
        job_id: job.id,
        status,
        miner_id: job.miner_id,
        payment_id: job.payment_id,
        price: isCompleted ? fromMinor(job.lease_price_minor) : 0,
        ended_at: toTimestamp(endedAtMs),
      },
    },
    ...(job.callback_url === null ? {} : { callback_url: job.callback_url }),
  });
};

/**
 * Ends a job for good and tells everyone concerned, in one transaction.
 * @param job as it stands now, pending or running.
 */
export const finish = async (
  trx: Trx,
  work: Work,
  job: JobRow,
  end: {
    status: Exclude<JobStatus, 'pending' | 'running'>;
    outcome: Outcome;
    error: Failure | null;
    report: Report | null;
    /** Of the result that it ends with. */
    resultBytes?: number;
    nowMs: number;
  },
): Promise<JobRow | undefined> => {
  const { status, nowMs } = end;
  const ended = await endJob(trx, job, { status, error: end.error, report: end.report, now_ms: nowMs });
  if (ended === undefined) return undefined;
  addEvent(trx, ended, status, end.error?.message ?? null, nowMs);
  if (job.status === 'running') await leaseEnded(trx, work, job, end.outcome);
  await sayEnded(trx, ended);
  await announce(trx, work, ended);
  trx.gather(countUsage, usageOf(ended, work.store.place));
  const { resultBytes = 0 } = end;
  trx.gather(countLoad, {
    account_id: job.client_id,
    place: work.store.place,
    open_jobs: -1,
    content_bytes: resultBytes,
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

/**
 * Whether a lost attempt is followed by another. An account that lost the job before counts once while another could run
 * it: it is not given the job then, and got it again while nobody else was there. With nobody else there each of its losses
 * counts, so that a job always ends.
 */
const mayRetry = async (
  trx: Trx,
  work: Work,
  job: JobRow,
  lost: { event: JobEventName; nowMs: number },
): Promise<{ mayRetry: boolean; isCounted: boolean }> => {
  const accountId = job.miner_account_id;
  if (job.status !== 'running' || accountId === null) return { mayRetry: false, isCounted: true };
  const before = await accountsThatLost(trx, job.seq);
  const others = [accountId, ...before.map(({ account_id }) => account_id)];
  const canOthersRun = work.fleet.capacity(requirementOfRow(job), lost.nowMs, others) === 'capable';
  const isCounted = !canOthersRun || before.every(({ account_id }) => account_id !== accountId);
  const faults = before.filter(({ isFault }) => isFault).map(({ account_id }) => account_id);
  const isOver = lost.event === 'fail' && isFaultProven(faults, accountId, canOthersRun);
  return { isCounted, mayRetry: !isOver && (!isCounted || hasAttemptsLeft(job)) };
};

/**
 * An attempt is over without a result: back to waiting while attempts remain, else the end. A miner's word that the job
 * itself is at fault ends it when a second account says so too, or when no other account could be asked.
 */
export const loseAttempt = async (
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
): Promise<JobRow | undefined> => {
  const ruling = await mayRetry(trx, work, job, lost);
  const decision = decide(job.status, lost.event, ruling.mayRetry);
  if (decision.kind !== 'apply') return undefined;
  if (decision.to !== 'pending') {
    return await finish(trx, work, job, {
      status: decision.to as 'failed' | 'expired',
      outcome: lost.outcome,
      error: lost.error,
      report: lost.report,
      nowMs: lost.nowMs,
    });
  }
  const waiting = await requeueJob(trx, job, {
    undelivered: job.undelivered + (ruling.isCounted ? 0 : 1),
    error: lost.error,
    report: lost.report,
    now_ms: lost.nowMs,
  });
  if (waiting === undefined) return undefined;
  await addLostAttempt(trx, {
    job_seq: job.seq,
    miner_id: job.miner_id as string,
    account_id: job.miner_account_id,
    is_fault: lost.event === 'fail' ? 1 : 0,
  });
  addEvent(trx, waiting, 'retrying', lost.error.message, lost.nowMs);
  await leaseEnded(trx, work, job, lost.outcome);
  await backToWaiting(trx, work, waiting);
  return waiting;
};

const backToWaiting = async (trx: Trx, work: Work, waiting: JobRow): Promise<void> => {
  await send(trx, 'jobs.requeued', { job_id: waiting.id, attempt: waiting.attempt });
  trx.afterCommit(() => {
    work.metrics.active.running -= 1;
    work.metrics.active.pending += 1;
  });
  offerAfterCommit(trx, work, waiting);
};

const GONE = { reason: 'request_gone', message: 'the miner went away before it got the job' };

/**
 * A lease that never reached its miner, whose request had gone, or that the miner returned before any work: the attempt
 * does not count, against nobody.
 */
export const giveBack = async (
  trx: Trx,
  work: Work,
  job: JobRow,
  nowMs: number,
  why: { reason: string; message: string } = GONE,
  report: Report | null = null,
): Promise<JobRow | undefined> => {
  if (decide(job.status, 'give_back', true).kind !== 'apply') return undefined;
  const waiting = await requeueJob(trx, job, {
    undelivered: job.undelivered + 1,
    error: null,
    report,
    now_ms: nowMs,
  });
  if (waiting === undefined) return undefined;
  trx.afterCommit(() => work.metrics.matchesRefused.inc({ reason: why.reason }));
  addEvent(trx, waiting, 'retrying', why.message, nowMs);
  await leaseEnded(trx, work, job, 'returned');
  await backToWaiting(trx, work, waiting);
  return waiting;
};
