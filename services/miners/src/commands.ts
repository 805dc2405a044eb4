import { sendAs, type Trx } from '@aitbc/chassis';
import { type Caller, type MinerRegistration, newId, type Payload, Problem, toMinor } from '@aitbc/contracts';
import { demandRoom, weightOf } from './attributes.ts';
import {
  ATTEMPT,
  type AttemptId,
  COUNTER,
  faded,
  isNoticeable,
  isSilent,
  keptOutcome,
  NO_WORDS,
  type Outcome,
  PRESENCE,
  type PresenceEvent,
  reputation,
  type Words,
  wordAgainst,
  wordFor,
} from './domain.ts';
import { claim, FIRST_BEAT_MS } from './instances.ts';
import type { Roster } from './roster.ts';
import {
  activeMinersAfter,
  addEarning,
  attemptsOf,
  changeStatus,
  countOutcome,
  deleteMiner,
  findMiner,
  findMinerByName,
  findReputation,
  findWordsOf,
  inflightOf,
  insertMiner,
  type Miner,
  markOvertaken,
  minersOf,
  saveAttempt,
  saveReputation,
  saveRevision,
  saveWordsOf,
  updateMiner,
  weightOfMiners,
} from './store.ts';

const send = sendAs<'miners'>();

/** Of one account. At the limit, the longest silent one makes room once it was away for a day. */
const MINERS_PER_ACCOUNT_MAX = 1_000;
/** As many as one message holds. */
const ABANDONED_MAX = 64;
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

const announcedOf = async (trx: Trx, accountId: string): Promise<number> =>
  (await findReputation(trx, accountId))?.announced ?? reputation(NO_WORDS);

/** Tells the others of a miner, as it stands in this transaction. */
const tell = async (trx: Trx, miner: Miner): Promise<void> => {
  await send(trx, 'miners.changed', {
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
    reputation: await announcedOf(trx, miner.account_id),
  });
};

const makeRoom = async (trx: Trx, roster: Roster, accountId: string, nowMs: number): Promise<void> => {
  if (roster.idsOf(accountId).size < MINERS_PER_ACCOUNT_MAX) return;
  const mine = await minersOf(trx, accountId);
  if (mine.length < MINERS_PER_ACCOUNT_MAX) return;
  const seenAt = (miner: Miner) => roster.get(miner.id)?.seenAtMs ?? miner.seen_at_ms;
  const candidates = mine
    .filter((miner) => miner.status === 'inactive' && seenAt(miner) < nowMs - DAY_MS)
    .sort((a, b) => seenAt(a) - seenAt(b) || (a.id < b.id ? -1 : 1));
  let leaving: Miner | undefined;
  for (const miner of candidates) {
    if ((await inflightOf(trx, miner.id)) !== 0) continue;
    leaving = miner;
    break;
  }
  if (leaving === undefined) {
    throw new Problem(
      'MINER_LIMIT_REACHED',
      `An account can have ${MINERS_PER_ACCOUNT_MAX} miners; register under a name that is in use.`,
    );
  }
  const { id } = leaving;
  await deleteMiner(trx, id);
  trx.afterCommit(() => roster.remove(id));
};

/**
 * Registers a miner under the account and its name, or changes the one that is there; its work in hand is not touched.
 * Others are told only when something they know has changed.
 */
export const register = async (
  trx: Trx,
  roster: Roster,
  caller: Caller,
  body: MinerRegistration,
  nowMs: number,
): Promise<{ miner: Miner; isNew: boolean }> => {
  const name = body.name ?? 'default';
  const said = { instance_id: body.instance_id ?? null, status_note: body.status_note ?? null };
  const known = await findMinerByName(trx, caller.account_id, name);
  const columns = columnsOf(body);
  const weight = weightOf({ ...columns, ...said });
  if (known === undefined) {
    await makeRoom(trx, roster, caller.account_id, nowMs);
    demandRoom(await weightOfMiners(trx, caller.account_id), 0, weight);
    roster.changes.take(caller.account_id, weight, nowMs);
    const miner: Miner = {
      id: newId(),
      account_id: caller.account_id,
      name,
      ...columns,
      weight,
      status: 'active',
      revision: 1,
      seen_at_ms: nowMs,
      jobs_completed: 0,
      jobs_failed: 0,
      jobs_lost: 0,
      earned_minor: 0,
      created_at_ms: nowMs,
      ...said,
    };
    await insertMiner(trx, miner);
    await tell(trx, miner);
    trx.afterCommit(() => roster.set(miner, nowMs + FIRST_BEAT_MS));
    return { miner, isNew: true };
  }
  const present = roster.get(known.id);
  if (present !== undefined) claim(present, name, body.instance_id, nowMs);
  const isChanged = Object.entries(columns).some(([column, value]) => known[column as keyof Miner] !== value);
  const isReturning = known.status === 'inactive';
  if (weight > known.weight)
    demandRoom((await weightOfMiners(trx, caller.account_id)) - known.weight, known.weight, weight);
  if (isChanged) roster.changes.take(caller.account_id, weight, nowMs);
  const miner: Miner = {
    ...known,
    ...columns,
    ...said,
    weight,
    status: 'active',
    seen_at_ms: nowMs,
    revision: known.revision + (isChanged || isReturning ? 1 : 0),
  };
  if (isChanged || isReturning) {
    await updateMiner(trx, known.id, {
      ...columns,
      ...said,
      weight,
      status: miner.status,
      seen_at_ms: nowMs,
      revision: miner.revision,
    });
    await tell(trx, miner);
  } else if (said.instance_id !== known.instance_id || said.status_note !== known.status_note) {
    // Nobody else has to know.
    await updateMiner(trx, known.id, { ...said, weight });
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
export const changePresence = async (
  trx: Trx,
  roster: Roster,
  minerId: string,
  event: PresenceEvent,
  nowMs: number,
): Promise<void> => {
  const present = roster.get(minerId);
  if (present === undefined) return;
  const status = PRESENCE[present.status][event];
  const seenAtMs = event === 'seen' ? Math.max(nowMs, present.seenAtMs) : present.seenAtMs;
  if ((await changeStatus(trx, minerId, status, seenAtMs)) === 0) return;
  await tell(trx, (await findMiner(trx, minerId)) as Miner);
  trx.afterCommit(() => {
    present.status = status;
    roster.seen(present, seenAtMs);
  });
};

/** Marks those of `minerIds` inactive that are still silent: one may have been heard since they were looked for. */
export const markSilent = async (
  trx: Trx,
  roster: Roster,
  minerIds: readonly string[],
  silence: { nowMs: number; hearingSinceMs: number; timeoutMs: number },
): Promise<void> => {
  for (const id of minerIds) {
    const present = roster.get(id);
    if (
      present !== undefined &&
      isSilent(silence.nowMs, present.seenAtMs, silence.hearingSinceMs, silence.timeoutMs)
    )
      await changePresence(trx, roster, id, 'silent', silence.nowMs);
  }
};

/** Tells jobs what a miner, by its own words, does not have any more. */
export const tellAbandoned = async (
  trx: Trx,
  minerId: string,
  attempts: readonly AttemptId[],
): Promise<void> => {
  for (let at = 0; at < attempts.length; at += ABANDONED_MAX) {
    const some = attempts.slice(at, at + ABANDONED_MAX);
    await send(trx, 'miners.attempts_abandoned', { miner_id: minerId, attempts: some });
  }
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
  });
  if (known.length > 1 || mine === undefined) await overtakeEarlier(trx, job_id);
  if (!isReported) trx.afterCommit(() => roster.remember(miner_id, job_id));

  await countOutcome(trx, miner_id, COUNTER[outcome]);
  const miner = await findMiner(trx, miner_id);
  // From the release before this one comes no client: then it is one of the strangers.
  if (miner !== undefined)
    await hearAgainst(trx, miner.account_id, ended.client_account_id ?? STRANGERS, outcome, nowMs);
};

/** The client that stands for all who never paid an account. */
const STRANGERS = '';

/** Takes in what was said of an account, and lets the others know when that moved it noticeably. */
const hear = async (
  trx: Trx,
  accountId: string,
  clientId: string,
  said: { client: Words; good: number; bad: number },
  nowMs: number,
): Promise<void> => {
  const { client, good, bad } = said;
  await saveWordsOf(trx, {
    account_id: accountId,
    client_id: clientId,
    good: client.good + good,
    bad: client.bad + bad,
    at_ms: nowMs,
  });
  const before = await findReputation(trx, accountId);
  const words = faded(before ?? NO_WORDS, nowMs);
  const after = { good: words.good + good, bad: words.bad + bad };
  const now = reputation(after);
  const announced = before?.announced ?? reputation(NO_WORDS);
  const isNews = isNoticeable(announced, now);
  await saveReputation(trx, {
    account_id: accountId,
    ...after,
    at_ms: nowMs,
    announced: isNews ? now : announced,
    telling_after: isNews ? '' : (before?.telling_after ?? null),
  });
  if (isNews) await tellReputation(trx, accountId);
};

const hearAgainst = async (
  trx: Trx,
  accountId: string,
  clientId: string,
  outcome: Outcome,
  nowMs: number,
): Promise<void> => {
  // Of its own jobs nobody speaks.
  if (clientId === accountId) return;
  const client = faded(await findWordsOf(trx, accountId, clientId), nowMs);
  const strangers = faded(await findWordsOf(trx, accountId, STRANGERS), nowMs);
  const { bad, asStranger } = wordAgainst(client, strangers, outcome);
  if (bad === 0) return;
  if (asStranger > 0 && clientId !== STRANGERS)
    await saveWordsOf(trx, {
      ...strangers,
      account_id: accountId,
      client_id: STRANGERS,
      bad: strangers.bad + asStranger,
    });
  await hear(trx, accountId, clientId, { client, good: 0, bad }, nowMs);
};

/** Miners told of in one transaction: a message holds up to 500 names of models. The schedule goes on with the others. */
const TOLD_AT_ONCE = 20;

/** Tells of the reputation of an account's miners, some at a time. */
export const tellReputation = async (trx: Trx, accountId: string): Promise<void> => {
  const row = await findReputation(trx, accountId);
  if (row === undefined || row.telling_after === null) return;
  const ids = await activeMinersAfter(trx, accountId, row.telling_after, TOLD_AT_ONCE);
  for (const id of ids) {
    await saveRevision(trx, id);
    await tell(trx, (await findMiner(trx, id)) as Miner);
  }
  await saveReputation(trx, {
    ...row,
    telling_after: ids.length < TOLD_AT_ONCE ? null : (ids.at(-1) as string),
  });
};

/** A payment reached its end: what the miner got counts as earned, and as its client's good word, once a payment. */
export const creditPayment = async (
  trx: Trx,
  resolved: Payload<'payments.resolved'>,
  nowMs: number,
): Promise<void> => {
  const { payment_id, kind, miner_id, earned_minor, payee_account_id, payer_account_id } = resolved;
  if (kind !== 'released' || miner_id === null || earned_minor === 0 || resolved.is_repeat) return;
  if (!(await addEarning(trx, { payment_id, miner_id, earned_minor, forget_at_ms: nowMs + DAY_MS }))) return;
  if (payee_account_id === null || payer_account_id === undefined || payer_account_id === payee_account_id)
    return;
  const client = faded(await findWordsOf(trx, payee_account_id, payer_account_id), nowMs);
  const good = wordFor(client, earned_minor);
  if (good > 0) await hear(trx, payee_account_id, payer_account_id, { client, good, bad: 0 }, nowMs);
};
