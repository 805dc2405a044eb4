import type { Trx } from '@aitbc/chassis';
import { type Caller, notFound, Problem } from '@aitbc/contracts';
import { type Actor, mayRefund } from '../domain.ts';
import { findPayment, type PaymentView } from '../store/payments.ts';
import type { ResolutionKind } from '../tables.ts';
import { type Deps, decide, jobFactsOf, payeeOf } from './resolve.ts';

/** Who the caller is to a payment. A stranger learns nothing of it. */
export const actorOf = (caller: Caller, payment: PaymentView | undefined): Actor | null => {
  if (payment === undefined) return null;
  if (caller.scopes.includes('admin')) return 'admin';
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

const refuseState = (payment: PaymentView, kind: ResolutionKind): Problem =>
  payment.status === 'failed'
    ? new Problem('PAYMENT_NOT_ESCROWED', 'This payment was never funded.')
    : new Problem(
        'PAYMENT_ALREADY_RESOLVED',
        `This payment ${kind === 'release' ? 'is refunded' : 'is released'} already.`,
      );

/** A release or refund that somebody asked for. Decides only; asked again, it changes nothing. */
export const resolveByHand = (
  trx: Trx,
  deps: Deps,
  caller: Caller,
  paymentId: string,
  kind: ResolutionKind,
  reason: string,
): PaymentView => {
  const { payment, actor } = paymentFor(caller, findPayment(trx, paymentId));
  if (kind === 'release' && actor === 'payee')
    throw new Problem('FORBIDDEN', 'Only the payer or an operator may release.');
  const isOpen = payment.status === 'escrowed' && payment.decision === null;
  if (isOpen && payment.order_id !== null && actor !== 'admin')
    throw new Problem('ORDER_NOT_ENDED', 'The funds of a booking move when the booking ends.');
  if (isOpen && kind === 'release' && (payment.order_id !== null || payment.ended_status !== 'completed')) {
    throw payment.order_id === null
      ? new Problem('JOB_NOT_COMPLETED', 'Only a completed job is paid.')
      : new Problem('ORDER_NOT_ENDED', 'The funds of a booking move when the booking ends.');
  }
  if (isOpen && kind === 'refund' && payment.order_id === null && !mayRefund(actor, jobFactsOf(payment)))
    throw new Problem(
      'JOB_NOT_ENDED',
      'The job is running; cancel it, and the funds come back by themselves.',
    );

  const outcome = decide(trx, deps, payment, kind, { reason, account_id: caller.account_id });
  if (outcome === 'conflict') throw refuseState(payment, kind);
  return findPayment(trx, paymentId) as PaymentView;
};
