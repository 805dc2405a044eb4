import type { Reader } from '@aitbc/chassis';
import {
  type Block,
  CURRENCY,
  escrowAddress,
  fromMinor,
  type LedgerAddress,
  ledgerAddress,
  type Payment,
  type StatementClaims,
  type Transaction,
  type TransferKind,
  toTimestamp,
  toTimestampOrNull,
} from '@aitbc/contracts';
import { payeeOf } from './commands/resolve.ts';
import { splitFee } from './domain.ts';
import { type BlockRow, type listAddresses, listTransfersOf, type TransferRow } from './store/explorer.ts';
import type { PaymentView } from './store/payments.ts';

const isResolved = (row: PaymentView): boolean => row.status === 'released' || row.status === 'refunded';

/** What was taken, once resolved; what a full release would cost, before. */
const feeOf = (row: PaymentView): number => {
  if (row.status === 'failed') return 0;
  return row.fee_minor ?? splitFee(row.amount_minor, row.fee_basis_points).fee;
};

/** Into an escrow money moves once; out of it at most once of each other kind. */
const TRANSFERS_OF_A_PAYMENT_MAX = 4;
/** In the order in which the money moved. */
const transfersOf = async (reader: Reader, row: PaymentView): Promise<TransferRow[]> =>
  row.escrow === null
    ? []
    : listTransfersOf(
        reader,
        row.escrow,
        { after: 0, before: Number.MAX_SAFE_INTEGER, limit: TRANSFERS_OF_A_PAYMENT_MAX },
        'asc',
      );

const lastTransfer = async (reader: Reader, row: PaymentView): Promise<string | null> => {
  // A release too small to leave the payee anything is its fee alone.
  const kinds: readonly TransferKind[] = !isResolved(row)
    ? ['hold']
    : row.status === 'refunded'
      ? ['refund']
      : ['release', 'fee'];
  const transfers = await transfersOf(reader, row);
  const [last] = kinds.flatMap((kind) => transfers.filter((transfer) => transfer.kind === kind));
  return last?.hash.toString('hex') ?? null;
};

export const toPayment = async (reader: Reader, row: PaymentView): Promise<Payment> => ({
  id: row.id,
  job_id: row.job_id,
  order_id: row.order_id,
  payer_id: row.payer_account_id as string,
  payee_id: payeeOf(row),
  amount: fromMinor(row.amount_minor),
  fee: fromMinor(feeOf(row)),
  refunded_amount: fromMinor(isResolved(row) ? (row.refunded_minor ?? 0) : 0),
  currency: CURRENCY,
  status: row.status,
  failure: row.failure_code === null ? null : { code: row.failure_code, message: row.failure_message ?? '' },
  escrow_address: row.escrow_address ?? escrowAddress(row.id),
  created_at: toTimestamp(row.created_at_ms),
  updated_at: toTimestamp(row.updated_at_ms),
  expires_at: toTimestampOrNull(row.expires_at_ms),
  released_at: row.status === 'released' ? toTimestampOrNull(row.settled_at_ms) : null,
  refunded_at: row.status === 'refunded' ? toTimestampOrNull(row.settled_at_ms) : null,
  transaction_hash: await lastTransfer(reader, row),
});

const party = (accountId: string) => ({ account_id: accountId, address: ledgerAddress(accountId) });

/** What the signed statement of a payment says. */
export const toStatement = async (
  reader: Reader,
  row: PaymentView,
  nowMs: number,
): Promise<StatementClaims> => {
  const transfers = await transfersOf(reader, row);
  const isDone = isResolved(row);
  const payee = payeeOf(row);
  return {
    payment_id: row.id,
    job_id: row.job_id,
    order_id: row.order_id,
    status: row.status,
    payer: party(row.payer_account_id as string),
    payee: payee === null ? null : party(payee),
    escrow_address: row.escrow_address ?? escrowAddress(row.id),
    amount: fromMinor(row.amount_minor),
    fee: fromMinor(isDone ? (row.fee_minor ?? 0) : 0),
    earned: fromMinor(isDone ? (row.earned_minor ?? 0) : 0),
    refunded: fromMinor(isDone ? (row.refunded_minor ?? 0) : 0),
    currency: CURRENCY,
    transfers: transfers.map((transfer) => ({
      hash: transfer.hash.toString('hex'),
      kind: transfer.kind,
      from: transfer.from_address,
      to: transfer.to_address,
      amount: fromMinor(transfer.amount_minor),
      timestamp: toTimestamp(transfer.created_at_ms),
      block_height: transfer.block_height,
    })),
    block_height: transfers.at(-1)?.block_height ?? null,
    created_at: toTimestamp(row.created_at_ms),
    resolved_at: toTimestampOrNull(row.settled_at_ms),
    issued_at: toTimestamp(nowMs),
  };
};

export const toBlock = (row: BlockRow): Block => ({
  height: row.height,
  hash: row.hash,
  previous_hash: row.previous_hash,
  merkle_root: row.merkle_root,
  tx_count: row.tx_count,
  timestamp: toTimestamp(row.sealed_at_ms),
  proposer: row.proposer,
  signature: row.signature,
});

export const toTransaction = (row: TransferRow): Transaction => ({
  hash: row.hash.toString('hex'),
  id: row.id,
  block_height: row.block_height,
  from: row.from_address,
  to: row.to_address,
  value: fromMinor(row.amount_minor),
  currency: CURRENCY,
  kind: row.kind,
  reference: row.reference,
  timestamp: toTimestamp(row.created_at_ms),
});

export const toAddress = (row: Awaited<ReturnType<typeof listAddresses>>[number]): LedgerAddress => ({
  address: row.address,
  kind: row.kind,
  account_id: row.account_id,
  balance: fromMinor(row.balance_minor),
  currency: CURRENCY,
  tx_count: row.tx_count,
  first_seen: toTimestamp(row.first_seen_ms),
  last_seen: toTimestamp(row.last_seen_ms),
});
