import type { Store } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { expect } from 'vitest';
import { claimsOf } from '../services/jobs/src/receipts.ts';
import { findJob } from '../services/jobs/src/store/jobs.ts';
import { accountsThatLost } from '../services/jobs/src/store/lost-attempts.ts';
import { receiptOf } from '../services/jobs/src/store/receipts.ts';
import type { JobRow } from '../services/jobs/src/tables.ts';
import { findUser } from '../services/payments/src/store/accounts.ts';
import { findJob as findPaymentsJob } from '../services/payments/src/store/jobs.ts';
import { findPayment, findPaymentOfJob } from '../services/payments/src/store/payments.ts';

/** The two services' files, of which neither sees the other's. */
export interface Files {
  readonly jobs: Store;
  readonly payments: Store;
}
/** Of the three accounts with miners that can run a job, those beside the one that ran it last. */
const OTHERS = 2;

/** A miner's word ended the job: its attempts were used up, or a second account said the same, or nobody was left to ask. */
const expectEarnedFailure = async (files: Files, job: JobRow): Promise<void> => {
  const last = job.miner_account_id;
  const others = (await accountsThatLost(files.jobs.read, job.seq)).filter(
    ({ account_id }) => account_id !== last,
  );
  const isUsedUp = job.attempt - job.undelivered >= job.max_attempts;
  const isProven = others.some(({ isFault }) => isFault) || others.length === OTHERS;
  expect([job.id, isUsedUp || isProven]).toEqual([job.id, true]);
};

/** Payments heard that an attempt is over: who made it is no party to the payment while no later one is known. */
export const expectNobody = async (
  files: Files,
  { job_id, attempt }: Payload<'jobs.requeued'>,
): Promise<void> => {
  const known = await findPaymentsJob(files.payments.read, job_id);
  if (known?.ended_status === null && known.started_attempt <= attempt)
    expect([job_id, known.miner_account_id]).toEqual([job_id, null]);
};

/** What must hold of every job once all has come to rest: a receipt with a price and the release of that price are one. */
export const checkMoney = async (
  files: Files,
  jobIds: readonly string[],
  payerId: string,
): Promise<{ priced: number; refunded: number }> => {
  const counts = { priced: 0, refunded: 0 };
  for (const id of jobIds) {
    const job = await findJob(files.jobs.read, id);
    const payment = await findPaymentOfJob(files.payments.read, id);
    if (job === undefined) throw new Error(`job ${id} is gone`);
    const receipt = await receiptOf(files.jobs.read, job.seq);
    expect(receipt !== undefined).toBe(job.status === 'completed');
    if (job.status === 'failed' && job.error_code === 'MINER_FAILED') await expectEarnedFailure(files, job);
    const price = receipt === undefined ? 0 : Math.round(claimsOf(receipt.proof).price * 100_000_000);
    const stands = payment === undefined ? undefined : await findPayment(files.payments.read, payment.id);
    expect(stands?.status).not.toBe('escrowed');
    if (stands?.status === 'released') {
      counts.priced += 1;
      expect(stands.payee_account_id).toBe(job.miner_account_id);
      expect((stands.earned_minor ?? 0) + (stands.fee_minor ?? 0)).toBe(price);
      expect(price).toBe(stands.amount_minor);
    } else {
      expect([id, price]).toEqual([id, 0]);
      if (stands?.status === 'refunded') {
        counts.refunded += 1;
        expect(stands.refunded_minor).toBe(stands.amount_minor);
      }
    }
    expect(job.payment_status ?? undefined).toBe(stands?.status);
  }
  expect((await findUser(files.payments.read, payerId))?.held_minor).toBe(0);
  return counts;
};
