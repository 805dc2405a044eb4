import { failpoint, sendAs, type Trx } from '@aitbc/chassis';
import { fromMinor } from '@aitbc/contracts';
import { type AccountRef, openUser, PLATFORM } from '../store/accounts.ts';
import { noteGivenBack, type PaymentView } from '../store/payments.ts';
import { findSettleable, type Settleable, setEnded, setSettled } from '../store/settlements.ts';
import { moveAll, type Transfer, transferId } from '../store/transfers.ts';
import type { ResolutionKind } from '../tables.ts';
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

/** For the webhooks of both sides, where there are any. */
const announce = async (trx: Trx, deps: Deps, payment: PaymentView, atMs: number): Promise<void> => {
  const { payer_account_id: payer_id, payee_account_id: payee_id } = payment;
  const account_ids = deps.listeners.among([payer_id, payee_id]);
  if (account_ids.length === 0) return;
  const status = payment.decision === 'release' ? 'released' : 'refunded';
  await send(trx, 'payments.announced', {
    account_ids,
    object_id: payment.id,
    at_ms: atMs,
    fact: {
      type: `payment.${status}`,
      data: {
        payment_id: payment.id,
        job_id: payment.job_id,
        status,
        amount: fromMinor(payment.amount_minor),
        payer_id,
        payee_id,
        earned: fromMinor(payment.earned_minor ?? 0),
      },
    },
  });
};

/** The transfers that a decision means, all out of the payment's escrow. */
const transfersOf = async (trx: Trx, payment: Settleable, nowMs: number): Promise<Transfer[]> => {
  const { id, escrow, escrow_address, payee, payee_address } = payment;
  if (escrow === null || escrow_address === null) throw new Error(`payment ${id} has no escrow`);
  const from = { id: escrow, address: escrow_address };
  const out = (kind: 'release' | 'fee' | 'refund', to: AccountRef, amount_minor: number): Transfer => ({
    id: transferId(kind, id),
    kind,
    reference: id,
    from,
    to,
    amount_minor,
    now_ms: nowMs,
  });
  const earned = payment.earned_minor ?? 0;
  const fee = payment.fee_minor ?? 0;
  const refunded = payment.refunded_minor ?? 0;
  const transfers: Transfer[] = [];
  if (earned > 0) {
    const to =
      payee !== null && payee_address !== null
        ? { id: payee, address: payee_address }
        : await openUser(trx, payment.payee_account_id as string, nowMs);
    transfers.push(out('release', to, earned));
  }
  if (fee > 0) transfers.push(out('fee', PLATFORM, fee));
  if (refunded > 0)
    transfers.push(out('refund', { id: payment.payer, address: payment.payer_address }, refunded));
  return transfers;
};

/**
 * Carries decisions out: empties the escrows, ends the payments, tells who waits. Each once, however often it is called.
 * @throws when one of them cannot be carried out: then all are undone, and each has to be tried alone.
 */
export const settleAll = async (trx: Trx, deps: Deps, paymentIds: readonly string[]): Promise<void> => {
  const nowMs = deps.now();
  const found = await findSettleable(trx, paymentIds);
  if (found.length === 0) return;
  const mine = await setSettled(
    trx,
    found.map(({ id }) => id),
    nowMs,
  );
  const payments = found.filter(({ id }) => mine.has(id));
  const transfers: Transfer[] = [];
  for (const payment of payments) {
    transfers.push(...(await transfersOf(trx, payment, nowMs)));
    await noteGivenBack(trx, payment.credential_id, payment.refunded_minor ?? 0);
  }
  await moveAll(trx, transfers);
  const idsOf = (decision: ResolutionKind) =>
    payments.filter((payment) => payment.decision === decision).map(({ id }) => id);
  await setEnded(trx, idsOf('release'), 'released', nowMs);
  await setEnded(trx, idsOf('refund'), 'refunded', nowMs);
  for (const payment of payments) {
    const settled = { ...payment, settled_at_ms: nowMs };
    await sayResolved(trx, settled);
    await saySettled(trx, settled);
    await announce(trx, deps, settled, nowMs);
    trx.notify(`payment:${payment.id}`);
  }
  failpoint('settle:before-commit');
  trx.afterCommit(() => failpoint('settle:after-commit'));
};

export const settle = (trx: Trx, deps: Deps, paymentId: string): Promise<void> =>
  settleAll(trx, deps, [paymentId]);
