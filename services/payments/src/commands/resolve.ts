import { failpoint, type Listeners, type Parameters, sendAs, type Trx } from '@aitbc/chassis';
import { decisionOfJob, nextDeadline, type Outcome, PAYMENT, splitFee, stateOf } from '../domain.ts';
import {
  addResolutions,
  findPayment,
  findPaymentOfJob,
  findPaymentOfOrder,
  type PaymentView,
  setDeadline,
} from '../store/payments.ts';
import type { ResolutionKind } from '../tables.ts';

/** What every command leans on. */
export interface Deps {
  readonly parameters: Parameters<'payments'>;
  readonly listeners: Listeners;
  readonly now: () => number;
}

const send = sendAs<'payments'>();

/** The store's topic that says: a decision waits to be carried out. */
export const SETTLE = 'settle';

export const payeeOf = (payment: PaymentView): string | null =>
  payment.payee_account_id ?? payment.miner_account_id ?? payment.booking_owner_account_id;

interface Decision {
  readonly payment: PaymentView;
  readonly kind: ResolutionKind;
  readonly reason: string;
  readonly account_id: string | null;
  /** Of a release: what is paid, fee included; the rest goes back. */
  readonly payMinor?: number;
}

/**
 * Decides over the funds of payments, once each: whoever comes first. Nothing moves here; the settler carries it out.
 * @param decisions over a payment each
 * @returns what the table says of each: the next state when this was the first decision
 */
const decideAll = async (trx: Trx, deps: Deps, decisions: readonly Decision[]): Promise<Outcome[]> => {
  const nowMs = deps.now();
  const outcomes = decisions.map(
    ({ payment, kind }) => PAYMENT[stateOf(payment.status, payment.decision)][kind],
  );
  const first = decisions.filter((_, at) => outcomes[at] !== 'ignore' && outcomes[at] !== 'conflict');
  if (first.length === 0) return outcomes;
  const rows = first.map(({ payment, kind, reason, account_id, payMinor = payment.amount_minor }) => {
    const paidMinor = kind === 'refund' ? 0 : Math.min(payMinor, payment.amount_minor);
    const { earned, fee } = splitFee(paidMinor, payment.fee_basis_points);
    return {
      payment_id: payment.id,
      amount_minor: payment.amount_minor,
      kind,
      payee_account_id: payeeOf(payment),
      miner_id: payment.miner_id,
      earned_minor: earned,
      fee_minor: fee,
      refunded_minor: payment.amount_minor - paidMinor,
      reason,
      decided_by: account_id,
      decided_at_ms: nowMs,
      due_at_ms: nowMs,
      settled_at_ms: null,
    };
  });
  await addResolutions(trx, rows);
  trx.notify(SETTLE);
  for (const { payment } of first) trx.notify(`payment:${payment.id}`);
  failpoint('decide:before-commit');
  trx.afterCommit(() => failpoint('decide:after-commit'));
  return outcomes;
};

/** {@link decideAll} over one. */
export const decide = async (
  trx: Trx,
  deps: Deps,
  payment: PaymentView,
  kind: ResolutionKind,
  by: Omit<Decision, 'payment' | 'kind'>,
): Promise<Outcome> => (await decideAll(trx, deps, [{ payment, kind, ...by }]))[0] as Outcome;

/**
 * Decides by what jobs said of the job's end; nothing when it has not ended, or has no payment. Nothing else decides over
 * the money of a job: whether it can still be stopped is known in jobs alone, and what is known here may be late.
 */
export const resolveByJob = async (trx: Trx, deps: Deps, jobId: string): Promise<void> => {
  const payment = await findPaymentOfJob(trx, jobId);
  if (payment !== undefined) await resolveEnded(trx, deps, [payment]);
};

/** The same, of payments that were read after the ends were kept. */
export const resolveEnded = async (trx: Trx, deps: Deps, payments: readonly PaymentView[]): Promise<void> => {
  const decisions = payments.flatMap((payment) => {
    const end = { ended_status: payment.ended_status, ended_payment_id: payment.ended_payment_id };
    const kind = decisionOfJob(end, payment.id);
    return kind === null ? [] : [{ payment, kind, reason: `job ${payment.ended_status}`, account_id: null }];
  });
  await decideAll(trx, deps, decisions);
};

/** Decides by what market said of the order's end; nothing when it has not ended, or has no payment. */
export const resolveByOrder = async (trx: Trx, deps: Deps, orderId: string): Promise<void> => {
  const payment = await findPaymentOfOrder(trx, orderId);
  if (payment === undefined || payment.end_pay_minor === null) return;
  const reason = payment.end_reason || 'booking ended';
  if (payment.end_pay_minor === 0) await decide(trx, deps, payment, 'refund', { reason, account_id: null });
  else
    await decide(trx, deps, payment, 'release', {
      reason,
      account_id: null,
      payMinor: payment.end_pay_minor,
    });
};

/**
 * The deadline of a payment that nobody resolved: a question to jobs. It moves before the answer comes, so that a service
 * that is away is asked once a minute and not without end.
 */
export const passDeadline = async (trx: Trx, deps: Deps, paymentId: string): Promise<void> => {
  const payment = await findPayment(trx, paymentId);
  if (payment === undefined || payment.decision !== null || payment.status !== 'escrowed') return;
  const nowMs = deps.now();
  if (payment.job_id === null || payment.expires_at_ms === null || payment.expires_at_ms > nowMs) return;
  await setDeadline(trx, payment.id, nextDeadline(nowMs, null), nowMs);
  await send(trx, 'payments.refund_requested', {
    request_id: null,
    payment_id: payment.id,
    job_id: payment.job_id,
    payer_account_id: payment.payer_account_id as string,
    actor: 'deadline',
    account_id: null,
    reason: 'the payment expired',
  });
};

/** The attempt that runs goes on: the deadline moves with it. */
export const deadlineRefused = async (
  trx: Trx,
  deps: Deps,
  paymentId: string,
  untilMs: number | null,
): Promise<void> => {
  const nowMs = deps.now();
  await setDeadline(trx, paymentId, nextDeadline(nowMs, untilMs), nowMs);
};
