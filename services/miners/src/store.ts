import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import {
  type AttemptId,
  type AttemptState,
  type KnownAttempt,
  NO_WORDS,
  type Outcome,
  type Status,
  WORDS_FORGOTTEN_MS,
  type Words,
} from './domain.ts';
import type { MinerTable, Tables } from './tables.ts';

const db = builder<Tables>();

export type Miner = MinerTable;

// ── Miners ──────────────────────────────────────────────────────────────────────────────────────────────────────

const byId = hot((p: Params<{ id: string }>) => db.selectFrom('miner').selectAll().where('id', '=', p('id')));
const byName = hot((p: Params<{ account_id: string; name: string }>) =>
  db.selectFrom('miner').selectAll().where('account_id', '=', p('account_id')).where('name', '=', p('name')),
);
const saveSeen = hot((p: Params<{ id: string; seen_at_ms: number }>) =>
  db
    .updateTable('miner')
    .set({ seen_at_ms: p('seen_at_ms') })
    .where('id', '=', p('id')),
);
const setStatus = hot((p: Params<{ id: string; status: Status; seen_at_ms: number }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({
      status: p('status'),
      seen_at_ms: p('seen_at_ms'),
      revision: eb('revision', '+', 1),
    }))
    .where('id', '=', p('id'))
    .where('status', '<>', p('status')),
);
const saveOutcome = hot((p: Params<{ id: string; completed: number; failed: number; lost: number }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({
      jobs_completed: eb('jobs_completed', '+', p('completed')),
      jobs_failed: eb('jobs_failed', '+', p('failed')),
      jobs_lost: eb('jobs_lost', '+', p('lost')),
    }))
    .where('id', '=', p('id')),
);
const raiseRevision = hot((p: Params<{ id: string }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({ revision: eb('revision', '+', 1) }))
    .where('id', '=', p('id')),
);
const earn = hot((p: Params<{ id: string; earned_minor: number }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({ earned_minor: eb('earned_minor', '+', p('earned_minor')) }))
    .where('id', '=', p('id')),
);

export const findMiner = (reader: Reader, id: string): Promise<Miner | undefined> => reader.get(byId, { id });

export const findMinerByName = (
  reader: Reader,
  accountId: string,
  name: string,
): Promise<Miner | undefined> => reader.get(byName, { account_id: accountId, name });

export const insertMiner = async (trx: Trx, miner: Miner): Promise<void> => {
  await trx.run(db.insertInto('miner').values(miner));
};

export const updateMiner = async (trx: Trx, id: string, changes: Partial<Miner>): Promise<void> => {
  await trx.run(db.updateTable('miner').set(changes).where('id', '=', id));
};

export const deleteMiner = async (trx: Trx, id: string): Promise<void> => {
  await trx.run(db.deleteFrom('miner').where('id', '=', id));
};

/** @returns 0 when the miner already has that status (or is no more): then there is nothing to tell. */
export const changeStatus = (trx: Trx, id: string, status: Status, seenAtMs: number): Promise<number> =>
  trx.run(setStatus, { id, status, seen_at_ms: seenAtMs });

export const saveSeenAt = (trx: Trx, id: string, seenAtMs: number): Promise<number> =>
  trx.run(saveSeen, { id, seen_at_ms: seenAtMs });

export const countOutcome = async (
  trx: Trx,
  id: string,
  counter: 'jobs_completed' | 'jobs_failed' | 'jobs_lost' | null,
): Promise<void> => {
  await trx.run(saveOutcome, {
    id,
    completed: counter === 'jobs_completed' ? 1 : 0,
    failed: counter === 'jobs_failed' ? 1 : 0,
    lost: counter === 'jobs_lost' ? 1 : 0,
  });
};

// ── Reputation ──────────────────────────────────────────────────────────────────────────────────────────────────

const reputationRow = hot((p: Params<{ account_id: string }>) =>
  db.selectFrom('reputation').selectAll().where('account_id', '=', p('account_id')),
);
const counterpartyRow = hot((p: Params<{ account_id: string; client_id: string }>) =>
  db
    .selectFrom('counterparty')
    .select(['good', 'bad', 'at_ms'])
    .where('account_id', '=', p('account_id'))
    .where('client_id', '=', p('client_id')),
);
const putCounterparty = hot((p: Params<Tables['counterparty']>) =>
  db
    .insertInto('counterparty')
    .values({
      account_id: p('account_id'),
      client_id: p('client_id'),
      good: p('good'),
      bad: p('bad'),
      at_ms: p('at_ms'),
    })
    .onConflict((conflict) =>
      conflict
        .columns(['account_id', 'client_id'])
        .doUpdateSet({ good: p('good'), bad: p('bad'), at_ms: p('at_ms') }),
    ),
);
const putReputation = hot((p: Params<Tables['reputation']>) =>
  db
    .insertInto('reputation')
    .values({
      account_id: p('account_id'),
      good: p('good'),
      bad: p('bad'),
      at_ms: p('at_ms'),
      announced: p('announced'),
      telling_after: p('telling_after'),
    })
    .onConflict((conflict) =>
      conflict.column('account_id').doUpdateSet({
        good: p('good'),
        bad: p('bad'),
        at_ms: p('at_ms'),
        announced: p('announced'),
        telling_after: p('telling_after'),
      }),
    ),
);
const nextToTell = hot((p: Params<{ account_id: string; after: string; limit: number }>) =>
  db
    .selectFrom('miner')
    .select('id')
    .where('account_id', '=', p('account_id'))
    .where('status', '=', 'active')
    .where('id', '>', p('after'))
    .orderBy('id')
    .limit(p('limit')),
);

export const findReputation = (reader: Reader, accountId: string) =>
  reader.get(reputationRow, { account_id: accountId });

/** What one client has said of an account; `''` is all strangers together. */
export const findWordsOf = async (reader: Reader, accountId: string, clientId: string): Promise<Words> =>
  (await reader.get(counterpartyRow, { account_id: accountId, client_id: clientId })) ?? NO_WORDS;

export const saveWordsOf = async (trx: Trx, row: Tables['counterparty']): Promise<void> => {
  await trx.run(putCounterparty, row);
};

export const saveReputation = async (trx: Trx, row: Tables['reputation']): Promise<void> => {
  await trx.run(putReputation, row);
};

/** Active miners of an account beyond one, in order: those whose reputation others work with. */
export const activeMinersAfter = async (
  reader: Reader,
  accountId: string,
  after: string,
  limit: number,
): Promise<string[]> =>
  (await reader.all(nextToTell, { account_id: accountId, after, limit })).map(({ id }) => id);

export const saveRevision = async (trx: Trx, id: string): Promise<void> => {
  await trx.run(raiseRevision, { id });
};

/** Accounts of which not all miners have been told of yet. */
export const accountsToTell = async (reader: Reader, limit: number): Promise<string[]> =>
  (
    await reader.all(
      db.selectFrom('reputation').select('account_id').where('telling_after', 'is not', null).limit(limit),
    )
  ).map(({ account_id }) => account_id);

// ── Lists ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** All registered miners, for the roster: read once, at start. */
export const allPresences = (reader: Reader) =>
  reader.all(
    db.selectFrom('miner').select(['id', 'account_id', 'name', 'status', 'seen_at_ms', 'instance_id']),
  );

const weights = hot((p: Params<{ account_id: string }>) =>
  db
    .selectFrom('miner')
    .select((eb) => eb.fn.sum<number>('weight').as('weight'))
    .where('account_id', '=', p('account_id')),
);
/** What the attributes of all miners of an account take: read off an index. */
export const weightOfMiners = async (reader: Reader, accountId: string): Promise<number> =>
  Number((await reader.get(weights, { account_id: accountId }))?.weight ?? 0);

export const minersOf = (reader: Reader, accountId: string): Promise<Miner[]> =>
  reader.all(db.selectFrom('miner').selectAll().where('account_id', '=', accountId).orderBy('id', 'desc'));

/** A miner may hold 500 names of models: some 100 KB. Rows are read a few at a time, as the page is filled. */
const ROWS_AT_ONCE = 20;

/** Miners, the newest first, of one account or of all: read as they are walked. */
export async function* minersBefore(
  reader: Reader,
  filter: { account_id?: string; status?: Status | undefined; beforeId: string | undefined },
): AsyncGenerator<Miner> {
  let { beforeId } = filter;
  for (;;) {
    let query = db.selectFrom('miner').selectAll().orderBy('id', 'desc').limit(ROWS_AT_ONCE);
    if (filter.account_id !== undefined) query = query.where('account_id', '=', filter.account_id);
    if (filter.status !== undefined) query = query.where('status', '=', filter.status);
    if (beforeId !== undefined) query = query.where('id', '<', beforeId);
    const rows = await reader.all(query);
    yield* rows;
    if (rows.length < ROWS_AT_ONCE) return;
    beforeId = rows.at(-1)?.id;
  }
}

// ── Attempts ────────────────────────────────────────────────────────────────────────────────────────────────────

const attemptsOfJob = hot((p: Params<{ job_id: string }>) =>
  db
    .selectFrom('attempt')
    .select(['attempt', 'miner_id', 'state', 'outcome'])
    .where('job_id', '=', p('job_id')),
);
const putAttempt = hot(
  (
    p: Params<{
      job_id: string;
      attempt: number;
      miner_id: string;
      state: AttemptState;
      outcome: Outcome | null;
      forget_at_ms: number;
    }>,
  ) =>
    db
      .insertInto('attempt')
      .values({
        job_id: p('job_id'),
        attempt: p('attempt'),
        miner_id: p('miner_id'),
        state: p('state'),
        outcome: p('outcome'),
        forget_at_ms: p('forget_at_ms'),
      })
      .onConflict((conflict) =>
        conflict
          .columns(['job_id', 'attempt'])
          .doUpdateSet({ state: p('state'), outcome: p('outcome'), forget_at_ms: p('forget_at_ms') }),
      ),
);
const overtake = hot((p: Params<{ job_id: string; attempt: number }>) =>
  db
    .updateTable('attempt')
    .set({ state: 'overtaken' })
    .where('job_id', '=', p('job_id'))
    .where('attempt', '=', p('attempt')),
);
const countRunning = hot((p: Params<{ miner_id: string }>) =>
  db
    .selectFrom('attempt')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('miner_id', '=', p('miner_id'))
    .where('state', '=', 'running'),
);

const runningOfMiner = hot((p: Params<{ miner_id: string }>) =>
  db
    .selectFrom('attempt')
    .select(['job_id', 'attempt'])
    .where('miner_id', '=', p('miner_id'))
    .where('state', '=', 'running'),
);
export const runningOf = (reader: Reader, minerId: string): Promise<AttemptId[]> =>
  reader.all(runningOfMiner, { miner_id: minerId });

export const attemptsOf = (
  reader: Reader,
  jobId: string,
): Promise<(KnownAttempt & { state: AttemptState })[]> => reader.all(attemptsOfJob, { job_id: jobId });

export const saveAttempt = async (
  trx: Trx,
  attempt: {
    job_id: string;
    attempt: number;
    miner_id: string;
    state: AttemptState;
    outcome: Outcome | null;
    forget_at_ms: number;
  },
): Promise<void> => {
  await trx.run(putAttempt, attempt);
};

export const markOvertaken = async (trx: Trx, jobId: string, attempt: number): Promise<void> => {
  await trx.run(overtake, { job_id: jobId, attempt });
};

export const inflightOf = async (reader: Reader, minerId: string): Promise<number> =>
  (await reader.get(countRunning, { miner_id: minerId }))?.count ?? 0;

// ── Earnings ────────────────────────────────────────────────────────────────────────────────────────────────────

const insertEarning = hot(
  (p: Params<{ payment_id: string; miner_id: string; earned_minor: number; forget_at_ms: number }>) =>
    db
      .insertInto('earning')
      .values({
        payment_id: p('payment_id'),
        miner_id: p('miner_id'),
        earned_minor: p('earned_minor'),
        forget_at_ms: p('forget_at_ms'),
      })
      .onConflict((conflict) => conflict.doNothing()),
);

/** Adds a payment to what its miner earned, once. @returns false when it was added before. */
export const addEarning = async (trx: Trx, earning: Tables['earning']): Promise<boolean> => {
  if ((await trx.run(insertEarning, earning)) !== 1) return false;
  await trx.run(earn, { id: earning.miner_id, earned_minor: earning.earned_minor });
  return true;
};

/** Deletes rows that no message can ask for any more. @returns how many, `limit` of each kind at most. */
export const forgetOld = async (trx: Trx, nowMs: number, limit: number): Promise<number> => {
  const attempts = await trx.run(
    db
      .deleteFrom('attempt')
      .where((eb) =>
        eb(
          eb.refTuple('job_id', 'attempt'),
          'in',
          eb
            .selectFrom('attempt')
            .select(['job_id', 'attempt'])
            .where('forget_at_ms', '<', nowMs)
            .limit(limit)
            .$asTuple('job_id', 'attempt'),
        ),
      ),
  );
  const earnings = await trx.run(
    db
      .deleteFrom('earning')
      .where('payment_id', 'in', (eb) =>
        eb.selectFrom('earning').select('payment_id').where('forget_at_ms', '<', nowMs).limit(limit),
      ),
  );
  const words = await trx.run(
    db.deleteFrom('counterparty').where((eb) =>
      eb(
        eb.refTuple('account_id', 'client_id'),
        'in',
        eb
          .selectFrom('counterparty')
          .select(['account_id', 'client_id'])
          .where('at_ms', '<', nowMs - WORDS_FORGOTTEN_MS)
          .limit(limit)
          .$asTuple('account_id', 'client_id'),
      ),
    ),
  );
  return attempts + earnings + words;
};
