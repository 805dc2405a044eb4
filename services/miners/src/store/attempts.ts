import { builder, hot, type Params, type Reader, type Trx } from '@aitbc/chassis';
import { sql } from 'kysely';
import type { AttemptId, AttemptState, KnownAttempt, Missing, Outcome } from '../domain.ts';
import type { Tables } from '../tables.ts';

/** How an attempt ended. */
interface End extends AttemptId {
  readonly miner_id: string;
  readonly outcome: Outcome;
  readonly forget_at_ms: number;
  readonly tell_at_ms: number | null;
}

const db = builder<Tables>();

const attemptsOfJob = hot((p: Params<{ job_id: string }>) =>
  db
    .selectFrom('attempt')
    .select(['attempt', 'miner_id', 'state', 'outcome'])
    .where('job_id', '=', p('job_id')),
);
// Whether a later one is known is asked while it is written: what comes late is over already.
const insertAttempt = hot(
  (
    p: Params<{
      job_id: string;
      attempt: number;
      miner_id: string;
      forget_at_ms: number;
      quiet_until_ms: number | null;
    }>,
  ) =>
    db
      .insertInto('attempt')
      .values((eb) => ({
        job_id: p('job_id'),
        attempt: p('attempt'),
        miner_id: p('miner_id'),
        state: eb
          .case()
          .when(
            eb.exists(
              eb
                .selectFrom('attempt as later')
                .select('later.attempt')
                .where('later.job_id', '=', p('job_id'))
                .where('later.attempt', '>', p('attempt')),
            ),
          )
          .then(sql.lit<AttemptState>('overtaken'))
          .else(sql.lit<AttemptState>('running'))
          .end(),
        outcome: null,
        forget_at_ms: p('forget_at_ms'),
        quiet_until_ms: p('quiet_until_ms'),
        tell_at_ms: null,
      }))
      .onConflict((conflict) => conflict.columns(['job_id', 'attempt']).doNothing()),
);
const putEnd = hot((p: Params<End>) =>
  db
    .insertInto('attempt')
    .values({
      job_id: p('job_id'),
      attempt: p('attempt'),
      miner_id: p('miner_id'),
      state: 'ended',
      outcome: p('outcome'),
      forget_at_ms: p('forget_at_ms'),
      quiet_until_ms: null,
      tell_at_ms: p('tell_at_ms'),
    })
    .onConflict((conflict) =>
      conflict
        .columns(['job_id', 'attempt'])
        .doUpdateSet({
          state: 'ended',
          outcome: p('outcome'),
          forget_at_ms: p('forget_at_ms'),
          tell_at_ms: p('tell_at_ms'),
        })
        .where('attempt.state', '<>', 'ended'),
    ),
);
const overtake = hot((p: Params<{ job_id: string; attempt: number }>) =>
  db
    .updateTable('attempt')
    .set({ state: 'overtaken' })
    .where('job_id', '=', p('job_id'))
    .where('attempt', '<', p('attempt'))
    .where('state', '=', 'running'),
);
const countRunning = hot((p: Params<{ miner_id: string }>) =>
  db
    .selectFrom('attempt')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('miner_id', '=', p('miner_id'))
    .where('state', '=', 'running'),
);

/** Told at one beat at most; an agent that stays away longer asks by naming its jobs. */
const TO_TELL_MAX = 64;
const beatColumns = ['job_id', 'attempt', 'state', 'missing_beats', 'missing_since_ms'] as const;
// One statement for both: each beat asks it, and both are read off small indexes.
const forBeat = hot((p: Params<{ miner_id: string }>) =>
  db
    .selectFrom('attempt')
    .select(beatColumns)
    .where('miner_id', '=', p('miner_id'))
    .where('state', '=', 'running')
    .unionAll(
      db
        .selectFrom('attempt')
        .select(beatColumns)
        .where('miner_id', '=', p('miner_id'))
        .where('tell_at_ms', 'is not', null),
    ),
);
const forTelling = hot((p: Params<{ miner_id: string; limit: number }>) =>
  db
    .selectFrom('attempt')
    .select(['job_id', 'attempt'])
    .where('miner_id', '=', p('miner_id'))
    .where('tell_at_ms', 'is not', null)
    .limit(p('limit')),
);
const setMissing = hot(
  (p: Params<{ job_id: string; attempt: number; beats: number; since_ms: number | null }>) =>
    db
      .updateTable('attempt')
      .set({ missing_beats: p('beats'), missing_since_ms: p('since_ms') })
      .where('job_id', '=', p('job_id'))
      .where('attempt', '=', p('attempt')),
);
const setTold = hot((p: Params<AttemptId>) =>
  db
    .updateTable('attempt')
    .set({ tell_at_ms: null })
    .where('job_id', '=', p('job_id'))
    .where('attempt', '=', p('attempt')),
);

/** An attempt that a miner runs, with what its last statements said of it. */
export type Running = AttemptId & {
  readonly missing_beats: number;
  readonly missing_since_ms: number | null;
};

/** What a beat is about: what the miner runs, and what ended and it was not told of. */
export const attemptsForBeat = async (
  reader: Reader,
  minerId: string,
): Promise<{ running: Running[]; toTell: AttemptId[] }> => {
  const rows = await reader.all(forBeat, { miner_id: minerId });
  return {
    running: rows.filter(({ state }) => state === 'running'),
    toTell: rows.filter(({ state }) => state !== 'running').slice(0, TO_TELL_MAX),
  };
};
export const attemptsToTell = (reader: Reader, minerId: string): Promise<AttemptId[]> =>
  reader.all(forTelling, { miner_id: minerId, limit: TO_TELL_MAX });

/** Miners with something to be told that came to be since then. */
export const minersToTell = async (reader: Reader, sinceMs: number): Promise<string[]> =>
  (
    await reader.all(
      db.selectFrom('attempt').select('miner_id').distinct().where('tell_at_ms', '>=', sinceMs),
    )
  ).map(({ miner_id }) => miner_id);

export const saveMissing = async (
  trx: Trx,
  { job_id, attempt }: AttemptId,
  missing: Missing | undefined,
): Promise<void> => {
  await trx.run(setMissing, {
    job_id,
    attempt,
    beats: missing?.beats ?? 0,
    since_ms: missing?.sinceMs ?? null,
  });
};

export const markTold = async (trx: Trx, { job_id, attempt }: AttemptId): Promise<void> => {
  await trx.run(setTold, { job_id, attempt });
};

export const attemptsOf = (
  reader: Reader,
  jobId: string,
): Promise<(KnownAttempt & { state: AttemptState })[]> => reader.all(attemptsOfJob, { job_id: jobId });

/** An attempt that runs, unless a later one is known. @returns false when it is known already */
export const addAttempt = async (
  trx: Trx,
  attempt: {
    job_id: string;
    attempt: number;
    miner_id: string;
    forget_at_ms: number;
    quiet_until_ms: number | null;
  },
): Promise<boolean> => (await trx.run(insertAttempt, attempt)) === 1;

/** The first end that is heard stands. @returns whether this was it */
export const saveEnd = async (trx: Trx, end: End): Promise<boolean> => (await trx.run(putEnd, end)) === 1;

/** Ends those before an attempt, if their end was not heard yet. */
export const markOvertaken = async (trx: Trx, jobId: string, attempt: number): Promise<void> => {
  await trx.run(overtake, { job_id: jobId, attempt });
};

/** Those of some that run what they were given through the routes of the original: they give no sign meanwhile. */
export const quietOf = async (
  reader: Reader,
  minerIds: readonly string[],
  nowMs: number,
): Promise<ReadonlySet<string>> =>
  minerIds.length === 0
    ? new Set()
    : new Set(
        (
          await reader.all(
            db
              .selectFrom('attempt')
              .select('miner_id')
              .distinct()
              .where('state', '=', sql.lit<AttemptState>('running'))
              .where('miner_id', 'in', minerIds)
              .where('quiet_until_ms', '>', nowMs),
          )
        ).map(({ miner_id }) => miner_id),
      );

export const inflightOf = async (reader: Reader, minerId: string): Promise<number> =>
  (await reader.get(countRunning, { miner_id: minerId }))?.count ?? 0;
