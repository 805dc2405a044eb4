import { blanked, builder, hot, type Params, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { Tables } from '../tables.ts';
import { countLoad } from './load.ts';

const db = builder<Tables>();

// Each text is overwritten where it stands: what SQLite moves to make room, or to close a gap, may stay in the page it left.
const blankParameters = hot((p: Params<{ job_seq: number }>) =>
  db
    .updateTable('job_parameters')
    .set({ parameters: blanked('parameters'), payload: blanked('payload') })
    .where('job_seq', '=', p('job_seq')),
);
const blankResult = hot((p: Params<{ job_seq: number }>) =>
  db
    .updateTable('job_result')
    .set({ result: blanked('result') })
    .where('job_seq', '=', p('job_seq')),
);
// Of before results stood apart.
const blankOldResult = hot((p: Params<{ job_seq: number }>) =>
  db
    .updateTable('receipt')
    .set({ result: blanked('result') })
    .where('job_seq', '=', p('job_seq'))
    .where('result', '<>', ''),
);
const blankMessages = hot((p: Params<{ job_seq: number }>) =>
  db
    .updateTable('job_event')
    .set({ message: blanked('message') })
    .where('job_seq', '=', p('job_seq'))
    .where('message', 'is not', null),
);
// The salt too, and the hash without one: with either, who has the file could try out what a short text was.
const markGone = hot((p: Params<{ seq: number; now_ms: number }>) =>
  db
    .updateTable('job')
    .set({ content_gone_at_ms: p('now_ms'), salt: null, report_sha256: null, error_message: null })
    .where('seq', '=', p('seq'))
    .where('content_gone_at_ms', 'is', null)
    .where('ended_at_ms', 'is not', null),
);

const lengths = hot((p: Params<{ seq: number }>) =>
  db
    .selectFrom('job')
    .leftJoin('job_parameters', 'job_parameters.job_seq', 'job.seq')
    .leftJoin('job_result', 'job_result.job_seq', 'job.seq')
    .leftJoin('receipt', 'receipt.job_seq', 'job.seq')
    .select([
      'client_id',
      sql<number>`coalesce(octet_length(parameters), 0) + coalesce(octet_length(payload), 0)
        + coalesce(octet_length(job_result.result), octet_length(receipt.result), 0)`.as('bytes'),
    ])
    .where('job.seq', '=', p('seq')),
);

/**
 * Erases parameters, result and the words of miners of a job that ended.
 * @returns false when they are gone already, or the job has not ended
 */
export const eraseContent = async (
  trx: Trx,
  { seq, nowMs, place }: { seq: number; nowMs: number; place: number },
): Promise<boolean> => {
  // Its texts may be of this same commit.
  await trx.flush();
  if ((await trx.run(markGone, { seq, now_ms: nowMs })) === 0) return false;
  const ofJob = { job_seq: seq };
  const found = await trx.get(lengths, { seq });
  if (found !== undefined)
    trx.gather(countLoad, {
      account_id: found.client_id,
      place,
      open_jobs: 0,
      content_bytes: -Number(found.bytes),
    });
  await trx.run(blankParameters, ofJob);
  await trx.run(blankResult, ofJob);
  await trx.run(blankOldResult, ofJob);
  await trx.run(blankMessages, ofJob);
  return true;
};
