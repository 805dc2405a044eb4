import { sendAs, type Trx } from '@aitbc/chassis';
import type { Payload } from '@aitbc/contracts';
import { ATTEMPT, type AttemptId, attemptKey, COUNTER, judgeStatement, keptOutcome } from '../domain.ts';
import type { Roster } from '../roster.ts';
import {
  attemptsForBeat,
  attemptsOf,
  countOutcome,
  findMiner,
  markOvertaken,
  saveAttempt,
  saveMissing,
} from '../store/index.ts';
import { hearAgainst, STRANGERS } from './reputation.ts';

const send = sendAs<'miners'>();

const DAY_MS = 24 * 3_600_000;
/** As many as one message holds. */
const ABANDONED_MAX = 64;
/** A message may be late by its retries (about two minutes) and an outage; then its order no longer matters. */
const FORGET_REPORTED_MS = 15 * 60_000;
/** An agent that comes back after hours still learns that a job it names is no longer its own. */
const FORGET_TAKEN_MS = DAY_MS;

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
  await tellAbandoned(trx, minerId, lost);
};

/** A job was leased to a miner. */
export const startAttempt = async (trx: Trx, started: Payload<'jobs.started'>): Promise<void> => {
  const known = await attemptsOf(trx, started.job_id);
  const mine = known.find(({ attempt }) => attempt === started.attempt);
  const state = ATTEMPT[mine?.state ?? 'unknown'].started;
  if (state === 'ignore') return;
  await saveAttempt(trx, {
    job_id: started.job_id,
    attempt: started.attempt,
    miner_id: started.miner_id,
    state,
    outcome: null,
    // The net: jobs ends every attempt by its deadline and tells of it.
    forget_at_ms: started.deadline_at_ms + DAY_MS,
    tell_at_ms: null,
  });
  await overtakeEarlier(trx, started.job_id);
};

/** Two attempts of a job never run at once, so the latest one known ends those before it. */
const overtakeEarlier = async (trx: Trx, jobId: string): Promise<void> => {
  const known = await attemptsOf(trx, jobId);
  const latest = Math.max(...known.map(({ attempt }) => attempt));
  for (const { attempt, state } of known) {
    if (attempt < latest && ATTEMPT[state].overtaken === 'overtaken')
      await markOvertaken(trx, jobId, attempt);
  }
};

/** A lease is over: counts once, whatever comes twice or first, and is remembered to stop the agent. */
export const endAttempt = async (
  trx: Trx,
  roster: Roster,
  ended: Payload<'jobs.attempt_ended'>,
  nowMs: number,
): Promise<void> => {
  const { job_id, miner_id, attempt, outcome } = ended;
  const known = await attemptsOf(trx, job_id);
  const mine = known.find((candidate) => candidate.attempt === attempt);
  const state = ATTEMPT[mine?.state ?? 'unknown'].ended;
  if (state === 'ignore') return;
  const isReported = outcome === 'completed' || outcome === 'failed';
  await saveAttempt(trx, {
    job_id,
    attempt,
    miner_id,
    state,
    outcome: keptOutcome(outcome),
    forget_at_ms: nowMs + (isReported ? FORGET_REPORTED_MS : FORGET_TAKEN_MS),
    // Told once even to an agent that does not name it.
    tell_at_ms: isReported ? null : nowMs,
  });
  if (known.length > 1 || mine === undefined) await overtakeEarlier(trx, job_id);
  if (!isReported) roster.wakeAfter(trx, miner_id);

  await countOutcome(trx, miner_id, COUNTER[outcome]);
  const miner = await findMiner(trx, miner_id);
  // From the release before this one comes no client: then it is one of the strangers.
  if (miner !== undefined)
    await hearAgainst(trx, miner.account_id, ended.client_account_id ?? STRANGERS, outcome, nowMs);
};
