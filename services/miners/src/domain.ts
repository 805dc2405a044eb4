import type { Payload } from '@aitbc/contracts';

export type Status = 'active' | 'inactive';
export type Outcome = Payload<'jobs.attempt_ended'>['outcome'];

// ── Presence ────────────────────────────────────────────────────────────────────────────────────────────────────

/** What can happen to a miner's presence: it registered, beat or polled; or it was silent for the whole timeout. */
export type PresenceEvent = 'seen' | 'silent';

/** Total: every (status, event) leads to a status; the same one again is nothing to tell. */
export const PRESENCE: Record<Status, Record<PresenceEvent, Status>> = {
  active: { seen: 'active', silent: 'inactive' },
  inactive: { seen: 'active', silent: 'inactive' },
};

/**
 * Whether a miner counts as gone.
 * @param hearingSinceMs since when we could hear everybody: silence before it says nothing about a miner.
 */
export const isSilent = (
  nowMs: number,
  seenAtMs: number,
  hearingSinceMs: number,
  timeoutMs: number,
): boolean => nowMs - Math.max(seenAtMs, hearingSinceMs) > timeoutMs;

/** Two beats and some delay fit into the timeout, so one lost beat makes nobody inactive: 13 s of 30. */
export const nextHeartbeatSeconds = (timeoutSeconds: number): number => Math.floor(timeoutSeconds * 0.45);

// ── Attempts ────────────────────────────────────────────────────────────────────────────────────────────────────

/** `overtaken`: a later attempt of the job is known, so this one is over, though its end was not heard yet. */
export type AttemptState = 'running' | 'overtaken' | 'ended';
export type AttemptEvent = 'started' | 'overtaken' | 'ended';

/** Total, and the same in whatever order the events come: `ended` is final, `overtaken` stands above `running`. */
export const ATTEMPT: Record<AttemptState | 'unknown', Record<AttemptEvent, AttemptState | 'ignore'>> = {
  unknown: { started: 'running', overtaken: 'ignore', ended: 'ended' },
  running: { started: 'ignore', overtaken: 'overtaken', ended: 'ended' },
  overtaken: { started: 'ignore', overtaken: 'ignore', ended: 'ended' },
  ended: { started: 'ignore', overtaken: 'ignore', ended: 'ignore' },
};

/** What the file keeps of an outcome: to the miner that had it, a returned attempt is one that is not its own. */
export const keptOutcome = (outcome: Outcome): Exclude<Outcome, 'returned'> =>
  outcome === 'returned' ? 'lost' : outcome;

export interface KnownAttempt {
  readonly attempt: number;
  readonly miner_id: string;
  readonly outcome: Outcome | null;
}

/**
 * What an agent that runs a job is told to do with it: nothing (null), unless the job is known to have ended or moved.
 * A job of which nothing is known of this miner may have come to it a moment ago: it keeps it.
 * @param attempts all that is known of one job, in any order.
 * @param held the attempt that the agent runs. Without it, the newest known is meant: wrong for a moment when the job
 *   came back to the same miner and the news of that is still under way.
 */
export const directiveFor = (
  attempts: readonly KnownAttempt[],
  minerId: string,
  held?: number,
): 'cancel' | 'drop' | null => {
  if (!attempts.some((known) => known.miner_id === minerId)) return null;
  if (attempts.some(({ outcome }) => outcome === 'cancelled' || outcome === 'expired')) return 'cancel';
  const latest = attempts.reduce((latest, known) => (known.attempt > latest.attempt ? known : latest));
  // Held, but not heard of yet: then it is newer than all that is known.
  if (held !== undefined && latest.attempt < held) return null;
  if (latest.miner_id !== minerId || (held !== undefined && latest.attempt > held)) return 'drop';
  // Completed and failed are the agent's own report: it is just about to forget the job.
  return latest.outcome === 'lost' || latest.outcome === 'timed_out' ? 'drop' : null;
};

// ── Reputation ──────────────────────────────────────────────────────────────────────────────────────────────────

/** What every miner starts with: 50 outcomes of which 40 went well. One outcome moves it by 0.03 at most. */
const PRIOR_GOOD = 40;
const PRIOR_BAD = 10;
/** Each outcome fades the ones before, so that about the last 200 count. */
const FADE = 0.995;
/** `miners.changed` tells of a reputation that moved by so much: everybody who ranks miners works on it. */
const NOTICEABLE = 0.02;

/** How an outcome counts. A failure may be the job's own fault, so half; a lost job cost its client the most. */
const WEIGHT: Record<Outcome, { good: number; bad: number } | null> = {
  completed: { good: 1, bad: 0 },
  failed: { good: 0, bad: 0.5 },
  timed_out: { good: 0, bad: 1 },
  lost: { good: 0, bad: 2 },
  cancelled: null,
  expired: null,
  returned: null,
};

export interface Score {
  readonly good: number;
  readonly bad: number;
}

export const scoreAfter = ({ good, bad }: Score, outcome: Outcome): Score => {
  const weight = WEIGHT[outcome];
  return weight === null ? { good, bad } : { good: good * FADE + weight.good, bad: bad * FADE + weight.bad };
};

/**
 * 0–1, 0.8 at the start: the share of outcomes that went well, the recent ones counting most, with 50 imagined
 * ones before them: `(40 + good) / (50 + good + bad)`.
 */
export const reputation = ({ good, bad }: Score): number => {
  const share = (PRIOR_GOOD + good) / (PRIOR_GOOD + PRIOR_BAD + good + bad);
  return Math.round(share * 10_000) / 10_000;
};

export const isNoticeable = (announced: number, now: number): boolean =>
  Math.abs(now - announced) >= NOTICEABLE;

/** Which counter an outcome raises. A timed-out job was taken away, as a lost one was. */
export const COUNTER: Record<Outcome, 'jobs_completed' | 'jobs_failed' | 'jobs_lost' | null> = {
  completed: 'jobs_completed',
  failed: 'jobs_failed',
  timed_out: 'jobs_lost',
  lost: 'jobs_lost',
  cancelled: null,
  expired: null,
  returned: null,
};

// ── For the owner ───────────────────────────────────────────────────────────────────────────────────────────────

/** Why no (more) work comes; null while some does. */
export const idleReason = (miner: {
  status: Status;
  inflight: number;
  concurrency: number;
  isOffering: boolean;
}): 'inactive' | 'nothing_offered' | 'at_capacity' | 'no_matching_jobs' | null => {
  if (miner.status === 'inactive') return 'inactive';
  if (!miner.isOffering && miner.inflight === 0) return 'nothing_offered';
  if (miner.inflight >= miner.concurrency) return 'at_capacity';
  return miner.inflight === 0 ? 'no_matching_jobs' : null;
};
