import { blanked, builder, hot, type Params, type Trx } from '@aitbc/chassis';
import type { Tables } from '../tables.ts';

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

/**
 * Erases parameters, result and the words of miners of a job that ended.
 * @returns false when they are gone already, or the job has not ended
 */
export const eraseContent = async (trx: Trx, seq: number, nowMs: number): Promise<boolean> => {
  // Its texts may be of this same commit.
  await trx.flush();
  if ((await trx.run(markGone, { seq, now_ms: nowMs })) === 0) return false;
  const ofJob = { job_seq: seq };
  await trx.run(blankParameters, ofJob);
  await trx.run(blankResult, ofJob);
  await trx.run(blankOldResult, ofJob);
  await trx.run(blankMessages, ofJob);
  return true;
};
