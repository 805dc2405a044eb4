import { failpoint, type Trx } from '@aitbc/chassis';
import { Problem } from '@aitbc/contracts';
import { MINT, openUser } from '../../store/accounts.ts';
import { move, transferId } from '../../store/transfers.ts';
import type { ExchangeDeps } from '../deps.ts';
import { shareOf } from '../domain/amounts.ts';
import { addDebt, closeDebt, debtsBackInChain, findDebt, standingDebtOf } from '../store/debts.ts';
import { findInvoice, invoiceTopic } from '../store/invoices.ts';
import { type Output, outputsOf } from '../store/outputs.ts';

/** Looked at in one observation; the next one goes on. */
const RETURNS_MAX = 100;

/**
 * An output that was credited has left the chain: its share of the credit is owed from now on. The mint made that money
 * for nothing, and it may be spent already, so nothing is taken here: the account cannot spend what it owes.
 */
export const openDebt = async (trx: Trx, deps: ExchangeDeps, output: Output): Promise<void> => {
  if (output.invoice_id === null || (await standingDebtOf(trx, output)) !== undefined) return;
  const invoice = await findInvoice(trx, output.invoice_id);
  if (invoice?.credited_minor == null) return;
  const counted = (await outputsOf(trx, invoice.id))
    .filter((each) => each.is_credited === 1)
    .reduce((sum, each) => sum + each.value_sats, 0);
  const amount_minor = shareOf(invoice.credited_minor, output.value_sats, counted);
  if (amount_minor === 0) return;
  await addDebt(trx, {
    account: (await openUser(trx, invoice.account_id, deps.now())).id,
    invoice_id: invoice.id,
    txid: output.txid,
    vout: output.vout,
    value_sats: output.value_sats,
    amount_minor,
    opened_at_ms: deps.now(),
  });
  trx.notify(invoiceTopic(invoice.id));
  failpoint('exchange:debt-opened');
};

/** Takes a debt from an account that has the money, all of it, once. */
export const collectDebt = async (trx: Trx, now: () => number, id: string): Promise<void> => {
  const debt = await findDebt(trx, id);
  if (debt?.status !== 'open' || debt.balance_minor < debt.amount_minor) return;
  const now_ms = now();
  const transfer_hash = await move(trx, {
    id: transferId('exchange', `debt:${id}`),
    kind: 'exchange',
    reference: `debt:${id}`,
    from: { id: debt.account, address: debt.address },
    to: MINT,
    amount_minor: debt.amount_minor,
    now_ms,
  });
  if (!(await closeDebt(trx, debt, { status: 'paid', transfer_hash, closed_at_ms: now_ms })))
    throw new Error(`debt ${id} was closed meanwhile`);
  trx.notify(invoiceTopic(debt.invoice_id));
  failpoint('exchange:debt-collected');
};

/** The output stands in the chain again: nothing is owed for it, and what was taken comes back. */
const returnDebt = async (trx: Trx, deps: ExchangeDeps, id: string): Promise<void> => {
  const debt = await findDebt(trx, id);
  if (debt === undefined || debt.status === 'returned') return;
  const now_ms = deps.now();
  if (debt.status === 'paid') {
    await deps.creditFromMint(trx, {
      transfer_id: transferId('exchange', `debt-returned:${id}`),
      account_id: debt.account_id as string,
      amount_minor: debt.amount_minor,
      kind: 'exchange',
      reference: `debt:${id}`,
      now_ms,
    });
  }
  if (!(await closeDebt(trx, debt, { status: 'returned', closed_at_ms: now_ms })))
    throw new Error(`debt ${id} was closed meanwhile`);
  trx.notify(invoiceTopic(debt.invoice_id));
  failpoint('exchange:debt-returned');
};

/** Ends the debts of outputs that are in the chain again, as deep as their credit needed. */
export const returnDebts = async (
  trx: Trx,
  deps: ExchangeDeps,
  tipHeight: number,
  vouchesFor: (script: string) => boolean,
): Promise<void> => {
  for (const { id, script } of await debtsBackInChain(trx, tipHeight, RETURNS_MAX)) {
    if (!vouchesFor(script)) continue;
    try {
      await trx.savepoint(() => returnDebt(trx, deps, id));
    } catch (error) {
      // At the supply cap it waits: what was paid comes back once there is room.
      if (!(error instanceof Problem)) throw error;
    }
  }
};
