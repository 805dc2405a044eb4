import { failpoint, type Trx } from '@aitbc/chassis';
import type { ExchangeDeps } from '../deps.ts';
import { readCursor } from '../store/blocks.ts';
import { findInvoice, updateInvoice } from '../store/invoices.ts';
import { LOOK } from './observe.ts';
import { refresh } from './refresh.ts';

/** The time of an invoice is over. What was seen of the chain so far decides what that means. */
export const expire = async (trx: Trx, deps: ExchangeDeps, invoiceId: string): Promise<void> => {
  const nowMs = deps.now();
  const invoice = await findInvoice(trx, invoiceId);
  if (invoice === undefined || invoice.is_expired === 1 || invoice.expires_at_ms > nowMs) return;
  await updateInvoice(trx, invoiceId, { is_expired: 1 }, nowMs);
  await refresh(trx, deps, invoiceId, {
    tipHeight: (await readCursor(trx))?.height ?? 0,
    mayCredit: false,
    exposure: null,
  });
  // A part that came may be due now: a look decides.
  trx.notify(LOOK);
  failpoint('exchange:expired');
  trx.afterCommit(() => failpoint('exchange:expire-committed'));
};
