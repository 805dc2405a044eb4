import { builder, hot, insertMany, listOf, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { PaymentRowStatus, Tables } from '../tables.ts';

const db = builder<Tables>();

// Written into the statement: a partial index is not found for a bound value.
export const ESCROWED = sql.lit<PaymentRowStatus>('escrowed');

/** A payment with all that decides over it, as a query. */
export const view = () =>
  db
    .selectFrom('payment as p')
    .innerJoin('account as payer', 'payer.id', 'p.payer')
    .leftJoin('account as escrow', 'escrow.id', 'p.escrow')
    .leftJoin('job as j', 'j.id', 'p.job_id')
    .leftJoin('booking as b', 'b.order_id', 'p.order_id')
    .leftJoin('resolution as r', 'r.payment_id', 'p.id')
    .select([
      'p.id',
      'p.job_id',
      'p.order_id',
      'p.payer',
      'p.escrow',
      'p.credential_id',
      'p.amount_minor',
      'p.fee_basis_points',
      'p.status',
      'p.failure_code',
      'p.failure_message',
      'p.created_at_ms',
      'p.updated_at_ms',
      'p.expires_at_ms',
      'payer.account_id as payer_account_id',
      'payer.address as payer_address',
      'escrow.address as escrow_address',
      'j.ended_status',
      'j.ended_payment_id',
      'j.miner_id',
      'j.miner_account_id',
      'b.owner_account_id as booking_owner_account_id',
      'b.end_pay_minor',
      'b.end_reason',
      'r.kind as decision',
      'r.payee_account_id',
      'r.earned_minor',
      'r.fee_minor',
      'r.refunded_minor',
      'r.settled_at_ms',
    ]);

const byId = hot((p: Params<{ id: string }>) => view().where('p.id', '=', p('id')));
const byJob = hot((p: Params<{ job_id: string }>) => view().where('p.job_id', '=', p('job_id')));
const byOrder = hot((p: Params<{ order_id: string }>) => view().where('p.order_id', '=', p('order_id')));

export const findPayment = (reader: Reader, id: string) => reader.get(byId, { id });
export const findPaymentOfJob = (reader: Reader, jobId: string) => reader.get(byJob, { job_id: jobId });
export const findPaymentOfOrder = (reader: Reader, orderId: string) =>
  reader.get(byOrder, { order_id: orderId });
/** A payment with all that decides over it. */
export type PaymentView = NonNullable<Awaited<ReturnType<typeof findPayment>>>;

const ofJobs = hot((p: Params<{ job_ids: string }>) => view().where('p.job_id', 'in', listOf(p('job_ids'))));
/** Of those jobs that have one. */
export const findPaymentsOfJobs = (reader: Reader, jobIds: readonly string[]) =>
  reader.all(ofJobs, { job_ids: JSON.stringify(jobIds) });

export const addPayments = insertMany<Tables['payment']>('payment', [
  'id',
  'job_id',
  'order_id',
  'payer',
  'escrow',
  'credential_id',
  'amount_minor',
  'fee_basis_points',
  'status',
  'failure_code',
  'failure_message',
  'created_at_ms',
  'updated_at_ms',
  'expires_at_ms',
]);

const moveDeadline = hot((p: Params<{ id: string; expires_at_ms: number; now_ms: number }>) =>
  db
    .updateTable('payment')
    .set({ expires_at_ms: p('expires_at_ms'), updated_at_ms: p('now_ms') })
    .where('id', '=', p('id'))
    .where('status', '=', ESCROWED),
);
export const setDeadline = async (
  trx: Trx,
  id: string,
  expiresAtMs: number,
  nowMs: number,
): Promise<void> => {
  await trx.run(moveDeadline, { id, expires_at_ms: expiresAtMs, now_ms: nowMs });
};

const duePayments = hot((p: Params<{ now_ms: number; limit: number }>) =>
  db
    .selectFrom('payment')
    .select('id')
    .where('status', '=', ESCROWED)
    .where('expires_at_ms', '<=', p('now_ms'))
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('resolution')
            .select('payment_id')
            .whereRef('resolution.payment_id', '=', 'payment.id'),
        ),
      ),
    )
    .orderBy('expires_at_ms')
    .limit(p('limit')),
);
export const findPastDeadline = async (reader: Reader, nowMs: number, limit: number): Promise<string[]> =>
  (await reader.all(duePayments, { now_ms: nowMs, limit })).map((row) => row.id);

/** The decisions over payments: the primary key lets only the first of each in. */
export const addResolutions = insertMany<Tables['resolution']>('resolution', [
  'payment_id',
  'amount_minor',
  'kind',
  'payee_account_id',
  'miner_id',
  'earned_minor',
  'fee_minor',
  'refunded_minor',
  'reason',
  'decided_by',
  'decided_at_ms',
  'due_at_ms',
  'settled_at_ms',
]);

const dueResolutions = hot((p: Params<{ now_ms: number; limit: number }>) =>
  db
    .selectFrom('resolution')
    .select('payment_id')
    .where('settled_at_ms', 'is', null)
    .where('due_at_ms', '<=', p('now_ms'))
    .orderBy('due_at_ms')
    .limit(p('limit')),
);
export const findUnsettled = async (reader: Reader, nowMs: number, limit: number): Promise<string[]> =>
  (await reader.all(dueResolutions, { now_ms: nowMs, limit })).map((row) => row.payment_id);

const spent = hot((p: Params<{ credential_id: string }>) =>
  db.selectFrom('credential_spend').select('spent_minor').where('credential_id', '=', p('credential_id')),
);
const addSpend = hot((p: Params<{ credential_id: string; amount_minor: number }>) =>
  db
    .insertInto('credential_spend')
    .values({ credential_id: p('credential_id'), spent_minor: p('amount_minor') })
    .onConflict((conflict) =>
      conflict
        .column('credential_id')
        .doUpdateSet((eb) => ({ spent_minor: eb('credential_spend.spent_minor', '+', p('amount_minor')) })),
    ),
);
const giveBack = hot((p: Params<{ credential_id: string; amount_minor: number }>) =>
  db
    .updateTable('credential_spend')
    .set((eb) => ({ spent_minor: eb('spent_minor', '-', p('amount_minor')) }))
    .where('credential_id', '=', p('credential_id')),
);
export const spentBy = async (reader: Reader, credentialId: string | null): Promise<number> =>
  credentialId === null ? 0 : ((await reader.get(spent, { credential_id: credentialId }))?.spent_minor ?? 0);
export const noteSpent = async (
  trx: Trx,
  credentialId: string | null,
  amountMinor: number,
): Promise<void> => {
  if (credentialId !== null)
    await trx.run(addSpend, { credential_id: credentialId, amount_minor: amountMinor });
};
export const noteGivenBack = async (
  trx: Trx,
  credentialId: string | null,
  amountMinor: number,
): Promise<void> => {
  if (credentialId !== null && amountMinor > 0)
    await trx.run(giveBack, { credential_id: credentialId, amount_minor: amountMinor });
};
