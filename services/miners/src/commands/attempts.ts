import { sendAs, type Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import {
  type AttemptId,
  attemptKey,
  COUNTER,
  judgeStatement,
  keptOutcome,
  speaksAgainst,
} from '../domain.ts';
import type { Roster } from '../roster.ts';
import {
  addAttempt,
  attemptsForBeat,
  countDone,
  findMiner,
  markOvertaken,
  saveEnd,
  saveMissing,
} from '../store/index.ts';
import { hearAgainst, STRANGERS } from './reputation.ts';

const send = sendAs<'miners'>();

/** As many as one message holds. */
const ABANDONED_MAX = 64;
/** A message may be late by its retries (about two minutes) and an outage; then its order no longer matters. */
const FORGET_REPORTED_MS = 15 * 60_000;

/** Tells jobs what a miner, by its own words, does not have any more. */
const tellAbandoned = async (trx: Trx, minerId: string, attempts: readonly AttemptId[]): Promise<void> => {
  for (let at = 0; at < attempts.length; at += ABANDONED_MAX) {
    const some = attempts.slice(at, at + ABANDONED_MAX);
    await send(trx, 'miners.attempts_abandoned', { miner_id: minerId, attempts: some });
  }
};

/**
 * Compares what a beat names with what the miner runs, in one transaction with what its beats before it said, wherever
 * they arrived; and tells jobs of what it has not got any more.
 */
export const judgeBeat = async (
  trx: Trx,
  minerId: string,
  isNamed: (attempt: AttemptId) => boolean,
  nowMs: number,
  spanMs: number,
): Promise<void> => {
  const { running } = await attemptsForBeat(trx, minerId);
  const before = new Map(
    running
      .filter(({ missing_beats }) => missing_beats > 0)
      .map((one) => [attemptKey(one), { beats: one.missing_beats, sinceMs: one.missing_since_ms ?? nowMs }]),
  );
  const { missing, lost } = judgeStatement(before, running, isNamed, nowMs, spanMs);
  for (const one of running) {
    const now = missing.get(attemptKey(one));
    if ((now?.beats ?? 0) !== one.missing_beats) await saveMissing(trx, one, now);
  }
  const abandoned = lost.map(({ job_id, attempt }) => ({ job_id, attempt }));
  await tellAbandoned(trx, minerId, abandoned);
};

/**
 * A job was leased to a miner. Of an attempt that is known already, or over, nothing changes: see `ATTEMPT`.
 * @param keptMs how long attempts are known after their end
 */
export const startAttempt = async (
  trx: Trx,
  started: Payload<'jobs.started'>,
  keptMs: number,
): Promise<void> => {
  const { job_id, attempt, miner_id, deadline_at_ms, quiet_until_ms = null } = started;
  // The net: jobs ends every attempt by its deadline and tells of it.
  const isNew = await addAttempt(trx, {
    job_id,
    attempt,
    miner_id,
    forget_at_ms: deadline_at_ms + keptMs,
    quiet_until_ms,
  });
  if (isNew) await overtakeBefore(trx, job_id, attempt);
};

/** Two attempts of a job never run at once, so each that is heard of ends those before it. */
const overtakeBefore = async (trx: Trx, jobId: string, attempt: number): Promise<void> => {
  // The first has none before it, and most jobs have no second.
  if (attempt > 1) await markOvertaken(trx, jobId, attempt);
};

/**
 * A lease is over: counts once, whatever comes twice or first, and is remembered to stop the agent.
 * @param keptMs an agent that comes back so much later still learns that a job it names is no longer its own
 */
export const endAttempt = async (
  trx: Trx,
  roster: Roster,
  ended: Payload<'jobs.attempt_ended'>,
  nowMs: number,
  keptMs: number,
): Promise<void> => {
  const { job_id, miner_id, attempt, outcome } = ended;
  const isReported = outcome === 'completed' || outcome === 'failed';
  const isFirst = await saveEnd(trx, {
    job_id,
    attempt,
    miner_id,
    outcome: keptOutcome(outcome),
    forget_at_ms: nowMs + (isReported ? Math.min(FORGET_REPORTED_MS, keptMs) : keptMs),
    // Told once even to an agent that does not name it.
    tell_at_ms: isReported ? null : nowMs,
  });
  if (!isFirst) return;
  await overtakeBefore(trx, job_id, attempt);
  if (!isReported) roster.wakeAfter(trx, miner_id);

  const counter = COUNTER[outcome];
  if (counter !== null) countDone(trx, miner_id, { [counter]: 1 });
  const owner = speaksAgainst(outcome) ? await findMiner(trx, miner_id) : undefined;
  // From the release before this one comes no client: then it is one of the strangers.
  if (owner !== undefined)
    await hearAgainst(trx, owner.account_id, ended.client_account_id ?? STRANGERS, outcome, nowMs);
};
