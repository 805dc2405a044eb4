import { failpoint, type Reader, type Trx } from '@aitbc/chassis';
import {
  INVOICE_SATS_MIN,
  invalidField,
  MAX_AMOUNT,
  newId,
  OPEN_INVOICES_MAX,
  Problem,
  toMinor,
  toSats,
} from '@aitbc/contracts';
import type { ExchangeDeps } from '../deps.ts';
import { btcText, priceOfSats, quote } from '../domain/amounts.ts';
import { confirmationsRequired } from '../domain/invoice.ts';
import { readCursor } from '../store/blocks.ts';
import { createExposure } from '../store/exposure.ts';
import {
  addInvoice,
  countOpen,
  findInvoice,
  freeAmount,
  type Invoice,
  peekIndex,
  takeIndex,
} from '../store/invoices.ts';

/** Satoshis added at most on a shared address: 0.0001 BTC, credited like the rest. */
const DISTINCTION_SATS_MAX = 9_999;
const AMOUNT_MAX_MINOR = toMinor(MAX_AMOUNT);

interface Asked {
  readonly aitbc_amount?: number | undefined;
  readonly btc_amount?: number | undefined;
}

/** Both amounts of a new invoice. @throws Problem when they do not agree, or are too small or too large */
const priced = (asked: Asked, rateMinor: number): { amount_sats: number; amount_minor: number } => {
  const aitbc_minor = asked.aitbc_amount === undefined ? undefined : toMinor(asked.aitbc_amount);
  const btc_sats = asked.btc_amount === undefined ? undefined : toSats(asked.btc_amount);
  const found = quote({ aitbc_minor, btc_sats }, rateMinor);
  const field = aitbc_minor === undefined ? 'btc_amount' : 'aitbc_amount';
  if (!found.ok) {
    throw new Problem(
      'AMOUNT_MISMATCH',
      `aitbc_amount costs ${btcText(found.expected_sats)} BTC at the current rate; give one of the two amounts.`,
      { details: { expected_btc_amount: Number(btcText(found.expected_sats)) } },
    );
  }
  if (found.amount_sats < INVOICE_SATS_MIN || found.amount_minor < 1)
    throw invalidField(field, `must be worth at least ${btcText(INVOICE_SATS_MIN)} BTC`);
  if (found.amount_minor > AMOUNT_MAX_MINOR)
    throw invalidField(field, `must be worth at most ${MAX_AMOUNT} AITBC`);
  return { amount_sats: found.amount_sats, amount_minor: found.amount_minor };
};

type Destination = Pick<
  Invoice,
  'address' | 'script' | 'wallet_id' | 'address_index' | 'reserved_sats' | 'amount_sats' | 'amount_minor'
>;

const allocate = async (
  trx: Trx,
  deps: ExchangeDeps,
  price: { amount_sats: number; amount_minor: number },
): Promise<Destination> => {
  const { wallet } = deps;
  if (wallet.kind === 'derived') {
    const address_index = await takeIndex(trx, wallet.id);
    const { address, script } = wallet.derive(address_index);
    return { ...price, address, script, wallet_id: wallet.id, address_index, reserved_sats: null };
  }
  const { address, script } = wallet;
  const amount_sats = await freeAmount(trx, script, price.amount_sats, DISTINCTION_SATS_MAX);
  if (amount_sats === null)
    throw new Problem(
      'SERVICE_UNAVAILABLE',
      'Too many payments of this amount are open; try another amount.',
      {
        retryAfterSeconds: 60,
      },
    );
  const amount_minor = Math.min(
    price.amount_minor + priceOfSats(amount_sats - price.amount_sats, deps.rateMinor),
    AMOUNT_MAX_MINOR,
  );
  return {
    address,
    script,
    wallet_id: null,
    address_index: null,
    reserved_sats: amount_sats,
    amount_sats,
    amount_minor,
  };
};

/** Derives the address that will likely come next, outside the transaction: a curve multiplication takes milliseconds. */
export const prepareAddress = async (reader: Reader, deps: ExchangeDeps): Promise<void> => {
  if (deps.wallet.kind === 'derived') deps.wallet.derive(await peekIndex(reader, deps.wallet.id));
};

/** A new invoice. @throws Problem INVOICE_LIMIT_REACHED, SUPPLY_CAP_REACHED, AMOUNT_MISMATCH, VALIDATION_ERROR */
export const createInvoice = async (
  trx: Trx,
  deps: ExchangeDeps,
  accountId: string,
  asked: Asked,
): Promise<Invoice> => {
  const nowMs = deps.now();
  const price = priced(asked, deps.rateMinor);
  if ((await countOpen(trx, accountId, nowMs)) >= OPEN_INVOICES_MAX) {
    throw new Problem(
      'INVOICE_LIMIT_REACHED',
      `At most ${OPEN_INVOICES_MAX} payments may be open at a time; pay one, or wait until one has expired.`,
    );
  }
  if (price.amount_minor > (await deps.mintableMinor(trx)))
    throw new Problem('SUPPLY_CAP_REACHED', 'So much can no longer be made; ask for less.');
  const destination = await allocate(trx, deps, price);
  const exposure = createExposure(trx, (await readCursor(trx))?.height ?? 0, nowMs);
  const atRisk = (await exposure.liveOf(accountId)) + (await exposure.creditedToOthers(accountId));
  const id = newId();
  await addInvoice(trx, {
    ...destination,
    id,
    account_id: accountId,
    root_id: id,
    rate_minor: deps.rateMinor,
    created_at_ms: nowMs,
    expires_at_ms: nowMs + deps.invoiceMs,
    is_expired: 0,
    status: 'pending',
    confirmations_required: confirmationsRequired(destination.amount_sats + atRisk),
  });
  failpoint('exchange:created');
  trx.afterCommit(() => failpoint('exchange:create-committed'));
  return (await findInvoice(trx, id)) as Invoice;
};
