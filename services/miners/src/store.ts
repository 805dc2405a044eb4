import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import type { AttemptState, KnownAttempt, Outcome, Score, Status } from './domain.ts';
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
const score = hot((p: Params<{ id: string }>) =>
  db.selectFrom('miner').select(['good', 'bad', 'announced_reputation']).where('id', '=', p('id')),
);
const saveOutcome = hot(
  (p: Params<{ id: string; good: number; bad: number; completed: number; failed: number; lost: number }>) =>
    db
      .updateTable('miner')
      .set((eb) => ({
        good: p('good'),
        bad: p('bad'),
        jobs_completed: eb('jobs_completed', '+', p('completed')),
        jobs_failed: eb('jobs_failed', '+', p('failed')),
        jobs_lost: eb('jobs_lost', '+', p('lost')),
      }))
      .where('id', '=', p('id')),
);
const announce = hot((p: Params<{ id: string; reputation: number }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({ announced_reputation: p('reputation'), revision: eb('revision', '+', 1) }))
    .where('id', '=', p('id')),
);
const earn = hot((p: Params<{ id: string; earned_minor: number }>) =>
  db
    .updateTable('miner')
    .set((eb) => ({ earned_minor: eb('earned_minor', '+', p('earned_minor')) }))
    .where('id', '=', p('id')),
);

export const findMiner = (reader: Reader, id: string): Miner | undefined => reader.get(byId, { id });

export const findMinerByName = (reader: Reader, accountId: string, name: string): Miner | undefined =>
  reader.get(byName, { account_id: accountId, name });

export const insertMiner = (trx: Trx, miner: Miner): void => {
  trx.run(db.insertInto('miner').values(miner));
};

export const updateMiner = (trx: Trx, id: string, changes: Partial<Miner>): void => {
  trx.run(db.updateTable('miner').set(changes).where('id', '=', id));
};

export const deleteMiner = (trx: Trx, id: string): void => {
  trx.run(db.deleteFrom('miner').where('id', '=', id));
};

/** @returns 0 when the miner already has that status (or is no more): then there is nothing to tell. */
export const changeStatus = (trx: Trx, id: string, status: Status, seenAtMs: number): number =>
  trx.run(setStatus, { id, status, seen_at_ms: seenAtMs });

export const saveSeenAt = (trx: Trx, id: string, seenAtMs: number): number =>
  trx.run(saveSeen, { id, seen_at_ms: seenAtMs });

export const findScore = (trx: Trx, id: string): (Score & { announced_reputation: number }) | undefined =>
  trx.get(score, { id });

export const countOutcome = (
  trx: Trx,
  id: string,
  next: Score,
  counter: 'jobs_completed' | 'jobs_failed' | 'jobs_lost' | null,
): void => {
  trx.run(saveOutcome, {
    id,
    good: next.good,
    bad: next.bad,
    completed: counter === 'jobs_completed' ? 1 : 0,
    failed: counter === 'jobs_failed' ? 1 : 0,
    lost: counter === 'jobs_lost' ? 1 : 0,
  });
};

export const saveAnnounced = (trx: Trx, id: string, reputation: number): void => {
  trx.run(announce, { id, reputation });
};

/** All registered miners, for the roster: read once, at start. */
export const allPresences = (reader: Reader) =>
  reader.all(
    db.selectFrom('miner').select(['id', 'account_id', 'name', 'status', 'seen_at_ms', 'instance_id']),
  );

export const minersOf = (reader: Reader, accountId: string): Miner[] =>
  reader.all(db.selectFrom('miner').selectAll().where('account_id', '=', accountId).orderBy('id', 'desc'));

export const pageOfMiners = (
  reader: Reader,
  filter: { status: Status | undefined; beforeId: string | undefined; limit: number },
): Miner[] => {
  let query = db.selectFrom('miner').selectAll().orderBy('id', 'desc').limit(filter.limit);
  if (filter.status !== undefined) query = query.where('status', '=', filter.status);
  if (filter.beforeId !== undefined) query = query.where('id', '<', filter.beforeId);
  return reader.all(query);
};

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

export const attemptsOf = (reader: Reader, jobId: string): (KnownAttempt & { state: AttemptState })[] =>
  reader.all(attemptsOfJob, { job_id: jobId });

export const saveAttempt = (
  trx: Trx,
  attempt: {
    job_id: string;
    attempt: number;
    miner_id: string;
    state: AttemptState;
    outcome: Outcome | null;
    forget_at_ms: number;
  },
): void => {
  trx.run(putAttempt, attempt);
};

export const markOvertaken = (trx: Trx, jobId: string, attempt: number): void => {
  trx.run(overtake, { job_id: jobId, attempt });
};

export const inflightOf = (reader: Reader, minerId: string): number =>
  reader.get(countRunning, { miner_id: minerId })?.count ?? 0;

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

/** Adds a payment to what its miner earned, once. */
export const addEarning = (trx: Trx, earning: Tables['earning']): void => {
  if (trx.run(insertEarning, earning) === 1)
    trx.run(earn, { id: earning.miner_id, earned_minor: earning.earned_minor });
};

/** Deletes rows that no message can ask for any more. @returns how many, `limit` of each kind at most. */
export const forgetOld = (trx: Trx, nowMs: number, limit: number): number => {
  const attempts = trx.run(
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
  const earnings = trx.run(
    db
      .deleteFrom('earning')
      .where('payment_id', 'in', (eb) =>
        eb.selectFrom('earning').select('payment_id').where('forget_at_ms', '<', nowMs).limit(limit),
      ),
  );
  return attempts + earnings;
};
