import type { Reader } from '@aitbc/chassis';
import {
  type BitcoinDebt,
  type ExchangePayment,
  type ExchangePaymentStatus,
  fromMinor,
  fromMinorOrNull,
  fromSats,
  toTimestamp,
  toTimestampOrNull,
} from '@aitbc/contracts';
import { factOf, termsOf } from './commands/refresh.ts';
import { assess, isLate } from './domain/invoice.ts';
import { readCursor } from './store/blocks.ts';
import { type Debt, owedFor } from './store/debts.ts';
import { familyOf, type Invoice } from './store/invoices.ts';
import { outputsOf } from './store/outputs.ts';
import { paymentUri } from './uri.ts';

const common = (invoice: Invoice) => ({
  payment_id: invoice.id,
  status: invoice.status,
  payment_address: invoice.address,
  btc_amount: fromSats(invoice.amount_sats),
  aitbc_amount: fromMinor(invoice.amount_minor),
  rate: fromMinor(invoice.rate_minor),
  confirmations_required: invoice.confirmations_required,
  created_at: toTimestamp(invoice.created_at_ms),
  expires_at: toTimestamp(invoice.expires_at_ms),
});

/** Anybody may pay to an address as often as they like; each output is some 300 bytes. */
const OUTPUTS_SHOWN = 100;

/** Without the QR code: it takes milliseconds, and follows from the URI. */
export const toExchangePayment = (invoice: Invoice): Omit<ExchangePayment, 'qr'> => ({
  ...common(invoice),
  uri: paymentUri(invoice.address, invoice.amount_sats),
});

const creditOf = (invoice: Invoice): ExchangePaymentStatus['credited'] =>
  invoice.credited_at_ms === null || invoice.credited_minor === null || invoice.credited_sats === null
    ? null
    : {
        aitbc_amount: fromMinor(invoice.credited_minor),
        btc_amount: fromSats(invoice.credited_sats),
        late_rate: fromMinorOrNull(invoice.late_rate_minor),
        transaction_hash: invoice.transfer_hash ?? '',
        at: toTimestamp(invoice.credited_at_ms),
      };

export const toExchangeStatus = async (reader: Reader, invoice: Invoice): Promise<ExchangePaymentStatus> => {
  const tipHeight = (await readCursor(reader))?.height ?? 0;
  const outputs = await outputsOf(reader, invoice.id);
  const facts = outputs.map((output) => factOf(output, tipHeight));
  const isCredited = invoice.credited_at_ms !== null;
  const { received_sats, confirmations } = assess({
    terms: termsOf(invoice),
    credited_as: invoice.status,
    is_expired: invoice.is_expired === 1,
    outputs: facts,
    elsewhere_sats: 0,
    rate_now_minor: invoice.rate_minor,
  });
  const missing = isCredited ? 0 : Math.max(0, invoice.amount_sats - received_sats);
  const others = (await familyOf(reader, invoice.root_id)).map(({ id }) => id);
  const place = others.indexOf(invoice.id);
  return {
    ...common(invoice),
    received: fromSats(received_sats),
    remaining: fromSats(missing),
    confirmations,
    tx_hash: invoice.credit_txid ?? outputs.at(-1)?.txid ?? null,
    transactions: outputs.slice(-OUTPUTS_SHOWN).map((output) => ({
      txid: output.txid,
      vout: output.vout,
      btc_amount: fromSats(output.value_sats),
      state: output.state,
      confirmations: factOf(output, tipHeight).confirmations,
      block_height: output.block_height,
      late: isLate(termsOf(invoice), output),
      credited: output.is_credited === 1,
      first_seen_at: toTimestamp(output.first_seen_ms),
    })),
    credited: creditOf(invoice),
    debt: fromMinor(await owedFor(reader, invoice.id)),
    reverted: outputs.some((output) => output.is_credited === 1 && output.state !== 'confirmed'),
    follows: others[place - 1] ?? null,
    followed_by: others[place + 1] ?? null,
    updated_at: toTimestamp(invoice.updated_at_ms),
  };
};

export const toDebt = (debt: Debt): BitcoinDebt => ({
  id: debt.id,
  account_id: debt.account_id as string,
  payment_id: debt.invoice_id,
  txid: debt.txid,
  vout: debt.vout,
  btc_amount: fromSats(debt.value_sats),
  amount: fromMinor(debt.amount_minor),
  status: debt.status,
  balance: fromMinor(debt.balance_minor),
  transaction_hash: debt.transfer_hash,
  opened_at: toTimestamp(debt.opened_at_ms),
  closed_at: toTimestampOrNull(debt.closed_at_ms),
});
