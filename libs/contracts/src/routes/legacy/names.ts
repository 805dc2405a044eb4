import { ledgerAddress } from '../../ledger.ts';

// What the original's programs read of an answer, beside our own names for it.

export type Fields = Record<string, unknown>;

/** What those programs show as the maker of a receipt. */
export const COORDINATOR = 'aitbc-coordinator';

export const paymentNames = (payment: Fields): Fields => ({
  ...payment,
  payment_id: payment.id,
  payment_method: 'aitbc_token',
  refund_address: ledgerAddress(String(payment.payer_id)),
});

export const statementNames = (statement: Fields): Fields => {
  const { job_id, status, transfers } = statement.claims as Fields & { transfers: { hash: string }[] };
  return { ...statement, job_id, status, transaction_hash: transfers.at(-1)?.hash ?? null };
};

export const blockNames = (block: Fields): Fields => ({ ...block, txCount: block.tx_count });

export const transactionNames = (transaction: Fields): Fields => ({
  ...transaction,
  block: transaction.block_height,
  status: transaction.block_height === null ? 'Pending' : 'Succeeded',
});

/** Their explorer shows an amount as it stands. */
export const transactionTexts = (transaction: Fields): Fields => ({
  ...transactionNames(transaction),
  value: String(transaction.value),
});

export const addressNames = (address: Fields): Fields => ({
  ...address,
  txCount: address.tx_count,
  lastActive: address.last_seen,
  recentTransactions: ((address.recent_transactions ?? []) as { hash: string }[]).map(({ hash }) => hash),
});

export const receiptNames = (receipt: Fields): Fields => ({
  ...receipt,
  receiptId: receipt.id,
  jobId: receipt.job_id,
  miner: receipt.miner_id,
  coordinator: COORDINATOR,
  issuedAt: receipt.completed_at,
  status: 'Attested',
});

export const gpuNames = (gpu: Fields): Fields => ({
  ...gpu,
  gpu_id: gpu.id,
  status: gpu.available === true ? 'available' : gpu.booked === true ? 'booked' : 'offline',
  average_rating: gpu.rating,
  total_reviews: gpu.rating_count,
});

export const orderNames = (order: Fields): Fields => ({
  ...order,
  order_id: order.id,
  booking_id: order.id,
  total_cost: order.amount,
});

/** Each item of a page. */
export const itemsNamed =
  (name: (item: Fields) => Fields) =>
  (page: Fields): Fields => ({ ...page, items: (page.items as Fields[]).map(name) });
