export type { ChatAnswer, ChatEvent, ChatMessage, ChatRequest } from './chat.ts';
export { Aitbc } from './client.ts';
export type * from './contract.ts';
export * from './errors.ts';
export type { AitbcOptions, Input, OperationName, Reply, RequestOptions } from './http.ts';
export { operationNames } from './http.ts';
export type { BatchItem, BatchOptions, Submitted } from './jobs/batch.ts';
export { hasEnded, type Jobs, type RunOptions, type SubmissionOptions } from './jobs/jobs.ts';
export type { WatchOptions } from './jobs/watch.ts';
export { List, type Page } from './list.ts';
export type { PublicKey } from './verify/bytes.ts';
export { type LedgerVerdict, verifyBlock, verifyInclusion } from './verify/ledger.ts';
export { type ReceiptVerdict, verifyReceipt } from './verify/receipt.ts';
export {
  verifyWebhook,
  type WebhookHeaders,
  type WebhookOptions,
  WebhookVerificationError,
} from './verify/webhook.ts';
