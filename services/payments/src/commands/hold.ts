import { failpoint, sendAs, type Trx } from '@aitbc/chassis';
import { type Caller, invalidField, newId, notFound, Problem, toMinor } from '@aitbc/contracts';
import { type Refusal, refuseHold } from '../domain.ts';
import { type AccountRef, openEscrows } from '../store/accounts.ts';
import { findJob } from '../store/jobs.ts';
import { createPurses } from '../store/means.ts';
import { addPayments, findPayment, findPaymentOfJob, noteSpent } from '../store/payments.ts';
import { moveAll, transferId } from '../store/transfers.ts';
import type { Tables } from '../tables.ts';
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

interface Held {
  readonly payment_id: string;
  readonly refusal: Refusal | null;
}

interface Judged extends Held {
  readonly request: Hold;
  readonly payer: AccountRef;
}

const paymentOf = (
  deps: Deps,
  { request, payment_id, refusal, payer }: Judged,
  escrow: AccountRef | undefined,
  nowMs: number,
): Tables['payment'] => ({
  id: payment_id,
  job_id: request.job_id,
  order_id: request.order_id,
  payer: payer.id,
  escrow: escrow?.id ?? null,
  credential_id: request.credential_id,
  amount_minor: request.amount_minor,
  fee_basis_points: deps.parameters.get('platform_fee_basis_points'),
  status: refusal === null ? 'escrowed' : 'failed',
  failure_code: refusal?.code ?? null,
  failure_message: refusal?.message ?? null,
  created_at_ms: nowMs,
  updated_at_ms: nowMs,
  expires_at_ms:
    request.timeout_seconds === null
      ? null
      : Math.max(nowMs + request.timeout_seconds * 1_000, request.not_before_ms ?? 0),
});

/**
 * Makes payments and moves the funds of each into an escrow account of its own: a handful of statements, however many.
 * @param keepRefused leaves a failed payment behind when there is no money, so that a submitted job shows why
 * @returns what became of each request, in their order
 */
export const holdAll = async (
  trx: Trx,
  deps: Deps,
  requests: readonly Hold[],
  keepRefused: boolean,
): Promise<Held[]> => {
  const nowMs = deps.now();
  const purseOf = createPurses(trx, nowMs);
  const all: Judged[] = [];
  for (const request of requests) {
    const purse = await purseOf(request.payer_account_id, request.credential_id);
    const refusal = refuseHold({
      amountMinor: request.amount_minor,
      availableMinor: purse.availableMinor,
      spentMinor: purse.spentMinor,
      capMinor: request.spend_cap_minor,
    });
    if (refusal === null) purse.take(request.amount_minor);
    all.push({ request, payment_id: newId(), refusal, payer: purse.payer });
  }
  const held = all.filter(({ refusal }) => refusal === null);
  const ids = held.map(({ payment_id }) => payment_id);
  const escrows = await openEscrows(trx, ids, nowMs);
  await moveAll(
    trx,
    held.map(({ request, payment_id, payer }) => ({
      id: transferId('hold', payment_id),
      kind: 'hold',
      reference: payment_id,
      from: payer,
      to: escrows.get(payment_id) as AccountRef,
      amount_minor: request.amount_minor,
      now_ms: nowMs,
    })),
  );
  const kept = keepRefused ? all : held;
  await addPayments(
    trx,
    kept.map((one) => paymentOf(deps, one, escrows.get(one.payment_id), nowMs)),
  );
  const spent = new Map<string, number>();
  for (const { request } of held)
    if (request.credential_id !== null)
      spent.set(request.credential_id, (spent.get(request.credential_id) ?? 0) + request.amount_minor);
  for (const [credentialId, minor] of spent) await noteSpent(trx, credentialId, minor);
  if (held.length > 0) {
    failpoint('hold:before-commit');
    trx.afterCommit(() => failpoint('hold:after-commit'));
  }
  return all;
};

/** {@link holdAll} of one. */
export const hold = async (trx: Trx, deps: Deps, request: Hold, keepRefused: boolean): Promise<Held> =>
  (await holdAll(trx, deps, [request], keepRefused))[0] as Held;

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
