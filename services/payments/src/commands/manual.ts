import { failpoint, sendAs, type Trx } from '@aitbc/chassis';
import { type Caller, newId, notFound, Problem, type ProblemCode } from '@aitbc/contracts';
import { findPayment, type PaymentView } from '../store/payments.ts';
import { findRefundRequest, saveRefundRequest } from '../store/refund-requests.ts';
import type { RefundRequest } from '../tables.ts';
import { type Deps, payeeOf } from './resolve.ts';

const send = sendAs<'payments'>();

/** A wish that waits is told again after this: its answer was on its way until then. */
const ASK_AGAIN_MS = 2_000;

type Actor = RefundRequest['actor'];

/** Who the caller is to a payment. A stranger learns nothing of it. */
export const actorOf = (caller: Caller, payment: PaymentView | undefined): Actor | null => {
  if (payment === undefined) return null;
  if (caller.scopes.includes('admin')) return 'operator';
  if (payment.payer_account_id === caller.account_id) return 'payer';
  if (payeeOf(payment) === caller.account_id) return 'payee';
  return null;
};

/** The payment, for those it concerns. @throws Problem NOT_FOUND for anybody else. */
export const paymentFor = (caller: Caller, payment: PaymentView | undefined) => {
  const actor = actorOf(caller, payment);
  if (payment === undefined || actor === null) throw notFound('payment');
  return { payment, actor };
};

/** A release that somebody asked for. Jobs has said by itself whether there is one: this only tells. */
export const releaseByHand = async (trx: Trx, caller: Caller, paymentId: string): Promise<PaymentView> => {
  const { payment, actor } = paymentFor(caller, await findPayment(trx, paymentId));
  if (actor === 'payee') throw new Problem('FORBIDDEN', 'Only the payer or an operator may release.');
  if (payment.decision === 'release') return payment;
  if (payment.status === 'failed') throw neverFunded();
  if (payment.decision === 'refund')
    throw new Problem('PAYMENT_ALREADY_RESOLVED', 'This payment is refunded already.');
  throw payment.order_id === null
    ? new Problem('JOB_NOT_COMPLETED', 'Only a completed job is paid.')
    : new Problem('ORDER_NOT_ENDED', 'The funds of a booking move when the booking ends.');
};

const neverFunded = (): Problem => new Problem('PAYMENT_NOT_ESCROWED', 'This payment was never funded.');

/** Why a payment that was released does not come back. */
export const releasedAlready = (payment: PaymentView): Problem =>
  payment.order_id === null
    ? new Problem('JOB_COMPLETED', 'The job has completed, and its miner is paid.')
    : new Problem('PAYMENT_ALREADY_RESOLVED', 'This payment is released already.');

const REFUSALS: Record<NonNullable<RefundRequest['refused_code']>, string> = {
  JOB_RUNNING: 'A miner holds the job: cancel the job, and the funds come back by themselves.',
  JOB_COMPLETED: 'The job has completed, and its miner is paid.',
  STALE_LEASE: 'You do not hold the job any more; its funds wait for who runs it next.',
};
export const refusalOf = (code: NonNullable<RefundRequest['refused_code']>): Problem =>
  new Problem(code satisfies ProblemCode, REFUSALS[code]);

/**
 * A refund that somebody asked for. Decides nothing: the wish is kept, and the service that owns the job or the booking is
 * asked. Asked again while it waits, it is the same wish.
 * @throws Problem when it is clear already that it cannot be
 */
export const askForRefund = async (
  trx: Trx,
  deps: Deps,
  caller: Caller,
  paymentId: string,
  reason: string,
): Promise<PaymentView> => {
  const { payment, actor } = paymentFor(caller, await findPayment(trx, paymentId));
  if (payment.status === 'failed') throw neverFunded();
  if (payment.decision === 'release') throw releasedAlready(payment);
  if (payment.decision === 'refund') return payment;
  if (payment.order_id !== null && actor !== 'operator')
    throw new Problem('ORDER_NOT_ENDED', 'The funds of a booking move when the booking ends.');

  const nowMs = deps.now();
  const { account_id } = caller;
  const before = await findRefundRequest(trx, paymentId, account_id);
  const isWaiting = before !== undefined && before.refused_code === null;
  if (isWaiting && before.asked_at_ms > nowMs - ASK_AGAIN_MS) return payment;
  const request = {
    payment_id: paymentId,
    account_id,
    id: isWaiting ? before.id : newId(),
    actor,
    reason,
    asked_at_ms: nowMs,
    refused_code: null,
  };
  await saveRefundRequest(trx, request);
  if (payment.job_id !== null)
    await send(trx, 'payments.refund_requested', {
      request_id: request.id,
      payment_id: paymentId,
      job_id: payment.job_id,
      payer_account_id: payment.payer_account_id as string,
      actor,
      account_id,
      reason,
    });
  if (payment.order_id !== null)
    await send(trx, 'payments.booking_refund_requested', {
      payment_id: paymentId,
      order_id: payment.order_id,
      account_id,
      reason,
    });
  failpoint('ask:before-commit');
  trx.afterCommit(() => failpoint('ask:after-commit'));
  return payment;
};
