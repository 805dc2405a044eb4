import type { Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { decide } from '../domain.ts';
import { addEvent, findJob, fundJob, setPayment } from '../store/jobs.ts';
import type { Work } from '../work.ts';
import { finish, offerAfterCommit } from './lifecycle.ts';

/** Funds are held: a job that waited for them may run; one that did not just shows them. */
export const paymentEscrowed = (trx: Trx, work: Work, payment: Payload<'payments.escrowed'>): void => {
  const job = findJob(trx, payment.job_id);
  if (job === undefined) return;
  const nowMs = Date.now();
  const { payment_id, amount_minor: payment_amount_minor } = payment;
  const values = { seq: job.seq, payment_id, payment_amount_minor, now_ms: nowMs };
  const funded = fundJob(trx, values);
  if (funded !== undefined) {
    addEvent(trx, funded, 'pending', 'funds are held', nowMs);
    offerAfterCommit(trx, work, funded);
    return;
  }
  // Messages come in any order: what was resolved does not go back to escrow.
  if (job.payment_status !== null && job.payment_status !== 'pending') return;
  const payment_status = 'escrowed';
  setPayment(trx, { ...values, payment_status });
  // It waits for miners that ask nothing; from now on for those, too, whose price it meets.
  if (job.status === 'pending') offerAfterCommit(trx, work, { ...job, payment_amount_minor, payment_status });
};

/** No money: a job that waited for it fails. */
export const paymentRefused = (trx: Trx, work: Work, payment: Payload<'payments.refused'>): void => {
  const job = findJob(trx, payment.job_id);
  if (job === undefined || job.is_funded === 1) return;
  const nowMs = Date.now();
  setPayment(trx, {
    seq: job.seq,
    payment_id: payment.payment_id,
    payment_status: 'failed',
    payment_amount_minor: job.payment_amount_minor,
    now_ms: nowMs,
  });
  if (decide(job.status, 'refuse_funds', false).kind !== 'apply') return;
  finish(trx, work, job, {
    status: 'failed',
    outcome: 'failed',
    error: { code: payment.code, message: payment.message },
    report: null,
    nowMs,
  });
};

/** The payment is over. Given back before the job ended: the job ends too, so that no miner works unpaid. */
export const paymentResolved = (trx: Trx, work: Work, payment: Payload<'payments.resolved'>): void => {
  const job = findJob(trx, payment.job_id);
  if (job === undefined) return;
  const nowMs = Date.now();
  setPayment(trx, {
    seq: job.seq,
    payment_id: payment.payment_id,
    payment_status: payment.kind,
    payment_amount_minor: job.payment_amount_minor,
    now_ms: nowMs,
  });
  if (payment.kind !== 'refunded' || decide(job.status, 'refund', false).kind !== 'apply') return;
  finish(trx, work, job, {
    status: 'failed',
    outcome: 'cancelled',
    error: { code: 'PAYMENT_REFUNDED', message: 'The payment was given back before the job ended.' },
    report: null,
    nowMs,
  });
};
