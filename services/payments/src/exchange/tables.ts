import type { DebtStatus, InvoiceStatus } from '@aitbc/contracts';
import type { Generated } from 'kysely';
import type { KnownState } from './domain/output.ts';

/** The tables of migrations 0010 and 0020: the exchange's own, beside those of the ledger. */
export type { DebtStatus };

export interface Tables {
  exchange_wallet: { id: string; next_index: number };
  exchange_invoice: {
    id: string;
    account_id: string;
    root_id: string;
    address: string;
    script: string;
    wallet_id: string | null;
    address_index: number | null;
    reserved_sats: number | null;
    amount_sats: number;
    amount_minor: number;
    rate_minor: number;
    created_at_ms: number;
    expires_at_ms: number;
    is_expired: Generated<number>;
    status: InvoiceStatus;
    received_sats: Generated<number>;
    confirmations: Generated<number>;
    confirmations_required: number;
    credited_minor: Generated<number | null>;
    credited_sats: Generated<number | null>;
    late_rate_minor: Generated<number | null>;
    credit_txid: Generated<string | null>;
    transfer_hash: Generated<string | null>;
    credited_at_ms: Generated<number | null>;
    credit_refusal: Generated<string | null>;
    looked_at_ms: Generated<number>;
    version: Generated<number>;
    updated_at_ms: number;
  };
  exchange_output: {
    txid: string;
    vout: number;
    invoice_id: string | null;
    script: string;
    value_sats: number;
    state: KnownState;
    block_height: number | null;
    block_hash: string | null;
    first_seen_ms: number;
    is_credited: Generated<number>;
  };
  exchange_debt: {
    id: string;
    account: number;
    invoice_id: string;
    txid: string;
    vout: number;
    value_sats: number;
    amount_minor: number;
    status: Generated<DebtStatus>;
    opened_at_ms: number;
    closed_at_ms: Generated<number | null>;
    transfer_hash: Generated<string | null>;
  };
  exchange_block: { height: number; hash: string };
  exchange_cursor: { id: number; height: number; hash: string };
  local_block: { height: number; hash: string; header: Buffer; time_s: number };
  local_transaction: {
    txid: string;
    raw: Buffer;
    fee_sats: number;
    height: number | null;
    position: number;
  };
  local_output: {
    txid: string;
    vout: number;
    script: string;
    value_sats: number;
    spent_by: string | null;
  };
}
