import { blanked, builder, hot, type Params, type Reader, rowsOf, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { Tables } from '../tables.ts';
import { countLoad } from './load.ts';

const db = builder<Tables>();

/** Numbers of jobs that come as JSON: one statement, compiled once, for any number of them. */
const given = (seqs: string) =>
  builder<Tables>()
    .selectFrom(rowsOf(seqs, { seq: 'integer' }).as('given'))
    .select('given.seq');

// Each text is overwritten where it stands: what SQLite moves to make room, or to close a gap, may stay in the page it left.
const blankParameters = hot((p: Params<{ seqs: string }>) =>
  db
    .updateTable('job_parameters')
    .set({ parameters: blanked('parameters'), payload: blanked('payload') })
    .where('job_seq', 'in', given(p('seqs'))),
);
const blankResult = hot((p: Params<{ seqs: string }>) =>
  db
    .updateTable('job_result')
    .set({ result: blanked('result') })
    .where('job_seq', 'in', given(p('seqs'))),
);
// Of before results stood apart.
const blankOldResult = hot((p: Params<{ seqs: string }>) =>
  db
    .updateTable('receipt')
    .set({ result: blanked('result') })
    .where('job_seq', 'in', given(p('seqs')))
    .where('result', '<>', ''),
);
const blankMessages = hot((p: Params<{ seqs: string }>) =>
  db
    .updateTable('job_event')
    .set({ message: blanked('message') })
    .where('job_seq', 'in', given(p('seqs')))
    .where('message', 'is not', null),
);
// The salt too, and the hash without one: with either, who has the file could try out what a short text was.
const markGone = hot((p: Params<{ seqs: string; now_ms: number }>) =>
  db
    .updateTable('job')
    .set({ content_gone_at_ms: p('now_ms'), salt: null, report_sha256: null, error_message: null })
    .where('seq', 'in', given(p('seqs')))
    .where('content_gone_at_ms', 'is', null)
    .where('ended_at_ms', 'is not', null)
    .returning('seq'),
);

const lengths = hot((p: Params<{ seqs: string }>) =>
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
    .where('job.seq', 'in', given(p('seqs'))),
);

/**
 * Erases parameters, results and the words of miners, of those of these jobs that ended and still have them.
 * @returns how many those are
 */
export const eraseContent = async (
  trx: Trx,
  of: { seqs: readonly number[]; nowMs: number; place: number },
): Promise<number> => {
  // Texts may be of this same commit.
  await trx.flush();
  const seqs = numbers(of.seqs);
  const marked = await trx.all(markGone, { seqs, now_ms: of.nowMs });
  if (marked.length === 0) return 0;
  const gone = { seqs: numbers(marked.map(({ seq }) => seq)) };
  for (const { client_id, bytes } of await trx.all(lengths, gone))
    trx.gather(countLoad, {
      account_id: client_id,
      place: of.place,
      open_jobs: 0,
      content_bytes: -Number(bytes),
    });
  await trx.run(blankParameters, gone);
  await trx.run(blankResult, gone);
  await trx.run(blankOldResult, gone);
  await trx.run(blankMessages, gone);
  return marked.length;
};

const numbers = (seqs: readonly number[]): string => JSON.stringify(seqs.map((seq) => [seq]));

const kept = hot((p: Params<{ account_id: string }>) =>
  db.selectFrom('account_setting').select('content_kept_ms').where('account_id', '=', p('account_id')),
);
/** For how long after the end an account wants content kept, where that is shorter than it is kept anyway. */
export const contentKeptOf = async (reader: Reader, account_id: string): Promise<number | null> =>
  (await reader.get(kept, { account_id }))?.content_kept_ms ?? null;

const setKept = hot((p: Params<Tables['account_setting']>) =>
  db
    .insertInto('account_setting')
    .values({ account_id: p('account_id'), content_kept_ms: p('content_kept_ms') })
    .onConflict((conflict) =>
      conflict
        .column('account_id')
        .doUpdateSet((eb) => ({ content_kept_ms: eb.ref('excluded.content_kept_ms') })),
    ),
);
/** For jobs that are submitted from then on. */
export const setContentKept = async (
  trx: Trx,
  account_id: string,
  content_kept_ms: number | null,
): Promise<void> => {
  await trx.run(setKept, { account_id, content_kept_ms });
};
