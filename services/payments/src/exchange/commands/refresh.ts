import { failpoint, type Trx } from '@aitbc/chassis';
import { Problem } from '@aitbc/contracts';
import { transferId } from '../../store/transfers.ts';
import type { ExchangeDeps } from '../deps.ts';
import {
  type Assessment,
  assess,
  type DueCredit,
  isSettled,
  type OutputFact,
  type Terms,
} from '../domain/invoice.ts';
import { findInvoice, type Invoice, updateInvoice } from '../store/invoices.ts';
import { assignOutput, creditedOutputsOf, type Output, outputsOf } from '../store/outputs.ts';
import { adopt } from './adopt.ts';

export const termsOf = (invoice: Invoice): Terms => invoice;

/** An output as the domain sees it. @param tipHeight as far as the chain was looked at */
export const factOf = (output: Output, tipHeight: number): OutputFact => ({
  state: output.state,
  value_sats: output.value_sats,
  confirmations: output.block_height === null ? 0 : Math.max(0, tipHeight - output.block_height + 1),
  first_seen_ms: output.first_seen_ms,
});

/** What was credited to a family and has left the chain since. */
const shortfallOf = (trx: Trx, rootId: string): number =>
  creditedOutputsOf(trx, rootId)
    .filter((output) => output.state !== 'confirmed')
    .reduce((sum, output) => sum + output.value_sats, 0);

/** The output that made the payment whole: of the settled ones the last to enter the chain. */
const completing = (settled: readonly Output[]): Output =>
  settled.reduce((last, output) => ((output.block_height ?? 0) >= (last.block_height ?? 0) ? output : last));

const credit = (
  trx: Trx,
  deps: ExchangeDeps,
  invoice: Invoice,
  due: DueCredit,
  assessment: Assessment,
  settled: readonly Output[],
): void => {
  const last = completing(settled);
  const now_ms = deps.now();
  const transfer_hash = deps.creditFromMint(trx, {
    transfer_id: transferId('exchange', invoice.id),
    account_id: invoice.account_id,
    amount_minor: due.amount_minor,
    kind: 'exchange',
    reference: `bitcoin:${last.txid}:${last.vout}`,
    now_ms,
  });
  const changed = updateInvoice(
    trx,
    invoice.id,
    {
      status: due.status,
      received_sats: assessment.received_sats,
      confirmations: assessment.confirmations,
      confirmations_required: assessment.confirmations_required,
      credited_minor: due.amount_minor,
      credited_sats: due.sats,
      late_rate_minor: due.late_rate_minor,
      credit_txid: last.txid,
      transfer_hash,
      credited_at_ms: now_ms,
      credit_refusal: null,
    },
    now_ms,
    { uncredited: true },
  );
  if (changed !== 1) throw new Error(`invoice ${invoice.id} was credited meanwhile`);
  for (const output of settled) {
    if (assignOutput(trx, output, { is_credited: 1 }) !== 1)
      throw new Error(`output ${output.txid}:${output.vout} was credited meanwhile`);
  }
  failpoint('exchange:credited');
  trx.afterCommit(() => failpoint('exchange:credit-committed'));
};

/**
 * Works out anew where an invoice stands, and credits it when that is due: with its state, in one transaction, guarded
 * by a compare-and-set, a transfer id that is the invoice's, and a trigger.
 */
export const refresh = (trx: Trx, deps: ExchangeDeps, invoiceId: string, tipHeight: number): void => {
  const invoice = findInvoice(trx, invoiceId);
  if (invoice === undefined) return;
  const isCredited = invoice.credited_at_ms !== null;
  const outputs = outputsOf(trx, invoiceId);
  // A credited invoice goes on showing what counted; one that is not has counted none.
  const facts = outputs.map((output) => factOf(output, tipHeight));
  const assessment = assess({
    terms: termsOf(invoice),
    credited_as: isCredited ? invoice.status : null,
    is_expired: invoice.is_expired === 1,
    outputs: facts,
    shortfall_sats: isCredited ? 0 : shortfallOf(trx, invoice.root_id),
    rate_now_minor: deps.rateMinor,
  });
  const { due, status, ...figures } = assessment;

  if (due !== null) {
    const settled = outputs.filter((_, index) =>
      isSettled(facts[index] as OutputFact, assessment.confirmations_required),
    );
    try {
      trx.savepoint(() => credit(trx, deps, invoice, due, assessment, settled));
      // What was on its way beside it is an invoice of its own from now on.
      for (const output of outputs.filter((each) => !settled.includes(each))) adopt(trx, deps, output, tipHeight);
      return;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // The supply cap stands: the invoice waits, and says why.
      if (invoice.credit_refusal !== error.message)
        updateInvoice(trx, invoiceId, { ...figures, status, credit_refusal: error.message }, deps.now());
      return;
    }
  }
  const isSame =
    invoice.status === status &&
    invoice.received_sats === figures.received_sats &&
    invoice.confirmations === figures.confirmations &&
    (isCredited || invoice.confirmations_required === figures.confirmations_required);
  if (isSame) return;
  // The trigger lets nobody touch the status of a credited invoice, not even to the same.
  if (isCredited) {
    const { received_sats, confirmations } = figures;
    updateInvoice(trx, invoiceId, { received_sats, confirmations }, deps.now());
  } else updateInvoice(trx, invoiceId, { ...figures, status }, deps.now());
};
