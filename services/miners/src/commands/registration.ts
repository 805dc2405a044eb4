import { type Listeners, sendAs, type Trx } from '@aitbc/chassis';
import { type Caller, type MinerRegistration, newId, Problem, toMinor } from '@aitbc/contracts';
import { demandRoom, weightOf } from '../attributes.ts';
import { isSilent, NO_WORDS, PRESENCE, type PresenceEvent, reputation } from '../domain.ts';
import { claim, FIRST_BEAT_MS } from '../instances.ts';
import type { Roster } from '../roster.ts';
import {
  changeStatus,
  deleteMiner,
  findMiner,
  findMinerByName,
  findReputation,
  inflightOf,
  insertMiner,
  type KnownMiner,
  type Miner,
  minersOf,
  minersOfAccount,
  updateMiner,
  weightOfMiners,
} from '../store/index.ts';

const send = sendAs<'miners'>();

/** Of one account. At the limit, the longest silent one makes room once it was away for a day. */
const MINERS_PER_ACCOUNT_MAX = 1_000;
const DAY_MS = 24 * 3_600_000;
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
export const tell = async (trx: Trx, miner: Miner): Promise<void> => {
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
  const count = roster.isShared ? await minersOfAccount(trx, accountId) : roster.idsOf(accountId).size;
  if (count < MINERS_PER_ACCOUNT_MAX) return;
  const mine = await minersOf(trx, accountId);
  if (mine.length < MINERS_PER_ACCOUNT_MAX) return;
  const seenAt = (miner: Miner) => Math.max(roster.get(miner.id)?.seenAtMs ?? 0, miner.seen_at_ms);
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
    const miner: KnownMiner = {
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
      lives_until_ms: nowMs + FIRST_BEAT_MS,
      ...said,
    };
    await insertMiner(trx, miner);
    await tell(trx, miner);
    trx.afterCommit(() => roster.set(miner, nowMs + FIRST_BEAT_MS));
    return { miner, isNew: true };
  }
  const present = roster.isShared ? roster.take(known) : roster.get(known.id);
  if (present !== undefined) claim(present, name, body.instance_id, nowMs);
  const isChanged = Object.entries(columns).some(([column, value]) => known[column as keyof Miner] !== value);
  const isReturning = known.status === 'inactive';
  const life = said.instance_id === known.instance_id ? {} : { lives_until_ms: nowMs + FIRST_BEAT_MS };
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
      ...life,
      weight,
      status: miner.status,
      seen_at_ms: nowMs,
      revision: miner.revision,
    });
    await tell(trx, miner);
  } else if (said.instance_id !== known.instance_id || said.status_note !== known.status_note) {
    // Nobody else has to know.
    await updateMiner(trx, known.id, { ...said, ...life, weight });
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

/** A miner came back or went silent: changes its status and tells the others. @returns null when it is so already */
export const changePresence = async (
  trx: Trx,
  roster: Roster,
  minerId: string,
  event: PresenceEvent,
  nowMs: number,
): Promise<Miner | null> => {
  const known = roster.get(minerId);
  const row = roster.isShared ? await findMiner(trx, minerId) : undefined;
  const before = row?.status ?? known?.status;
  if (before === undefined) return null;
  const status = PRESENCE[before][event];
  const seenAtMs = Math.max(known?.seenAtMs ?? 0, row?.seen_at_ms ?? 0, event === 'seen' ? nowMs : 0);
  if ((await changeStatus(trx, minerId, status, seenAtMs)) === 0) return null;
  const miner = (await findMiner(trx, minerId)) as Miner;
  await tell(trx, miner);
  trx.afterCommit(() => {
    const present = roster.get(minerId);
    if (present === undefined) return;
    present.status = status;
    roster.seen(present, seenAtMs);
  });
  return miner;
};

/** Marks those of `minerIds` inactive that are still silent: one may have been heard since they were looked for. */
export const markSilent = async (
  trx: Trx,
  roster: Roster,
  minerIds: readonly string[],
  silence: { nowMs: number; hearingSinceMs: number; timeoutMs: number },
  listeners: Listeners,
): Promise<void> => {
  for (const id of minerIds) {
    const here = roster.get(id)?.seenAtMs;
    const elsewhere = roster.isShared ? (await findMiner(trx, id))?.seen_at_ms : undefined;
    if (here === undefined && elsewhere === undefined) continue;
    const seenAtMs = Math.max(here ?? 0, elsewhere ?? 0, roster.strangers.get(id) ?? 0);
    if (!isSilent(silence.nowMs, seenAtMs, silence.hearingSinceMs, silence.timeoutMs)) continue;
    const gone = await changePresence(trx, roster, id, 'silent', silence.nowMs);
    if (gone === null || !listeners.has(gone.account_id)) continue;
    await send(trx, 'miners.announced', {
      account_ids: [gone.account_id],
      object_id: id,
      at_ms: silence.nowMs,
      fact: { type: 'miner.inactive', data: { miner_id: id, status: 'inactive' } },
    });
  }
};
