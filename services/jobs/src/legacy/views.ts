import { isRecord, type LegacyJob, toTimestamp } from '@aitbc/contracts';
import type { JobRow } from '../tables.ts';
import { STATES } from './names.ts';

type Fields = Record<string, unknown>;

/** A result as both kinds of client read it: a written one has its text as `text` and as `output`, a bare text is `output`. */
export const bothWays = (jobType: JobRow['job_type'], result: unknown): unknown => {
  if (typeof result === 'string') return bothWays(jobType, { output: result });
  if (!isRecord(result) || jobType !== 'llm_inference') return result;
  const { text, output } = result;
  if (text === undefined && typeof output === 'string') return { ...result, text: output };
  if (output === undefined && typeof text === 'string') return { ...result, output: text };
  return result;
};

/** Never null: clients read fields of it without a look. */
export const resultView = (job: Pick<JobRow, 'job_type'>, result: unknown): unknown => {
  const view = bothWays(job.job_type, result);
  return isRecord(view) ? view : { output: view };
};

/** @param resultText null until there is one */
export const jobView = (job: JobRow, resultText: string | null): LegacyJob => ({
  job_id: job.id,
  id: job.id,
  ...STATES[job.status],
  assigned_miner_id: job.miner_id,
  requested_at: toTimestamp(job.created_at_ms),
  createdAt: toTimestamp(job.created_at_ms),
  updatedAt: toTimestamp(job.updated_at_ms),
  expires_at: toTimestamp(job.expires_at_ms),
  error: job.error_code === null ? null : `${job.error_code}: ${job.error_message ?? ''}`,
  payment_id: job.payment_id,
  payment_status: job.payment_status,
  serviceType: job.job_type,
  model: job.model,
  progress: job.progress,
  ...(job.status === 'completed' && resultText !== null
    ? { result: resultView(job, JSON.parse(resultText)) }
    : {}),
});

export const outputOf = (view: unknown): unknown => (view as Fields).output ?? view;
