import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { AccountLoad, Tables } from '../tables.ts';

const db = builder<Tables>();

const add = hot((p: Params<AccountLoad & object>) =>
  db
    .insertInto('account_load')
    .values({
      account_id: p('account_id'),
      place: p('place'),
      open_jobs: p('open_jobs'),
      content_bytes: p('content_bytes'),
    })
    .onConflict((conflict) =>
      conflict.columns(['account_id', 'place']).doUpdateSet((eb) => ({
        open_jobs: eb('account_load.open_jobs', '+', eb.ref('excluded.open_jobs')),
        content_bytes: eb('account_load.content_bytes', '+', eb.ref('excluded.content_bytes')),
      })),
    ),
);

/** Counts what came and went, for `trx.gather`: of a commit one row an account. */
export const countLoad = async (trx: Trx, changes: readonly AccountLoad[]): Promise<void> => {
  const rows = new Map<string, AccountLoad>();
  for (const change of changes) {
    const row = rows.get(change.account_id);
    if (row === undefined) rows.set(change.account_id, { ...change });
    else {
      row.open_jobs += change.open_jobs;
      row.content_bytes += change.content_bytes;
    }
  }
  for (const row of rows.values())
    if (row.open_jobs !== 0 || row.content_bytes !== 0) await trx.run(add, row);
};

const sums = hot((p: Params<{ account_id: string }>) =>
  db
    .selectFrom('account_load')
    .select([
      sql<number>`coalesce(sum(open_jobs), 0)`.as('open_jobs'),
      sql<number>`coalesce(sum(content_bytes), 0)`.as('content_bytes'),
    ])
    .where('account_id', '=', p('account_id')),
);
export const loadOf = async (
  reader: Reader,
  account_id: string,
): Promise<{ openJobs: number; contentBytes: number }> => {
  const row = await reader.get(sums, { account_id });
  // PostgreSQL sums into another type, which comes as a text.
  return { openJobs: Number(row?.open_jobs ?? 0), contentBytes: Number(row?.content_bytes ?? 0) };
};
