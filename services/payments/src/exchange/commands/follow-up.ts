import type { Trx } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import type { ExchangeDeps } from '../deps.ts';
import { confirmationsRequired } from '../domain/invoice.ts';
import { addInvoice, findInvoice, findOpenOf, type Invoice } from '../store/invoices.ts';

/** The invoice of a family that takes what arrives now: the open one, or a new one at the rate of the day. */
export const openInvoiceOf = async (trx: Trx, deps: ExchangeDeps, rootId: string): Promise<Invoice> => {
  const open = await findOpenOf(trx, rootId);
  if (open !== undefined) return open;
  const root = await findInvoice(trx, rootId);
  if (root === undefined) throw new Error(`invoice ${rootId} is missing`);
  const nowMs = deps.now();
  const id = newId();
  await addInvoice(trx, {
    id,
    account_id: root.account_id,
    root_id: rootId,
    address: root.address,
    script: root.script,
    wallet_id: root.wallet_id,
    address_index: root.address_index,
    reserved_sats: null,
    amount_sats: 0,
    amount_minor: 0,
    rate_minor: deps.rateMinor,
    created_at_ms: nowMs,
    expires_at_ms: nowMs,
    is_expired: 1,
    status: 'expired',
    confirmations_required: confirmationsRequired(0),
  });
  return (await findInvoice(trx, id)) as Invoice;
};
