import type { Constraints } from '@aitbc/contracts';
import { type Requirement, requirementOf } from './dispatcher/match.ts';
import type { JobRow } from './tables.ts';

/** What is held for a job now; 0 for nothing, and for what is only promised. */
export const paysOf = (job: Pick<JobRow, 'payment_amount_minor' | 'payment_status'>): number =>
  job.payment_status === 'escrowed' ? (job.payment_amount_minor ?? 0) : 0;

/** What a job asks of a miner, from its row as it stands. */
export const requirementOfRow = (
  job: Pick<JobRow, 'job_type' | 'model' | 'constraints' | 'payment_amount_minor' | 'payment_status'>,
): Requirement =>
  requirementOf({
    job_type: job.job_type,
    model: job.model,
    constraints: JSON.parse(job.constraints) as Constraints,
    pays_minor: paysOf(job),
  });
