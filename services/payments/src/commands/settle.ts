import { failpoint, sendAs, type Trx } from '@aitbc/chassis';
import { findAccount, openUser, PLATFORM } from '../store/accounts.ts';
import { findPayment, noteGivenBack, type PaymentView, setEnded, setSettled } from '../store/payments.ts';
import { move, transferId } from '../store/transfers.ts';
import type { Deps } from './resolve.ts';

const send = sendAs<'payments'>();

/** Tells jobs and miners what became of a job's money, as often as it is asked for. */
export const sayResolved = async (
  trx: Trx,
  payment: PaymentView | undefined,
  isRepeat = false,
): Promise<void> => {
  if (payment?.job_id == null || payment.settled_at_ms === null) return;
  await send(trx, 'payments.resolved', {
    payment_id: payment.id,
    job_id: payment.job_id,
    kind: payment.decision === 'release' ? 'released' : 'refunded',
    payer_account_id: payment.payer_account_id as string,
    payee_account_id: payment.payee_account_id,
    miner_id: payment.miner_id,
    earned_minor: payment.earned_minor ?? 0,
    ...(isRepeat ? { is_repeat: true } : {}),
  });
};

/** Tells market what became of a booking's money, as often as market says how the order ended. */
export const saySettled = async (trx: Trx, payment: PaymentView | undefined): Promise<void> => {
  if (payment?.order_id == null || payment.settled_at_ms === null) return;
  await send(trx, 'payments.booking_settled', {
    order_id: payment.order_id,
    paid_minor: (payment.earned_minor ?? 0) + (payment.fee_minor ?? 0),
    refunded_minor: payment.refunded_minor ?? 0,
  });
};

/** Carries a decision out: empties the escrow, ends the payment, tells who waits. Once, however often it is called. */
export const settle = async (trx: Trx, deps: Deps, paymentId: string): Promise<void> => {
  const payment = await findPayment(trx, paymentId);
  if (payment?.decision == null || payment.escrow === null) return;
  const nowMs = deps.now();
  if (!(await setSettled(trx, paymentId, nowMs))) return;
  const escrow = await findAccount(trx, payment.escrow);
  const payer = await findAccount(trx, payment.payer);
  if (escrow === undefined || payer === undefined) throw new Error(`payment ${paymentId} has no accounts`);

  const earned = payment.earned_minor ?? 0;
  const fee = payment.fee_minor ?? 0;
  const refunded = payment.refunded_minor ?? 0;
  const common = { reference: paymentId, from: escrow, now_ms: nowMs };
  if (earned > 0) {
    const payee = await openUser(trx, payment.payee_account_id as string, nowMs);
    await move(trx, {
      ...common,
      id: transferId('release', paymentId),
      kind: 'release',
      to: payee,
      amount_minor: earned,
    });
  }
  if (fee > 0)
    await move(trx, {
      ...common,
      id: transferId('fee', paymentId),
      kind: 'fee',
      to: PLATFORM,
      amount_minor: fee,
    });
  if (refunded > 0)
    await move(trx, {
      ...common,
      id: transferId('refund', paymentId),
      kind: 'refund',
      to: payer,
      amount_minor: refunded,
    });
  await noteGivenBack(trx, payment.credential_id, refunded);
  await setEnded(trx, paymentId, payment.decision === 'release' ? 'released' : 'refunded', nowMs);
  const settled = await findPayment(trx, paymentId);
  await sayResolved(trx, settled);
  await saySettled(trx, settled);
  trx.notify(`payment:${paymentId}`);
  failpoint('settle:before-commit');
  trx.afterCommit(() => failpoint('settle:after-commit'));
};
