import { builder, deleteMany, hot, type Params, type Reader, rowsOf, type Trx } from '@aitbc/chassis';
import type { KeptReceipt, Tables } from '../tables.ts';

const db = builder<Tables>();

const ended = hot((p: Params<{ before_ms: number; limit: number }>) =>
  db
    .selectFrom('job')
    .select(['seq', 'ended_at_ms as due_at_ms'])
    .where('ended_at_ms', 'is not', null)
    .where('content_gone_at_ms', 'is', null)
    .where('ended_at_ms', '<=', p('before_ms'))
    .orderBy('ended_at_ms')
    .limit(p('limit')),
);
const dueByWish = hot((p: Params<{ before_ms: number; limit: number }>) =>
  db
    .selectFrom('job')
    .select(['seq', 'content_due_at_ms as due_at_ms'])
    .where('content_due_at_ms', 'is not', null)
    .where('content_gone_at_ms', 'is', null)
    .where('content_due_at_ms', '<=', p('before_ms'))
    .orderBy('content_due_at_ms')
    .limit(p('limit')),
);

/** A job by its number, and when its time came. */
export interface Due {
  readonly seq: number;
  readonly dueAtMs: number;
}

/**
 * Jobs whose content is due, the oldest first: those that ended before `endedBeforeMs`, and those whose account wants it gone
 * earlier.
 */
export const contentDue = async (
  reader: Reader,
  times: { nowMs: number; keptMs: number },
  limit: number,
): Promise<Due[]> => {
  const byAge = await reader.all(ended, { before_ms: times.nowMs - times.keptMs, limit });
  const byWish = await reader.all(dueByWish, { before_ms: times.nowMs, limit });
  const due = new Map<number, Due>();
  for (const { seq, due_at_ms } of byAge) due.set(seq, { seq, dueAtMs: Number(due_at_ms) + times.keptMs });
  for (const { seq, due_at_ms } of byWish) due.set(seq, { seq, dueAtMs: Number(due_at_ms) });
  return [...due.values()].slice(0, limit);
};

/**
 * So many erased texts stay before the first that is not. When rows leave, SQLite moves what is left of their page and of the
 * two beside it; of what it moves a copy may stay, so only what is erased may stand there. More than three pages of the
 * shortest rows.
 */
const MARGIN = 1_500;

const firstParameters = hot((p: Params<{ limit: number }>) =>
  db
    .selectFrom('job_parameters as text')
    .leftJoin('job', 'job.seq', 'text.job_seq')
    .select(['text.job_seq as at', 'job.content_gone_at_ms as gone', 'job.seq as job_seq'])
    .orderBy('text.job_seq')
    .limit(p('limit')),
);
const firstResults = hot((p: Params<{ limit: number }>) =>
  db
    .selectFrom('job_result as text')
    .leftJoin('job', 'job.seq', 'text.job_seq')
    .select(['text.seq as at', 'job.content_gone_at_ms as gone', 'job.seq as job_seq'])
    .orderBy('text.seq')
    .limit(p('limit')),
);
const dropParameters = hot((p: Params<{ upto: number }>) =>
  db.deleteFrom('job_parameters').where('job_seq', '<=', p('upto')),
);
const dropResults = hot((p: Params<{ upto: number }>) =>
  db.deleteFrom('job_result').where('seq', '<=', p('upto')),
);

/** The two tables of texts: erased rows leave from the front. */
export const TEXTS = {
  parameters: { first: firstParameters, drop: dropParameters },
  results: { first: firstResults, drop: dropResults },
} as const;
type Texts = (typeof TEXTS)[keyof typeof TEXTS];

/** @returns at most `limit` erased texts at the front that may go, by their numbers */
export const erasedFront = async (reader: Reader, { first }: Texts, limit: number): Promise<number[]> => {
  const rows = await reader.all(first, { limit: limit + MARGIN });
  const stays = rows.findIndex(({ gone, job_seq }) => job_seq !== null && gone === null);
  const count = Math.min(limit, (stays === -1 ? rows.length : stays) - MARGIN);
  return rows.slice(0, Math.max(0, count)).map(({ at }) => at);
};
export const dropFront = async (trx: Trx, { drop }: Texts, front: readonly number[]): Promise<void> => {
  await trx.run(drop, { upto: front.at(-1) as number });
};

// Its texts have left, its money has come to rest. What was said of it and is not acknowledged stands whole in the outbox.
const rowsDue = hot((p: Params<{ before_ms: number; limit: number }>) =>
  db
    .selectFrom('job')
    .select(['seq', 'id', 'client_id', 'labels', 'ended_at_ms'])
    .where('content_gone_at_ms', 'is not', null)
    .where('ended_at_ms', '<=', p('before_ms'))
    .where((eb) =>
      eb.or([eb('payment_status', 'is', null), eb('payment_status', 'not in', ['pending', 'escrowed'])]),
    )
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('job_parameters')
            .select('job_seq')
            .whereRef('job_parameters.job_seq', '=', 'job.seq'),
        ),
      ),
    )
    .orderBy('ended_at_ms')
    .limit(p('limit')),
);
export interface OldJob {
  readonly seq: number;
  readonly id: string;
  readonly client_id: string;
  readonly labels: string;
  readonly ended_at_ms: number | null;
}
/** Jobs that ended before `beforeMs`, and whose money is not under way. */
export const jobsDue = (reader: Reader, beforeMs: number, limit: number): Promise<OldJob[]> =>
  reader.all(rowsDue, { before_ms: beforeMs, limit });

/** Numbers of jobs that come as JSON: one statement, compiled once, for any number of them. */
const given = (seqs: string) =>
  db.selectFrom(rowsOf(seqs, { seq: 'integer' }).as('given')).select('given.seq');

const keepReceipts = hot((p: Params<{ seqs: string }>) =>
  db
    .insertInto('kept_receipt')
    .columns(['id', 'job_id', 'proof', 'created_at_ms'])
    .expression((eb) =>
      eb
        .selectFrom('receipt')
        .innerJoin('job', 'job.seq', 'receipt.job_seq')
        .select(['receipt.id', 'job.id as job_id', 'proof', 'receipt.created_at_ms'])
        .where('receipt.job_seq', 'in', given(p('seqs'))),
    )
    .onConflict((conflict) => conflict.doNothing()),
);
const dropReceipts = hot((p: Params<{ seqs: string }>) =>
  db.deleteFrom('receipt').where('job_seq', 'in', given(p('seqs'))),
);
const dropEvents = hot((p: Params<{ seqs: string }>) =>
  db.deleteFrom('job_event').where('job_seq', 'in', given(p('seqs'))),
);
const dropLostAttempts = hot((p: Params<{ seqs: string }>) =>
  db.deleteFrom('lost_attempt').where('job_seq', 'in', given(p('seqs'))),
);
const dropRows = hot((p: Params<{ seqs: string }>) =>
  db.deleteFrom('job').where('seq', 'in', given(p('seqs'))),
);
const dropLabels = deleteMany<{ client_id: string; label: string; job_id: string }>('job_label', {
  client_id: 'text',
  label: 'text',
  job_id: 'text',
});

/** Takes jobs out, all but the proof of their receipts. Again does nothing. */
export const dropJobs = async (trx: Trx, jobs: readonly OldJob[]): Promise<void> => {
  const of = { seqs: JSON.stringify(jobs.map(({ seq }) => [seq])) };
  const labels = jobs.flatMap(({ id, client_id, labels }) =>
    (JSON.parse(labels) as string[]).map((label) => ({ client_id, label, job_id: id })),
  );
  await trx.run(keepReceipts, of);
  await trx.run(dropReceipts, of);
  await trx.run(dropEvents, of);
  await trx.run(dropLostAttempts, of);
  await dropLabels(trx, labels);
  await trx.run(dropRows, of);
};

const keptOfJob = hot((p: Params<{ job_id: string }>) =>
  db.selectFrom('kept_receipt').selectAll().where('job_id', '=', p('job_id')),
);
/** The receipt of a job whose row is gone. */
export const keptReceiptOf = (reader: Reader, job_id: string): Promise<KeptReceipt | undefined> =>
  reader.get(keptOfJob, { job_id });
