import { auditAs, clock, failpoint, type Trx } from '@aitbc/chassis';
import { type Caller, type JobRemains, notFound, Problem, toTimestamp } from '@aitbc/contracts';
import { isTerminal } from '../domain.ts';
import { claimsOf } from '../receipts.ts';
import { eraseContent } from '../store/content.ts';
import { findOwnJob } from '../store/jobs.ts';
import { receiptOf } from '../store/receipts.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';

const audit = auditAs('jobs');

/** What stays of a job whose content is gone. */
export const remainsOf = async (
  reader: Pick<Trx, 'all' | 'get'>,
  job: JobRow,
  goneAtMs: number,
): Promise<JobRemains> => {
  const receipt = await receiptOf(reader, job.seq);
  return {
    job_id: job.id,
    content_expired_at: toTimestamp(goneAtMs),
    parameters_sha256: job.parameters_sha256,
    result_sha256: receipt === undefined ? null : claimsOf(receipt.proof).result_sha256,
    receipt:
      receipt === undefined
        ? null
        : { id: receipt.id, proof: receipt.proof, created_at: toTimestamp(receipt.created_at_ms) },
  };
};

/** @throws Problem CONTENT_EXPIRED when there is nothing more to show than the state of a job */
export const assertContent = async (work: Work, job: JobRow): Promise<void> => {
  if (job.content_gone_at_ms === null) return;
  throw new Problem('CONTENT_EXPIRED', 'What this job was given and made was erased; its receipt is left.', {
    details: { ...(await remainsOf(work.store.read, job, job.content_gone_at_ms)) },
  });
};

/** @throws Problem NOT_FOUND, JOB_NOT_ENDED */
export const wipe = async (trx: Trx, work: Work, jobId: string, caller: Caller): Promise<JobRemains> => {
  const job = await findOwnJob(trx, jobId, caller.account_id);
  if (job === undefined) throw notFound('job');
  if (!isTerminal(job.status))
    throw new Problem('JOB_NOT_ENDED', `The job is ${job.status}: cancel it first, or wait for its end.`);
  const nowMs = clock.nowMs();
  const erased = await eraseContent(trx, { seqs: [job.seq], nowMs, place: work.store.place });
  if (erased > 0)
    await audit(trx, caller, {
      action: 'job.wiped',
      object: job.id,
      account_id: job.client_id,
      details: { parameters_sha256: job.parameters_sha256 },
    });
  failpoint('wipe:before-commit');
  trx.afterCommit(() => failpoint('wipe:after-commit'));
  return remainsOf(trx, job, job.content_gone_at_ms ?? nowMs);
};
