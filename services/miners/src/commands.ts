import { sendAs, type Trx } from '@aitbc/chassis';
import { type Caller, type MinerRegistration, newId, type Payload, Problem, toMinor } from '@aitbc/contracts';
import {
  ATTEMPT,
  COUNTER,
  isNoticeable,
  isSilent,
  keptOutcome,
  PRESENCE,
  type PresenceEvent,
  reputation,
  scoreAfter,
} from './domain.ts';
import { claim, FIRST_BEAT_MS } from './instances.ts';
import type { Roster } from './roster.ts';
import {
  addEarning,
  attemptsOf,
  changeStatus,
  countOutcome,
  deleteMiner,
  findMiner,
  findMinerByName,
  findScore,
  inflightOf,
  insertMiner,
  type Miner,
  markOvertaken,
  minersOf,
  saveAnnounced,
  saveAttempt,
  updateMiner,
} from './store.ts';

const send = sendAs<'miners'>();

/** Of one account. At the limit, the longest silent one makes room once it was away for a day. */
const MINERS_PER_ACCOUNT_MAX = 1_000;
const DAY_MS = 24 * 3_600_000;
/** A message may be late by its retries (about two minutes) and an outage; then its order no longer matters. */
const FORGET_REPORTED_MS = 15 * 60_000;
/** An agent that comes back after hours still learns that a job it names is no longer its own. */
const FORGET_TAKEN_MS = DAY_MS;

/** What a registration says, as columns. */
const columnsOf = (body: MinerRegistration) => ({
  address: body.address,
  endpoint: body.endpoint ?? null,
  capabilities: JSON.stringify([...new Set(body.capabilities)]),
  gpus: JSON.stringify(body.gpus),
  cuda_version: body.cuda_version ?? null,
  models: JSON.stringify([...new Set(body.models)]),
  region: body.region ?? null,
  price_per_job_minor: toMinor(body.price_per_job ?? 0),
  concurrency: body.concurrency,
});

/** Tells the others of a miner, as it stands in this transaction. */
const tell = (trx: Trx, miner: Miner): void => {
  send(trx, 'miners.changed', {
    miner_id: miner.id,
    account_id: miner.account_id,
    revision: miner.revision,
    status: miner.status,
    capabilities: JSON.parse(miner.capabilities),
    gpus: JSON.parse(miner.gpus),
    cuda_version: miner.cuda_version,
    models: JSON.parse(miner.models),
    region: miner.region,
    price_per_job_minor: miner.price_per_job_minor,
    concurrency: miner.concurrency,
    reputation: miner.announced_reputation,
  });
};

const makeRoom = (trx: Trx, roster: Roster, accountId: string, nowMs: number): void => {
  if (roster.idsOf(accountId).size < MINERS_PER_ACCOUNT_MAX) return;
  const mine = minersOf(trx, accountId);
  if (mine.length < MINERS_PER_ACCOUNT_MAX) return;
  const seenAt = (miner: Miner) => roster.get(miner.id)?.seenAtMs ?? miner.seen_at_ms;
  const leaving = mine
    .filter((miner) => miner.status === 'inactive' && seenAt(miner) < nowMs - DAY_MS)
    .sort((a, b) => seenAt(a) - seenAt(b) || (a.id < b.id ? -1 : 1))
    .find((miner) => inflightOf(trx, miner.id) === 0);
  if (leaving === undefined) {
    throw new Problem(
      'MINER_LIMIT_REACHED',
      `An account can have ${MINERS_PER_ACCOUNT_MAX} miners; register under a name that is in use.`,
    );
  }
  deleteMiner(trx, leaving.id);
  trx.afterCommit(() => roster.remove(leaving.id));
};

/**
 * Registers a miner under the account and its name, or changes the one that is there; its work in hand is not touched.
 * Others are told only when something they know has changed.
 */
export const register = (
  trx: Trx,
  roster: Roster,
  caller: Caller,
  body: MinerRegistration,
  nowMs: number,
): { miner: Miner; isNew: boolean } => {
  const name = body.name ?? 'default';
  const said = { instance_id: body.instance_id ?? null, status_note: body.status_note ?? null };
  const known = findMinerByName(trx, caller.account_id, name);
  if (known === undefined) {
    makeRoom(trx, roster, caller.account_id, nowMs);
    const score = { good: 0, bad: 0 };
    const miner: Miner = {
      id: newId(),
      account_id: caller.account_id,
      name,
      ...columnsOf(body),
      status: 'active',
      revision: 1,
      seen_at_ms: nowMs,
      jobs_completed: 0,
      jobs_failed: 0,
      jobs_lost: 0,
      ...score,
      announced_reputation: reputation(score),
      earned_minor: 0,
      created_at_ms: nowMs,
      ...said,
    };
    insertMiner(trx, miner);
    tell(trx, miner);
    trx.afterCommit(() => roster.set(miner, nowMs + FIRST_BEAT_MS));
    return { miner, isNew: true };
  }
  const present = roster.get(known.id);
  if (present !== undefined) claim(present, name, body.instance_id, nowMs);
  const columns = columnsOf(body);
  const isChanged = Object.entries(columns).some(([column, value]) => known[column as keyof Miner] !== value);
  const isReturning = known.status === 'inactive';
  const miner: Miner = {
    ...known,
    ...columns,
    ...said,
    status: 'active',
    seen_at_ms: nowMs,
    revision: known.revision + (isChanged || isReturning ? 1 : 0),
  };
  if (isChanged || isReturning) {
    updateMiner(trx, known.id, {
      ...columns,
      ...said,
      status: miner.status,
      seen_at_ms: nowMs,
      revision: miner.revision,
    });
    tell(trx, miner);
  } else if (said.instance_id !== known.instance_id || said.status_note !== known.status_note) {
    // Nobody else has to know.
    updateMiner(trx, known.id, said);
  }
  if (present !== undefined) {
    // At once: the judge of silence may stand in the same group of transactions.
    roster.seen(present, nowMs);
    trx.afterCommit(() => {
      present.status = 'active';
    });
  }
  return { miner, isNew: false };
};

/** A miner came back or went silent: changes its status and tells the others; nothing when it is so already. */
export const changePresence = (
  trx: Trx,
  roster: Roster,
  minerId: string,
  event: PresenceEvent,
  nowMs: number,
): void => {
  const present = roster.get(minerId);
  if (present === undefined) return;
  const status = PRESENCE[present.status][event];
  const seenAtMs = event === 'seen' ? Math.max(nowMs, present.seenAtMs) : present.seenAtMs;
  if (changeStatus(trx, minerId, status, seenAtMs) === 0) return;
  tell(trx, findMiner(trx, minerId) as Miner);
  trx.afterCommit(() => {
    present.status = status;
    roster.seen(present, seenAtMs);
  });
};

/** Marks those of `minerIds` inactive that are still silent: one may have been heard since they were looked for. */
export const markSilent = (
  trx: Trx,
  roster: Roster,
  minerIds: readonly string[],
  silence: { nowMs: number; hearingSinceMs: number; timeoutMs: number },
): void => {
  for (const id of minerIds) {
    const present = roster.get(id);
    if (
      present !== undefined &&
      isSilent(silence.nowMs, present.seenAtMs, silence.hearingSinceMs, silence.timeoutMs)
    )
      changePresence(trx, roster, id, 'silent', silence.nowMs);
  }
};

/** A job was leased to a miner. */
export const startAttempt = (trx: Trx, started: Payload<'jobs.started'>): void => {
  const known = attemptsOf(trx, started.job_id);
  const mine = known.find(({ attempt }) => attempt === started.attempt);
  const state = ATTEMPT[mine?.state ?? 'unknown'].started;
  if (state === 'ignore') return;
  saveAttempt(trx, {
    job_id: started.job_id,
    attempt: started.attempt,
    miner_id: started.miner_id,
    state,
    outcome: null,
    // The net: jobs ends every attempt by its deadline and tells of it.
    forget_at_ms: started.deadline_at_ms + DAY_MS,
  });
  overtakeEarlier(trx, started.job_id);
};

/** Two attempts of a job never run at once, so the latest one known ends those before it. */
const overtakeEarlier = (trx: Trx, jobId: string): void => {
  const known = attemptsOf(trx, jobId);
  const latest = Math.max(...known.map(({ attempt }) => attempt));
  for (const { attempt, state } of known) {
    if (attempt < latest && ATTEMPT[state].overtaken === 'overtaken') markOvertaken(trx, jobId, attempt);
  }
};

/** A lease is over: counts once, whatever comes twice or first, and is remembered to stop the agent. */
export const endAttempt = (
  trx: Trx,
  roster: Roster,
  ended: Payload<'jobs.attempt_ended'>,
  nowMs: number,
): void => {
  const { job_id, miner_id, attempt, outcome } = ended;
  const known = attemptsOf(trx, job_id);
  const mine = known.find((candidate) => candidate.attempt === attempt);
  const state = ATTEMPT[mine?.state ?? 'unknown'].ended;
  if (state === 'ignore') return;
  const isReported = outcome === 'completed' || outcome === 'failed';
  saveAttempt(trx, {
    job_id,
    attempt,
    miner_id,
    state,
    outcome: keptOutcome(outcome),
    forget_at_ms: nowMs + (isReported ? FORGET_REPORTED_MS : FORGET_TAKEN_MS),
  });
  if (known.length > 1 || mine === undefined) overtakeEarlier(trx, job_id);
  if (!isReported) trx.afterCommit(() => roster.remember(miner_id, job_id));

  const before = findScore(trx, miner_id);
  if (before === undefined) return;
  const after = scoreAfter(before, outcome);
  countOutcome(trx, miner_id, after, COUNTER[outcome]);
  const now = reputation(after);
  if (!isNoticeable(before.announced_reputation, now)) return;
  saveAnnounced(trx, miner_id, now);
  tell(trx, findMiner(trx, miner_id) as Miner);
};

/** A payment reached its end: what the miner got counts as earned, once a payment. */
export const creditPayment = (trx: Trx, resolved: Payload<'payments.resolved'>, nowMs: number): void => {
  const { payment_id, kind, miner_id, earned_minor } = resolved;
  if (kind !== 'released' || miner_id === null || earned_minor === 0) return;
  addEarning(trx, { payment_id, miner_id, earned_minor, forget_at_ms: nowMs + DAY_MS });
};
