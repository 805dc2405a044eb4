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
const idleHeartbeatSeconds = (timeoutSeconds: number): number => Math.floor(timeoutSeconds * 0.45);
/** Who has work in hand beats so often: what a killed agent held is found within three beats. */
const BUSY_HEARTBEAT_SECONDS = 5;
/** Miners of one account that may all do so at once: 240 beats a minute, a quarter of the account's budget. */
const SMALL_FLEET_MAX = 20;

export const nextHeartbeatSeconds = (
  timeoutSeconds: number,
  miner: { inflight: number; isMissing: boolean; fleet: number },
): number => {
  const idle = idleHeartbeatSeconds(timeoutSeconds);
  const isFast = miner.isMissing || (miner.inflight > 0 && miner.fleet <= SMALL_FLEET_MAX);
  return isFast ? Math.min(BUSY_HEARTBEAT_SECONDS, idle) : idle;
};

// ── Attempts ────────────────────────────────────────────────────────────────────────────────────────────────────

/** `overtaken`: a later attempt of the job is known, so this one is over, though its end was not heard yet. */
export type AttemptState = 'running' | 'overtaken' | 'ended';
export type AttemptEvent = 'started' | 'overtaken' | 'ended';

/** As the statements of `store/attempts.ts` have it. Total, and the same in whatever order the events come: `ended` is final, `overtaken` stands above `running`. */
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

// ── What a miner no longer has ──────────────────────────────────────────────────────────────────────────────────

/** One attempt of one job. */
export interface AttemptId {
  readonly job_id: string;
  readonly attempt: number;
}

/** Statements in a row that did not name an attempt. */
export interface Missing {
  readonly beats: number;
  readonly sinceMs: number;
}

/** So many statements in a row must not name an attempt before it counts as lost... */
const MISSING_BEATS = 3;
/** ...and the first and the last of them must be as far apart as this many of the pauses that its beats were told. */
const MISSING_PAUSES = 1.6;

/**
 * How far apart: 8 s with beats of 5. A beat that left before the poll's answer had arrived knows nothing of the new
 * job, and is late by its own way here at most; so as long as that and the answer's way there are together shorter,
 * no work in hand is ever taken. And it is longer than a pause: of two agents that beat under one name, the one that
 * holds the job speaks in between.
 */
export const missingSpanMs = (timeoutSeconds: number, fleet: number): number =>
  nextHeartbeatSeconds(timeoutSeconds, { inflight: 1, isMissing: false, fleet }) * 1_000 * MISSING_PAUSES;

export const attemptKey = ({ job_id, attempt }: AttemptId): string => `${job_id}/${attempt}`;

/**
 * Compares what a beat names with what the miner is known to run.
 * @param before what earlier statements left; the answer's `missing` takes its place.
 * @returns `lost`: what this miner has not got any more. It is told to jobs, which decides; and counted anew.
 */
export const judgeStatement = (
  before: ReadonlyMap<string, Missing>,
  running: readonly AttemptId[],
  isNamed: (attempt: AttemptId) => boolean,
  nowMs: number,
  spanMs: number,
): { missing: ReadonlyMap<string, Missing>; lost: AttemptId[] } => {
  const missing = new Map<string, Missing>();
  const lost: AttemptId[] = [];
  for (const attempt of running) {
    if (isNamed(attempt)) continue;
    const { beats, sinceMs } = before.get(attemptKey(attempt)) ?? { beats: 0, sinceMs: nowMs };
    if (beats + 1 >= MISSING_BEATS && nowMs - sinceMs >= spanMs) lost.push(attempt);
    else missing.set(attemptKey(attempt), { beats: beats + 1, sinceMs });
  }
  return { missing, lost };
};

// ── Reputation ──────────────────────────────────────────────────────────────────────────────────────────────────

// Of an account, whatever names its miners have: a new name begins where the account stands. What others paid speaks for
// it, jobs that it failed, let time out or lost speak against it, and no single client says much either way.

/** What a newcomer starts with: 20 imagined words, half of them good. Nobody knows it yet, and a bad name gains little by it. */
const PRIOR_GOOD = 10;
const PRIOR_BAD = 10;
/** A paid job that earns so much is one good word; the word grows with the logarithm of the amount, and dust is nothing. */
const WORTH_MINOR = 10_000_000;
/** What one client can say at most at a time, for and against. */
const GOOD_MAX = 10;
const BAD_MAX = 4;
/** What all clients together can say against somebody they never paid: accounts cost nothing. */
const STRANGERS_BAD_MAX = 10;
/** In 30 days every word fades by half: what counts is the last months. */
const HALF_LIFE_MS = 30 * 24 * 3_600_000;
/** After so long nothing is left of a word (a thousandth). */
export const WORDS_FORGOTTEN_MS = 10 * HALF_LIFE_MS;
/** `miners.changed` tells of a reputation that moved by so much: everybody who ranks miners works on it. */
const NOTICEABLE = 0.02;

/** How an end counts against. A failure may be the job's own fault, so half; a lost job cost its client the most. */
const AGAINST: Record<Outcome, number> = {
  completed: 0,
  failed: 0.5,
  timed_out: 1,
  lost: 2,
  cancelled: 0,
  expired: 0,
  returned: 0,
};

/** Most ends say nothing against anybody: then nobody's words need to be looked at. */
export const speaksAgainst = (outcome: Outcome): boolean => AGAINST[outcome] > 0;

/** Words for and against, as they stood at a time. */
export interface Words {
  readonly good: number;
  readonly bad: number;
  readonly at_ms: number;
}
export const NO_WORDS: Words = { good: 0, bad: 0, at_ms: 0 };

/** What is left of words. A clock that was set back fades nothing. */
export const faded = ({ good, bad, at_ms }: Words, nowMs: number): Words => {
  const left = 0.5 ** (Math.max(0, nowMs - at_ms) / HALF_LIFE_MS);
  return { good: good * left, bad: bad * left, at_ms: nowMs };
};

/** What a payment adds to the words of the client who paid: `log2(1 + earned / 0.1 AITBC)`, up to what one client may say. */
export const wordFor = (client: Words, earnedMinor: number): number =>
  Math.min(Math.log2(1 + earnedMinor / WORTH_MINOR), Math.max(0, GOOD_MAX - client.good));

/**
 * What the end of an attempt adds against: up to what one client may say. The part beyond what the client itself has paid
 * is a stranger's, and all strangers share one bound.
 * @returns both parts: the second counts against the strangers' bound.
 */
export const wordAgainst = (
  client: Words,
  strangers: Words,
  outcome: Outcome,
): { bad: number; asStranger: number } => {
  const wanted = Math.min(AGAINST[outcome], Math.max(0, BAD_MAX - client.bad));
  const backed = Math.min(wanted, Math.max(0, client.good - client.bad));
  const asStranger = Math.min(wanted - backed, Math.max(0, STRANGERS_BAD_MAX - strangers.bad));
  return { bad: backed + asStranger, asStranger };
};

/** 0–1, 0.5 for a newcomer: `(10 + good) / (20 + good + bad)`. */
export const reputation = ({ good, bad }: Pick<Words, 'good' | 'bad'>): number => {
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
