import {
  type Constraints,
  fromMinorOrNull,
  type Job,
  type JobChange,
  type JobEnd,
  type PublicReceipt,
  type Receipt,
  toTimestamp,
  toTimestampOrNull,
  type WaitingReason,
} from '@aitbc/contracts';
import type { z } from 'zod';
import { claimsOf } from './receipts.ts';
import type { EventRow, JobRow, ReceiptRow } from './tables.ts';

const errorOf = (job: JobRow): { code: string; message: string } | null =>
  job.error_code === null ? null : { code: job.error_code, message: job.error_message ?? '' };

/** @param result null until there is one. */
export const toJob = (job: JobRow, parameters: Record<string, unknown>, result: unknown): Job => ({
  id: job.id,
  client_id: job.client_id,
  job_type: job.job_type,
  parameters,
  salt: job.salt,
  status: job.status,
  constraints: JSON.parse(job.constraints) as Constraints,
  priority: job.priority,
  labels: JSON.parse(job.labels) as string[],
  callback_url: job.callback_url,
  attempt: job.attempt,
  max_attempts: job.max_attempts,
  miner_id: job.miner_id,
  progress: job.progress,
  result,
  error: errorOf(job),
  payment_amount: fromMinorOrNull(job.payment_amount_minor),
  payment_id: job.payment_id,
  payment_status: job.payment_status,
  created_at: toTimestamp(job.created_at_ms),
  updated_at: toTimestamp(job.updated_at_ms),
  started_at: toTimestampOrNull(job.started_at_ms),
  ended_at: toTimestampOrNull(job.ended_at_ms),
  expires_at: toTimestamp(job.expires_at_ms),
  timeout_seconds: job.timeout_ms / 1_000,
  metrics: {
    queue_ms: job.started_at_ms === null ? null : job.started_at_ms - job.created_at_ms,
    run_ms:
      job.started_at_ms === null || job.ended_at_ms === null ? null : job.ended_at_ms - job.started_at_ms,
    reported: job.report_metrics === null ? null : (JSON.parse(job.report_metrics) as Record<string, number>),
  },
  content_expired_at: toTimestampOrNull(job.content_gone_at_ms),
});

export const toStatusView = (
  job: JobRow,
  waitingReason: z.output<typeof WaitingReason> | null,
  queuePosition: number | null,
) => ({
  id: job.id,
  status: job.status,
  progress: job.progress,
  attempt: job.attempt,
  waiting_reason: waitingReason,
  queue_position: queuePosition,
  error: errorOf(job),
  updated_at: toTimestamp(job.updated_at_ms),
});

const eventOf = <T extends string>(job: JobRow, event: EventRow) => ({
  id: event.id,
  type: event.type as T,
  job_id: job.id,
  status: event.status,
  attempt: event.attempt,
  progress: event.progress,
  message: job.content_gone_at_ms === null ? event.message : null,
  at: toTimestamp(event.at_ms),
});
export const toChange = (job: JobRow, event: EventRow): JobChange => eventOf(job, event);
/** @param result null when there is none, or it is too large to be sent. */
export const toEnd = (job: JobRow, event: EventRow, result: unknown): JobEnd => ({
  ...eventOf<JobEnd['type']>(job, event),
  result,
});

/** Null once it is gone. */
export const resultOf = (
  job: Pick<JobRow, 'content_gone_at_ms'>,
  receipt: Pick<ReceiptRow, 'result'>,
): unknown => (job.content_gone_at_ms === null ? JSON.parse(receipt.result) : null);

export const toReceipt = (
  job: Pick<JobRow, 'id' | 'miner_id' | 'salt'>,
  receipt: Omit<ReceiptRow, 'result' | 'job_seq'>,
  result: unknown,
): z.output<typeof Receipt> => ({
  id: receipt.id,
  job_id: job.id,
  miner_id: job.miner_id as string,
  result,
  salt: job.salt,
  proof: receipt.proof,
  created_at: toTimestamp(receipt.created_at_ms),
});

export const toPublicReceipt = (
  receipt: Pick<ReceiptRow, 'id' | 'proof' | 'created_at_ms'>,
): z.output<typeof PublicReceipt> => {
  const { receipt_id: _receiptId, ...claims } = claimsOf(receipt.proof);
  return { id: receipt.id, ...claims, created_at: toTimestamp(receipt.created_at_ms) };
};
