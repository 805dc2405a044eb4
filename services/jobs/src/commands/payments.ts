import { clock, failpoint, firstOfEach, sendAs, type Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { decide, isTerminal, judgeRefund } from '../domain.ts';
import { addEvent, findJob, findJobs } from '../store/jobs.ts';
import { fundJobs, setPayment, setResolved } from '../store/money.ts';
import type { Work } from '../work.ts';
import { type Failure, finish, offerAfterCommit, offerWithCommit, sayEnded } from './lifecycle.ts';

const send = sendAs<'jobs'>();

/** Funds are held: jobs that waited for them may run; one that did not just shows them. */
export const paymentsEscrowed = async (
  trx: Trx,
  work: Work,
  said: readonly Payload<'payments.escrowed'>[],
): Promise<void> => {
  const nowMs = clock.nowMs();
  const payments = firstOfEach(said);
  const funded = await fundJobs(trx, payments, nowMs);
  for (const job of funded) {
    addEvent(trx, job, 'pending', 'funds are held', nowMs);
    offerWithCommit(trx, work, job);
  }
  const ids = new Set(funded.map(({ id }) => id));
  const others = payments.filter(({ job_id }) => !ids.has(job_id));
  if (others.length === 0) return;
  const jobs = await findJobs(
    trx,
    others.map(({ job_id }) => job_id),
  );
  for (const { job_id, payment_id, amount_minor: payment_amount_minor } of others) {
    const job = jobs.get(job_id);
    // Messages come in any order: what was resolved does not go back to escrow.
    if (job === undefined || (job.payment_status !== null && job.payment_status !== 'pending')) continue;
    const held = { payment_amount_minor, payment_status: 'escrowed' } as const;
    await setPayment(trx, { id: job_id, payment_id, ...held, now_ms: nowMs });
    // It waits for miners that ask nothing; from now on for those, too, whose price it meets.
    if (job.status === 'pending') offerAfterCommit(trx, work, { ...job, ...held });
  }
};

/** No money: a job that waited for it fails. */
export const paymentRefused = async (
  trx: Trx,
  work: Work,
  payment: Payload<'payments.refused'>,
): Promise<void> => {
  const job = await findJob(trx, payment.job_id);
  if (job === undefined || job.is_funded === 1) return;
  const nowMs = clock.nowMs();
  const { payment_id } = payment;
  await setPayment(trx, { id: job.id, payment_id, payment_status: 'failed', now_ms: nowMs });
  if (decide(job.status, 'refuse_funds', false).kind !== 'apply') return;
  await finish(trx, work, job, {
    status: 'failed',
    outcome: 'failed',
    error: { code: payment.code, message: payment.message },
    report: null,
    nowMs,
  });
};

/**
 * Payments are over. That is news: jobs.ended came before it. Heard of a job that still waits or runs, this file is an
 * older copy that was put back: the job has ended once, and must not be run or paid for again.
 */
export const paymentsResolved = async (
  trx: Trx,
  work: Work,
  said: readonly Payload<'payments.resolved'>[],
): Promise<void> => {
  const nowMs = clock.nowMs();
  const payments = firstOfEach(said);
  const statusOf = new Map((await setResolved(trx, payments, nowMs)).map(({ id, status }) => [id, status]));
  for (const { job_id, kind } of payments) {
    const status = statusOf.get(job_id);
    if (status === undefined || decide(status, 'refund', false).kind !== 'apply') continue;
    const job = await findJob(trx, job_id);
    if (job === undefined) continue;
    await finish(trx, work, job, {
      status: 'failed',
      outcome: 'cancelled',
      error:
        kind === 'refunded'
          ? { code: 'PAYMENT_REFUNDED', message: 'The payment was given back before the job ended.' }
          : {
              code: 'PAYMENT_RELEASED',
              message: 'The job was completed and paid for before this copy of it.',
            },
      report: null,
      nowMs,
    });
  }
};

/** What the client reads of a job that ended because its money went back. The payer's own wish is a plain cancel. */
const reasonOf = ({ actor, reason }: Payload<'payments.refund_requested'>): Failure | null => {
  if (actor === 'payer') return null;
  if (actor === 'deadline')
    return { code: 'PAYMENT_EXPIRED', message: 'The job did not start before its payment expired.' };
  const who = actor === 'payee' ? 'The miner' : 'An operator';
  return { code: 'PAYMENT_REFUNDED', message: `${who} gave the payment back: ${reason}` };
};

/**
 * Somebody wants a job's money back. Decided here and nowhere else, by compare-and-set on the job: it ends, and jobs.ended
 * moves the money; or it goes on, and the wish is refused.
 */
export const refundRequested = async (
  trx: Trx,
  work: Work,
  wish: Payload<'payments.refund_requested'>,
): Promise<void> => {
  const { payment_id, job_id, request_id } = wish;
  const job = await findJob(trx, job_id);
  const nowMs = clock.nowMs();
  if (job === undefined) {
    // Payments heard of it from here, so this file is an older copy: nobody will ever run this job.
    await send(trx, 'jobs.ended', {
      job_id,
      account_id: wish.payer_account_id,
      status: 'cancelled',
      miner_id: null,
      miner_account_id: null,
      started: false,
      ended_at_ms: nowMs,
      payment_id: null,
      price_minor: 0,
    });
    return;
  }
  const verdict = judgeRefund(job, wish);
  if (verdict.kind === 'end')
    await finish(trx, work, job, {
      status: verdict.status,
      // A miner that gives a job back did not do it; whoever else stops it says nothing against its miner.
      outcome: wish.actor === 'payee' ? 'failed' : 'cancelled',
      error: reasonOf(wish),
      report: null,
      nowMs,
    });
  // Said again: payments may be an older copy that lost it.
  else if (isTerminal(job.status)) await sayEnded(trx, job);
  if (verdict.kind === 'refuse')
    await send(trx, 'jobs.refund_refused', {
      payment_id,
      job_id,
      request_id,
      code: verdict.code,
      until_ms: job.deadline_at_ms,
    });
  failpoint('refund:before-commit');
  trx.afterCommit(() => failpoint('refund:after-commit'));
};
