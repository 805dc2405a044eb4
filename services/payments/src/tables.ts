import type { AccountKind, Payload, TransferKind } from '@aitbc/contracts';
import type { Generated } from 'kysely';

export interface Tables {
  account: {
    id: Generated<number>;
    address: string;
    account_id: string | null;
    kind: AccountKind;
    balance_minor: Generated<number>;
    sealed_minor: Generated<number>;
    held_minor: Generated<number>;
    tx_count: Generated<number>;
    first_seen_ms: number;
    last_seen_ms: number;
  };
  transfer: {
    seq: Generated<number>;
    id: string;
    hash: Buffer;
    debit: number;
    credit: number;
    amount_minor: number;
    kind: TransferKind;
    reference: string;
    created_at_ms: number;
  };
  job: {
    id: string;
    owner_account_id: string | null;
    started_attempt: Generated<number>;
    miner_id: string | null;
    miner_account_id: string | null;
    deadline_at_ms: number | null;
    ended_status: EndedStatus | null;
    ended_at_ms: number | null;
    /** The last attempt that ended without a result; the job waits while none started after it. */
    requeued_attempt: Generated<number>;
    /** The payment that stood when the attempt that completed was leased. */
    ended_payment_id: string | null;
    /** 1: looked at when its time was over, and kept, for it has a payment. */
    is_kept: Generated<0 | 1>;
  };
  refund_request: RefundRequest;
  booking: {
    order_id: string;
    owner_account_id: string | null;
    end_pay_minor: number | null;
    end_reason: string | null;
  };
  payment: {
    id: string;
    job_id: string | null;
    order_id: string | null;
    payer: number;
    escrow: number | null;
    credential_id: string | null;
    amount_minor: number;
    fee_basis_points: number;
    status: PaymentRowStatus;
    failure_code: string | null;
    failure_message: string | null;
    created_at_ms: number;
    updated_at_ms: number;
    expires_at_ms: number | null;
  };
  resolution: {
    payment_id: string;
    amount_minor: number;
    kind: ResolutionKind;
    payee_account_id: string | null;
    miner_id: string | null;
    earned_minor: number;
    fee_minor: number;
    refunded_minor: number;
    reason: string;
    decided_by: string | null;
    decided_at_ms: number;
    due_at_ms: number;
    settled_at_ms: number | null;
  };
  credential_spend: { credential_id: string; spent_minor: number };
  transfer_memo: { reference: string; memo: string };
  credential_transfer: { credential_id: string; day: number; moved_minor: number };
  credit: {
    id: string;
    account: number;
    amount_minor: number;
    reason: string;
    credited_by: string;
    created_at_ms: number;
  };
  allocation: {
    proposal_id: string;
    recipient_account_id: string;
    amount_minor: number;
    failure: string | null;
    created_at_ms: number;
  };
  block: {
    height: number;
    hash: string;
    previous_hash: string;
    merkle_root: string;
    first_seq: number;
    last_seq: number;
    tx_count: number;
    sealed_at_ms: number;
    proposer: string;
    signature: string;
  };
  /** One row: the term of whoever seals now. */
  sealer: { id: number; term: number };
  signing_key: { kid: string; x: string; private_pkcs8: string | null; created_at_ms: number };
}

export interface RefundRequest {
  payment_id: string;
  account_id: string;
  id: string;
  actor: Exclude<Actor, 'deadline'>;
  reason: string;
  asked_at_ms: number;
  refused_code: Payload<'jobs.refund_refused'>['code'] | null;
}

/** Who may want a refund. */
export type Actor = Payload<'payments.refund_requested'>['actor'];
export type EndedStatus = 'completed' | 'failed' | 'cancelled' | 'expired';
export type PaymentRowStatus = 'escrowed' | 'released' | 'refunded' | 'failed';
export type ResolutionKind = 'release' | 'refund';
