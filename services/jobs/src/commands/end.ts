import { clock, type Trx } from '@aitbc/chassis';
import { notFound, Problem } from '@aitbc/contracts';
import { decide } from '../domain.ts';
import { findJob, findOwnJob } from '../store/jobs.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import { finish, loseAttempt } from './lifecycle.ts';

/** @throws Problem NOT_FOUND, JOB_ALREADY_ENDED */
export const cancel = async (trx: Trx, work: Work, jobId: string, clientId: string): Promise<JobRow> => {
  const job = await findOwnJob(trx, jobId, clientId);
  if (job === undefined) throw notFound('job');
  const decision = decide(job.status, 'cancel', false);
  const ended =
    decision.kind === 'apply'
      ? await finish(trx, work, job, {
          status: 'cancelled',
          outcome: 'cancelled',
          error: null,
          report: null,
          nowMs: clock.nowMs(),
        })
      : undefined;
  if (ended === undefined) throw new Problem('JOB_ALREADY_ENDED', `The job has ended: it is ${job.status}.`);
  return ended;
};

/** Its time to start is over. */
export const expire = async (trx: Trx, work: Work, jobId: string, nowMs: number): Promise<void> => {
  const job = await findJob(trx, jobId);
  if (job === undefined || job.expires_at_ms > nowMs) return;
  if (decide(job.status, 'expire', false).kind !== 'apply') return;
  await finish(trx, work, job, {
    status: 'expired',
    outcome: 'expired',
    error: {
      code: 'EXPIRED',
      // What its last miner said stays in sight: the job may have waited for a second opinion.
      message:
        job.error_message === null
          ? 'The job did not start within its ttl_seconds.'
          : `No other miner took the job within its ttl_seconds. The last one said: ${job.error_message}`,
    },
    report: null,
    nowMs,
  });
};

/** Its attempt ran longer than the client allows. */
export const timeOut = async (trx: Trx, work: Work, jobId: string, nowMs: number): Promise<void> => {
  const job = await findJob(trx, jobId);
  if (job === undefined || job.deadline_at_ms === null || job.deadline_at_ms > nowMs) return;
  const lost = await loseAttempt(trx, work, job, {
    event: 'time_out',
    outcome: 'timed_out',
    error: { code: 'TIMED_OUT', message: 'The job ran longer than its timeout_seconds.' },
    report: null,
    nowMs,
  });
  if (lost !== undefined) trx.afterCommit(() => work.metrics.leaseExpiries.inc());
};
