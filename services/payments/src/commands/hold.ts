import { failpoint, sendAs, type Trx } from '@aitbc/chassis';
import { type Caller, invalidField, newId, notFound, Problem, toMinor } from '@aitbc/contracts';
import { type Refusal, refuseHold } from '../domain.ts';
import { openEscrow } from '../store/accounts.ts';
import { findJob } from '../store/jobs.ts';
import { meansOf } from '../store/means.ts';
import { addPayment, findPayment, findPaymentOfJob, noteSpent } from '../store/payments.ts';
import { move, transferId } from '../store/transfers.ts';
import { type Deps, resolveByJob } from './resolve.ts';

const send = sendAs<'payments'>();

interface Hold {
  job_id: string | null;
  order_id: string | null;
  payer_account_id: string;
  credential_id: string | null;
  spend_cap_minor: number | null;
  amount_minor: number;
  /** Null for a booking: market ends it. */
  timeout_seconds: number | null;
  /** The payment never ends before this, whatever the time-out says. */
  not_before_ms?: number;
}

/**
 * Makes the payment and moves its funds into an escrow account of its own.
 * @param keepRefused leaves a failed payment behind when there is no money, so that a submitted job shows why
 */
export const hold = async (
  trx: Trx,
  deps: Deps,
  request: Hold,
  keepRefused: boolean,
): Promise<{ payment_id: string; refusal: Refusal | null }> => {
  const nowMs = deps.now();
  const payment_id = newId();
  const { amount_minor, credential_id } = request;
  const { payer, availableMinor, spentMinor } = await meansOf(
    trx,
    request.payer_account_id,
    credential_id,
    nowMs,
  );
  const refusal = refuseHold({
    amountMinor: amount_minor,
    availableMinor,
    spentMinor,
    capMinor: request.spend_cap_minor,
  });
  if (refusal !== null && !keepRefused) return { payment_id, refusal };
  const row = {
    id: payment_id,
    job_id: request.job_id,
    order_id: request.order_id,
    payer: payer.id,
    credential_id,
    amount_minor,
    fee_basis_points: deps.parameters.get('platform_fee_basis_points'),
    now_ms: nowMs,
    expires_at_ms:
      request.timeout_seconds === null
        ? null
        : Math.max(nowMs + request.timeout_seconds * 1_000, request.not_before_ms ?? 0),
  };
  if (refusal !== null) {
    await addPayment(trx, {
      ...row,
      escrow: null,
      status: 'failed',
      failure_code: refusal.code,
      failure_message: refusal.message,
    });
    return { payment_id, refusal };
  }
  const escrow = await openEscrow(trx, payment_id, nowMs);
  await move(trx, {
    id: transferId('hold', payment_id),
    kind: 'hold',
    reference: payment_id,
    from: payer,
    to: escrow,
    amount_minor,
    now_ms: nowMs,
  });
  await addPayment(trx, {
    ...row,
    escrow: escrow.id,
    status: 'escrowed',
    failure_code: null,
    failure_message: null,
  });
  await noteSpent(trx, credential_id, amount_minor);
  failpoint('hold:before-commit');
  trx.afterCommit(() => failpoint('hold:after-commit'));
  return { payment_id, refusal: null };
};

/**
 * Tells jobs that the funds stand, and decides at once when the job's end was heard before its beginning.
 * @param hasEnded what this transaction has read of the job
 */
export const announceHeld = async (
  trx: Trx,
  deps: Deps,
  payment: { payment_id: string; job_id: string; amount_minor: number },
  hasEnded: boolean,
): Promise<void> => {
  await send(trx, 'payments.escrowed', payment);
  trx.notify(`job:${payment.job_id}`);
  if (hasEnded) await resolveByJob(trx, deps, payment.job_id);
};

/** `POST /v1/payments`, once the job is known. @returns the payment's view. */
export const createPayment = async (
  trx: Trx,
  deps: Deps,
  caller: Caller,
  request: { job_id: string; amount: number; escrow_timeout_seconds?: number | undefined },
) => {
  const job = await findJob(trx, request.job_id);
  if (job === undefined || job.owner_account_id !== caller.account_id) throw notFound('job');
  const existing = await findPaymentOfJob(trx, request.job_id);
  if (existing !== undefined) {
    throw new Problem('PAYMENT_ALREADY_EXISTS', 'This job has a payment already.', {
      details: { payment_id: existing.id },
    });
  }
  // An end is final, so a copy may refuse by it. A lease is not: jobs says what came too late for it (see jobs.ended).
  if (job.ended_status === 'completed')
    throw new Problem('JOB_COMPLETED', 'The job has completed: what it costs stands in its receipt.');
  if (job.ended_status !== null)
    throw new Problem('JOB_ALREADY_ENDED', `The job is ${job.ended_status}: there is nothing to pay for.`);
  if (job.started_attempt > job.requeued_attempt)
    throw new Problem('JOB_RUNNING', 'A miner runs the job on the terms that stood when it took it.');
  const amount_minor = toMinor(request.amount);
  if (!Number.isSafeInteger(amount_minor)) throw invalidField('amount', 'is not an amount');
  const { payment_id, refusal } = await hold(
    trx,
    deps,
    {
      job_id: request.job_id,
      order_id: null,
      payer_account_id: caller.account_id,
      credential_id: caller.credential_id,
      spend_cap_minor: caller.spend_cap_minor,
      amount_minor,
      timeout_seconds: request.escrow_timeout_seconds ?? deps.parameters.get('escrow_timeout_seconds'),
    },
    false,
  );
  if (refusal !== null) throw new Problem(refusal.code, refusal.message);
  await announceHeld(trx, deps, { payment_id, job_id: request.job_id, amount_minor }, false);
  return (await findPayment(trx, payment_id)) as NonNullable<Awaited<ReturnType<typeof findPayment>>>;
};
