import { failpoint, type Trx } from '@aitbc/chassis';
import type { ExchangeDeps } from '../deps.ts';
import { readCursor } from '../store/blocks.ts';
import { findInvoice, updateInvoice } from '../store/invoices.ts';
import { refresh } from './refresh.ts';

/** The time of an invoice is over. What was seen of the chain so far decides what that means. */
export const expire = (trx: Trx, deps: ExchangeDeps, invoiceId: string): void => {
  const nowMs = deps.now();
  const invoice = findInvoice(trx, invoiceId);
  if (invoice === undefined || invoice.is_expired === 1 || invoice.expires_at_ms > nowMs) return;
  updateInvoice(trx, invoiceId, { is_expired: 1 }, nowMs);
  refresh(trx, deps, invoiceId, readCursor(trx)?.height ?? 0);
  failpoint('exchange:expired');
  trx.afterCommit(() => failpoint('exchange:expire-committed'));
};
