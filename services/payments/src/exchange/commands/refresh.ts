import { failpoint, isStoreFault, sendAs, type Trx } from '@aitbc/chassis';
import { fromMinor, Problem } from '@aitbc/contracts';
import { findUser } from '../../store/accounts.ts';
import { transferId } from '../../store/transfers.ts';
import type { ExchangeDeps } from '../deps.ts';
import {
  type Assessment,
  assess,
  type DueCredit,
  FINAL_CONFIRMATIONS,
  isSettled,
  type OutputFact,
  type Terms,
} from '../domain/invoice.ts';
import { isLive } from '../domain/output.ts';
import { owedBy } from '../store/debts.ts';
import type { Exposure } from '../store/exposure.ts';
import { findInvoice, type Invoice, updateInvoice } from '../store/invoices.ts';
import { assignOutput, type Output, outputsOf } from '../store/outputs.ts';
import { openInvoiceOf } from './follow-up.ts';

const send = sendAs<'payments'>();

/** After a failure that is ours, so long until this invoice is tried again; the others go on at once. */
const QUARANTINE_MS = 60_000;

/** What may be concluded now. */
export interface Standpoint {
  /** As far as the chain was looked at. */
  readonly tipHeight: number;
  /** Only a look that shows the outputs where they are now may lead to a credit. */
  readonly mayCredit: boolean;
  /** What is at risk already; null where nothing may be credited, and nobody looks. */
  readonly exposure: Exposure | null;
}

export const termsOf = (invoice: Invoice): Terms => invoice;

/** An output as the domain sees it. @param tipHeight as far as the chain was looked at */
export const factOf = (output: Output, tipHeight: number): OutputFact => ({
  state: output.state,
  value_sats: output.value_sats,
  confirmations: output.block_height === null ? 0 : Math.max(0, tipHeight - output.block_height + 1),
  first_seen_ms: output.first_seen_ms,
});

const valueAtRisk = (facts: readonly OutputFact[]): number =>
  facts
    .filter(({ state, confirmations }) => isLive(state) && confirmations < FINAL_CONFIRMATIONS)
    .reduce((sum, { value_sats }) => sum + value_sats, 0);

/** What is at risk beside this invoice. Not looked up for one that got nothing: there is nothing to wait for. */
const elsewhere = async (
  trx: Trx,
  from: Standpoint,
  invoice: Invoice,
  facts: readonly OutputFact[],
): Promise<number> => {
  if (facts.length === 0 || from.exposure === null) return 0;
  const account = await findUser(trx, invoice.account_id);
  if (account !== undefined && (await owedBy(trx, account.id)) > 0) return Number.POSITIVE_INFINITY;
  const own = Math.max(0, (await from.exposure.liveOf(invoice.account_id)) - valueAtRisk(facts));
  return own + (await from.exposure.creditedToOthers(invoice.account_id));
};

/** The output that made the payment whole: of the settled ones the last to enter the chain. */
const completing = (settled: readonly Output[]): Output =>
  settled.reduce((last, output) => ((output.block_height ?? 0) >= (last.block_height ?? 0) ? output : last));

type CreditArguments = [invoice: Invoice, due: DueCredit, assessment: Assessment, settled: readonly Output[]];

const credit = async (
  trx: Trx,
  deps: ExchangeDeps,
  ...[invoice, due, assessment, settled]: CreditArguments
): Promise<void> => {
  const last = completing(settled);
  const now_ms = deps.now();
  const transfer_hash = await deps.creditFromMint(trx, {
    transfer_id: transferId('exchange', invoice.id),
    account_id: invoice.account_id,
    amount_minor: due.amount_minor,
    kind: 'exchange',
    reference: `bitcoin:${last.txid}:${last.vout}`,
    now_ms,
  });
  const changed = await updateInvoice(
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
    if ((await assignOutput(trx, output, { is_credited: 1 })) !== 1)
      throw new Error(`output ${output.txid}:${output.vout} was credited meanwhile`);
  }
  if (deps.listeners.has(invoice.account_id))
    await send(trx, 'payments.announced', {
      account_ids: [invoice.account_id],
      object_id: invoice.id,
      at_ms: now_ms,
      fact: {
        type: 'invoice.confirmed',
        data: { payment_id: invoice.id, status: due.status, credited: fromMinor(due.amount_minor) },
      },
    });
  failpoint('exchange:credited');
  trx.afterCommit(() => failpoint('exchange:credit-committed'));
};

/**
 * Works out anew where an invoice stands, and credits it when that is due: with its state, in one transaction, guarded
 * by a compare-and-set, a transfer id that is the invoice's, and a trigger.
 */
export const refresh = async (
  trx: Trx,
  deps: ExchangeDeps,
  invoiceId: string,
  from: Standpoint,
): Promise<void> => {
  const invoice = await findInvoice(trx, invoiceId);
  if (invoice === undefined) return;
  const isCredited = invoice.credited_at_ms !== null;
  const outputs = await outputsOf(trx, invoiceId);
  const facts = outputs.map((output) => factOf(output, from.tipHeight));
  const assessment = assess({
    terms: termsOf(invoice),
    credited_as: isCredited ? invoice.status : null,
    is_expired: invoice.is_expired === 1,
    outputs: facts,
    elsewhere_sats: isCredited ? 0 : await elsewhere(trx, from, invoice, facts),
    rate_now_minor: deps.rateMinor,
  });
  const { due, status, ...known } = assessment;
  const figures =
    from.exposure === null ? { ...known, confirmations_required: invoice.confirmations_required } : known;

  if (due !== null && from.mayCredit && (deps.quarantine.get(invoiceId) ?? 0) <= deps.now()) {
    const settled = outputs.filter((_, index) =>
      isSettled(facts[index] as OutputFact, assessment.confirmations_required),
    );
    const refusal = await tryCredit(trx, deps, invoice, due, assessment, settled);
    if (refusal === null) {
      await from.exposure?.credited(
        invoice.account_id,
        valueAtRisk(settled.map((each) => factOf(each, from.tipHeight))),
      );
      // What was on its way beside it is an invoice of its own from now on.
      for (const output of outputs) if (!settled.includes(output)) await adopt(trx, deps, output, from);
    } else if (invoice.credit_refusal !== refusal) {
      await updateInvoice(trx, invoiceId, { ...figures, status, credit_refusal: refusal }, deps.now());
    }
    return;
  }
  const isSame =
    invoice.status === status &&
    invoice.received_sats === figures.received_sats &&
    (isCredited ||
      (invoice.confirmations === figures.confirmations &&
        invoice.confirmations_required === figures.confirmations_required));
  if (isSame) return;
  // The trigger lets nobody touch the status of a credited invoice, not even to the same.
  const changes = isCredited ? { received_sats: figures.received_sats } : { ...figures, status };
  await updateInvoice(trx, invoiceId, changes, deps.now());
};

/** @returns null, or why there is no credit now: the supply cap stands, and the invoice waits. */
const tryCredit = async (trx: Trx, deps: ExchangeDeps, ...rest: CreditArguments): Promise<string | null> => {
  try {
    await trx.savepoint(() => credit(trx, deps, ...rest));
    return null;
  } catch (error) {
    if (error instanceof Problem) return error.message;
    const [invoice] = rest;
    if (!isStoreFault(error)) deps.quarantine.set(invoice.id, deps.now() + QUARANTINE_MS);
    throw error;
  }
};

/** Moves a living output whose invoice was credited without it to the family's open invoice. */
export const adopt = async (
  trx: Trx,
  deps: ExchangeDeps,
  output: Output,
  from: Standpoint,
): Promise<void> => {
  if (output.is_credited === 1 || output.invoice_id === null || !isLive(output.state)) return;
  const invoice = await findInvoice(trx, output.invoice_id);
  if (invoice === undefined || invoice.credited_at_ms === null) return;
  const open = await openInvoiceOf(trx, deps, invoice.root_id);
  await assignOutput(trx, output, { invoice_id: open.id });
  await refresh(trx, deps, open.id, from);
  await refresh(trx, deps, invoice.id, from);
};
