import { DAY_MS } from '@aitbc/chassis';
import type { JobRow, UsageDay } from './tables.ts';

/**
 * What a job that has just ended adds to the usage of its account.
 * @param place of this process among those of the service
 */
export const usageOf = (job: JobRow, place: number): UsageDay => ({
  account_id: job.client_id,
  day: Math.floor((job.ended_at_ms as number) / DAY_MS),
  job_type: job.job_type,
  model: job.model ?? '',
  key_id: job.key_id ?? '',
  place,
  completed: Number(job.status === 'completed'),
  failed: Number(job.status === 'failed'),
  cancelled: Number(job.status === 'cancelled'),
  expired: Number(job.status === 'expired'),
  // As in the receipt, which is what payments releases.
  spend_minor: job.status === 'completed' ? job.lease_price_minor : 0,
});
