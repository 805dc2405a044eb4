import { createShare, type Handlers, type Parameters, pageOf, type Reader, type Store } from '@aitbc/chassis';
import { type Caller, fromMinor, invalidField, Problem, type routes, toTimestamp } from '@aitbc/contracts';
import { changePresence, judgeBeat, register } from './commands/index.ts';
import {
  type AttemptId,
  directiveFor,
  faded,
  idleReason,
  missingSpanMs,
  NO_WORDS,
  nextHeartbeatSeconds,
  reputation,
} from './domain.ts';
import { beat, hold } from './instances.ts';
import { legacyHandlers } from './legacy/index.ts';
import type { Present, Roster } from './roster.ts';
import {
  attemptsForBeat,
  attemptsOf,
  attemptsToTell,
  findReputation,
  firstPresences,
  inflightOf,
  type Miner,
  markTold,
  minersBefore,
  minersOfAccount,
  presenceOf,
} from './store/index.ts';

/** The cursor of a list is the id it ended with: ids rise with time and are made by one writer. */
const cursorOf = (id: string): string => Buffer.from(id).toString('base64url');
const idOfCursor = (cursor: string): string => {
  const id = Buffer.from(cursor, 'base64url').toString();
  if (!/^[0-9a-f-]{36}$/.test(id)) throw invalidField('query.cursor', 'is not a cursor of this list');
  return id;
};

const reputationNow = async (reader: Reader, accountId: string, nowMs: number): Promise<number> =>
  reputation(faded((await findReputation(reader, accountId)) ?? NO_WORDS, nowMs));

const shownMiner = (miner: Miner, seenAtMs: number, inflight: number, reputation: number) => ({
  id: miner.id,
  address: miner.address,
  endpoint: miner.endpoint,
  capabilities: JSON.parse(miner.capabilities),
  status: miner.status,
  last_heartbeat: toTimestamp(seenAtMs),
  name: miner.name,
  gpus: JSON.parse(miner.gpus),
  cuda_version: miner.cuda_version,
  models: JSON.parse(miner.models),
  region: miner.region,
  price_per_job: fromMinor(miner.price_per_job_minor),
  concurrency: miner.concurrency,
  inflight,
  reputation,
  jobs_completed: miner.jobs_completed,
  jobs_failed: miner.jobs_failed,
});

/** Each of the 1,000 miners of an account holds one, and another for a moment when its line broke. */
const HELD_BEATS_PER_ACCOUNT_MAX = 2_000;

const isNeeded = () => invalidField('miner_id', 'is needed: this account has several miners');

/** The miner that beats: the one named, or the only one of the account. */
const beatingMiner = (roster: Roster, caller: Caller, minerId: string | undefined): Present => {
  const ids = roster.idsOf(caller.account_id);
  if (minerId === undefined && ids.size > 1) throw isNeeded();
  const [only] = ids;
  return ownMiner(caller, roster.get(minerId ?? only ?? ''));
};

/** The same, by the rows: another process may have written them. */
const beatingMinerInRows = async (
  reader: Reader,
  roster: Roster,
  caller: Caller,
  minerId: string | undefined,
): Promise<Present> => {
  const rows =
    minerId === undefined
      ? await firstPresences(reader, caller.account_id)
      : [await presenceOf(reader, minerId)];
  if (rows.length > 1) throw isNeeded();
  const [row] = rows;
  if (row === undefined && minerId !== undefined) roster.remove(minerId);
  return ownMiner(caller, row?.account_id === caller.account_id ? roster.take(row) : undefined);
};

const ownMiner = (caller: Caller, present: Present | undefined): Present => {
  if (present?.account_id !== caller.account_id) {
    throw new Problem('MINER_NOT_REGISTERED', 'No such miner; register it first.');
  }
  return present;
};

/** How many miners an account has decides the pace of its beats alone. */
const FLEET_KNOWN_MS = 10_000;
const FLEETS_MAX = 50_000;
const createFleets = (store: Store, roster: Roster) => {
  const known = new Map<string, { size: number; untilMs: number }>();
  return async (accountId: string): Promise<number> => {
    if (!roster.isShared) return roster.idsOf(accountId).size;
    const nowMs = performance.now();
    const found = known.get(accountId);
    if (found !== undefined && found.untilMs > nowMs) return found.size;
    const size = await minersOfAccount(store.read, accountId);
    if (known.size >= FLEETS_MAX) known.clear();
    known.set(accountId, { size, untilMs: nowMs + FLEET_KNOWN_MS });
    return size;
  };
};

/** Which of the jobs that an agent has, or had until now, it is to stop. */
const directives = async (
  reader: Reader,
  minerId: string,
  inflight: readonly string[],
  held: ReadonlyMap<string, number | undefined>,
  toTell: readonly AttemptId[],
) => {
  const stop = { cancel: [] as string[], drop: [] as string[] };
  for (const jobId of new Set([...inflight, ...toTell.map(({ job_id }) => job_id)])) {
    const directive = directiveFor(await attemptsOf(reader, jobId), minerId, held.get(jobId));
    if (directive !== null) stop[directive].push(jobId);
  }
  return stop;
};

export const createHandlers = (options: {
  store: Store;
  roster: Roster;
  parameters: Parameters<'miners'>;
  now: () => number;
}): Handlers<typeof routes.miners> => {
  const { store, roster, parameters, now } = options;
  const heldBeats = createShare({
    max: HELD_BEATS_PER_ACCOUNT_MAX,
    code: 'TOO_MANY_POLLS',
    what: 'heartbeats open',
    retryAfterSeconds: 5,
  });
  const fleetOf = createFleets(store, roster);
  return {
    ...legacyHandlers(options),
    register: (context) =>
      context.write(async (trx) => {
        const { miner, isNew } = await register(trx, roster, context.caller, context.body, now());
        const body = shownMiner(
          miner,
          miner.seen_at_ms,
          await inflightOf(trx, miner.id),
          await reputationNow(trx, miner.account_id, now()),
        );
        return { status: isNew ? 201 : 200, body };
      }),

    heartbeat: async ({ caller, body, signal }) => {
      const present = roster.isShared
        ? await beatingMinerInRows(store.read, roster, caller, body.miner_id)
        : beatingMiner(roster, caller, body.miner_id);
      const inflight = body.inflight ?? [];
      const held = new Map(inflight.map((jobId, index) => [jobId, body.attempts?.[index]]));
      // Before what there is to tell is looked for: what comes after ends the beat.
      const { news } = present;
      const known = await attemptsForBeat(store.read, present.id);
      const { running } = known;
      const timeoutSeconds = parameters.get('heartbeat_timeout_seconds');
      const fleet = await fleetOf(caller.account_id);
      const nextSeconds = nextHeartbeatSeconds(timeoutSeconds, {
        inflight: running.length,
        isMissing: running.some(({ missing_beats }) => missing_beats > 0),
        fleet,
      });
      beat(present, body.instance_id, nextSeconds * 1_000, now());
      roster.seen(present, now());
      if (present.status === 'inactive') {
        await store.transact('miners.return', (trx) =>
          changePresence(trx, roster, present.id, 'seen', now()),
        );
      }
      // Without a list it is alive, and that is all it says.
      if (body.inflight !== undefined) {
        const isNamed = ({ job_id, attempt }: AttemptId) =>
          held.has(job_id) && (held.get(job_id) ?? attempt) === attempt;
        if (running.some((one) => one.missing_beats > 0 || !isNamed(one)))
          await store.transact('miners.judge_beat', (trx) =>
            judgeBeat(trx, present.id, isNamed, now(), missingSpanMs(timeoutSeconds, fleet)),
          );
      }
      let { toTell } = known;
      let stop = await directives(store.read, present.id, inflight, held, toTell);
      const waitMs = Math.min(body.wait_seconds ?? 0, nextSeconds) * 1_000;
      if (waitMs > 0 && stop.cancel.length + stop.drop.length === 0 && !roster.isStopping()) {
        const giveBack = heldBeats.take(caller.account_id);
        try {
          await hold(present, waitMs, news, signal, now);
        } finally {
          giveBack();
        }
        // For a caller that went away, nothing is told: its next beat asks.
        if (!signal.aborted) {
          toTell = await attemptsToTell(store.read, present.id);
          stop = await directives(store.read, present.id, inflight, held, toTell);
        }
      }
      if (toTell.length > 0 && !signal.aborted) {
        const told = toTell;
        await store.transact('miners.told', async (trx) => {
          for (const attempt of told) await markTold(trx, attempt);
        });
      }
      return {
        status: 200,
        body: {
          status: present.status,
          server_time: toTimestamp(now()),
          ...stop,
          next_heartbeat_seconds: nextSeconds,
        },
      };
    },

    me: async ({ caller, query }) => {
      const mine = minersBefore(store.read, {
        account_id: caller.account_id,
        beforeId: query.cursor === undefined ? undefined : idOfCursor(query.cursor),
      });
      const view = async (miner: Miner) => {
        const inflight = await inflightOf(store.read, miner.id);
        const seenAtMs = Math.max(roster.get(miner.id)?.seenAtMs ?? 0, miner.seen_at_ms);
        return {
          ...shownMiner(miner, seenAtMs, inflight, await reputationNow(store.read, caller.account_id, now())),
          jobs_lost: miner.jobs_lost,
          earnings: fromMinor(miner.earned_minor),
          status_note: miner.status_note,
          idle_reason: idleReason({
            status: miner.status,
            inflight,
            concurrency: miner.concurrency,
            isOffering: miner.capabilities !== '[]',
          }),
        };
      };
      return { status: 200, body: await pageOf(mine, query.limit, view, (last) => cursorOf(last.id)) };
    },

    list: async ({ query }) => {
      const miners = minersBefore(store.read, {
        status: query.status,
        beforeId: query.cursor === undefined ? undefined : idOfCursor(query.cursor),
      });
      const view = async (miner: Miner) => ({
        id: miner.id,
        status: miner.status,
        capabilities: JSON.parse(miner.capabilities),
        gpus: JSON.parse(miner.gpus),
        region: miner.region,
        reputation: await reputationNow(store.read, miner.account_id, now()),
      });
      return { status: 200, body: await pageOf(miners, query.limit, view, (last) => cursorOf(last.id)) };
    },
  };
};
