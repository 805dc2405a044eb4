import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { LostAttempt, Tables } from '../tables.ts';

const db = builder<Tables>();

const insertLost = hot((p: Params<LostAttempt>) =>
  db
    .insertInto('lost_attempt')
    .values({
      job_seq: p('job_seq'),
      miner_id: p('miner_id'),
      account_id: p('account_id'),
      is_fault: p('is_fault'),
    })
    // Said once that the job is wrong, it stays said.
    .onConflict((conflict) =>
      conflict
        .columns(['job_seq', 'miner_id'])
        .doUpdateSet({ is_fault: 1 })
        .where('excluded.is_fault', '=', 1),
    ),
);
export const addLostAttempt = async (trx: Trx, lost: LostAttempt): Promise<void> => {
  await trx.run(insertLost, lost);
};

/** As many as a job has attempts that count, and then some that do not. */
const LOST_MAX = 32;
const lostOf = hot((p: Params<{ job_seq: number; limit: number }>) =>
  db
    .selectFrom('lost_attempt')
    .select(['account_id', 'is_fault'])
    .where('job_seq', '=', p('job_seq'))
    .limit(p('limit')),
);
const lossOf = hot((p: Params<{ job_seq: number; account_id: string }>) =>
  db
    .selectFrom('lost_attempt')
    .select('miner_id')
    .where('job_seq', '=', p('job_seq'))
    .where('account_id', '=', p('account_id')),
);
/** The miners of an account that lost this job. */
export const minersThatLost = async (reader: Reader, seq: number, accountId: string): Promise<string[]> =>
  (await reader.all(lossOf, { job_seq: seq, account_id: accountId })).map(({ miner_id }) => miner_id);

/** Who lost this job: each account once, with whether it said that the job itself is wrong. */
export const accountsThatLost = async (
  reader: Reader,
  seq: number,
): Promise<{ account_id: string; isFault: boolean }[]> => {
  const accounts = new Map<string, boolean>();
  for (const { account_id, is_fault } of await reader.all(lostOf, { job_seq: seq, limit: LOST_MAX }))
    if (account_id !== null) accounts.set(account_id, is_fault === 1 || accounts.get(account_id) === true);
  return [...accounts].map(([account_id, isFault]) => ({ account_id, isFault }));
};
