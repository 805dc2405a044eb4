import { builder, hot, listOf, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { PaymentRowStatus, Tables } from '../tables.ts';
import { ESCROWED, view } from './payments.ts';

// What is decided and carried out some at a time: a handful of statements, however many payments.

const db = builder<Tables>();

const waiting = hot((p: Params<{ ids: string }>) =>
  view()
    .leftJoin('account as payee', 'payee.account_id', 'r.payee_account_id')
    .select(['payee.id as payee', 'payee.address as payee_address'])
    .where('p.id', 'in', listOf(p('ids')))
    .where('r.settled_at_ms', 'is', null)
    .where('r.kind', 'is not', null),
);
/** Those of `ids` that are decided and not carried out, with the accounts that their money goes to. */
export const findSettleable = (reader: Reader, ids: readonly string[]) =>
  reader.all(waiting, { ids: JSON.stringify(ids) });
export type Settleable = Awaited<ReturnType<typeof findSettleable>>[number];

const settle = hot((p: Params<{ ids: string; now_ms: number }>) =>
  db
    .updateTable('resolution')
    .set({ settled_at_ms: p('now_ms') })
    .where('payment_id', 'in', listOf(p('ids')))
    .where('settled_at_ms', 'is', null)
    .returning('payment_id'),
);
/** @returns those of which this was the one that settled them. */
export const setSettled = async (
  trx: Trx,
  ids: readonly string[],
  nowMs: number,
): Promise<ReadonlySet<string>> =>
  new Set(
    (await trx.all(settle, { ids: JSON.stringify(ids), now_ms: nowMs })).map(({ payment_id }) => payment_id),
  );

const end = hot((p: Params<{ ids: string; status: PaymentRowStatus; now_ms: number }>) =>
  db
    .updateTable('payment')
    .set({ status: p('status'), updated_at_ms: p('now_ms') })
    .where('id', 'in', listOf(p('ids')))
    .where('status', '=', ESCROWED),
);
export const setEnded = async (
  trx: Trx,
  ids: readonly string[],
  status: PaymentRowStatus,
  nowMs: number,
): Promise<void> => {
  if (ids.length > 0) await trx.run(end, { ids: JSON.stringify(ids), status, now_ms: nowMs });
};

export const postponeSettlement = async (trx: Trx, paymentId: string, dueAtMs: number): Promise<void> => {
  await trx.run(
    db
      .updateTable('resolution')
      .set({ due_at_ms: dueAtMs })
      .where('payment_id', '=', paymentId)
      .where('settled_at_ms', 'is', null),
  );
};
