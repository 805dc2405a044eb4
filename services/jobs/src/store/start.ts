import { builder, hot, listOf, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { JobRow, Tables } from '../tables.ts';

const db = builder<Tables>();

/**
 * Parameters that one answer to a poll begins to hold: 32 jobs of 4 MB would be 128 MB for this process, the gateway and the
 * miner at once.
 */
const STARTED_CHARACTERS_MAX = 8 * 1_024 * 1_024;
const toStart = hot((p: Params<{ ids: string }>) =>
  db
    .selectFrom('job')
    .innerJoin('job_parameters', 'job_parameters.job_seq', 'job.seq')
    .selectAll('job')
    .select('job_parameters.payload')
    .select(
      sql<
        string | null
      >`CASE WHEN sum(length(parameters)) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - length(parameters) < ${sql.lit(STARTED_CHARACTERS_MAX)} THEN parameters END`.as(
        'parameters',
      ),
    )
    .where('job.id', 'in', listOf(p('ids'))),
);
/**
 * Waiting jobs of these ids, with their parameters, by id: what is needed to lease them. Parameters are null where those of
 * older ones are 8 MB already: that job is for another answer.
 */
export const findToStart = async (
  reader: Reader,
  ids: readonly string[],
): Promise<ReadonlyMap<string, JobRow & { parameters: string | null; payload: string | null }>> => {
  if (ids.length === 0) return new Map();
  const rows = await reader.all(toStart, { ids: JSON.stringify(ids) });
  return new Map(rows.map((row) => [row.id, row]));
};

const start = hot((p: Params<{ id: string; miner_id: string; miner_account_id: string; now_ms: number }>) =>
  db
    .updateTable('job')
    .set({
      status: 'running',
      attempt: sql<number>`attempt + 1`,
      miner_id: p('miner_id'),
      miner_account_id: p('miner_account_id'),
      // Only what payments said it holds, and now: what comes later counts for the next attempt.
      lease_payment_id: sql<string | null>`CASE WHEN payment_status = 'escrowed' THEN payment_id END`,
      lease_price_minor: sql<number>`CASE WHEN payment_status = 'escrowed' THEN payment_amount_minor ELSE 0 END`,
      progress: 0,
      events: sql<number>`events + 1`,
      started_at_ms: p('now_ms'),
      updated_at_ms: p('now_ms'),
      deadline_at_ms: sql<number>`${p('now_ms')} + timeout_ms`,
    })
    .where('id', '=', p('id'))
    .where('status', '=', 'pending')
    .where('is_funded', '=', 1)
    .where('expires_at_ms', '>', p('now_ms'))
    .returningAll(),
);
/** Leases a waiting job. @returns undefined when it no longer waits: somebody was faster, or it ended. */
export const startJob = (
  trx: Trx,
  values: { id: string; miner_id: string; miner_account_id: string; now_ms: number },
): Promise<JobRow | undefined> => trx.get(start, values);
