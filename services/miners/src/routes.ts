import { createShare, type Handlers, type Parameters, pageOf, type Reader, type Store } from '@aitbc/chassis';
import {
  type Caller,
  fromMinor,
  invalidField,
  type minersRoutes,
  Problem,
  toTimestamp,
} from '@aitbc/contracts';
import { changePresence, register, tellAbandoned } from './commands.ts';
import {
  directiveFor,
  faded,
  idleReason,
  judgeStatement,
  missingSpanMs,
  NO_WORDS,
  nextHeartbeatSeconds,
  reputation,
} from './domain.ts';
import { beat, hold } from './instances.ts';
import type { Present, Roster } from './roster.ts';
import { attemptsOf, findReputation, inflightOf, type Miner, minersBefore, runningOf } from './store.ts';

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

/** The miner that beats: the one named, or the only one of the account. */
const beatingMiner = (roster: Roster, caller: Caller, minerId: string | undefined): Present => {
  const ids = roster.idsOf(caller.account_id);
  if (minerId === undefined && ids.size > 1) {
    throw invalidField('miner_id', 'is needed: this account has several miners');
  }
  const [only] = ids;
  const present = roster.get(minerId ?? only ?? '');
  if (present?.account_id !== caller.account_id) {
    throw new Problem('MINER_NOT_REGISTERED', 'No such miner; register it first.');
  }
  return present;
};

/** Which of the jobs that an agent has, or had until now, it is to stop. */
const directives = async (
  reader: Reader,
  present: Present,
  inflight: readonly string[],
  held: ReadonlyMap<string, number | undefined>,
) => {
  const stop = { cancel: [] as string[], drop: [] as string[] };
  if (inflight.length === 0 && present.toTell.size === 0) return stop;
  for (const jobId of new Set([...inflight, ...present.toTell])) {
    const directive = directiveFor(await attemptsOf(reader, jobId), present.id, held.get(jobId));
    if (directive !== null) stop[directive].push(jobId);
  }
  present.toTell.clear();
  return stop;
};

export const createHandlers = (options: {
  store: Store;
  roster: Roster;
  parameters: Parameters<'miners'>;
  now: () => number;
}): Handlers<typeof minersRoutes> => {
  const { store, roster, parameters, now } = options;
  const heldBeats = createShare({
    max: HELD_BEATS_PER_ACCOUNT_MAX,
    code: 'TOO_MANY_POLLS',
    what: 'heartbeats open',
    retryAfterSeconds: 5,
  });
  return {
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
      const present = beatingMiner(roster, caller, body.miner_id);
      const inflight = body.inflight ?? [];
      const held = new Map(inflight.map((jobId, index) => [jobId, body.attempts?.[index]]));
      const running = await runningOf(store.read, present.id);
      const timeoutSeconds = parameters.get('heartbeat_timeout_seconds');
      const fleet = roster.idsOf(caller.account_id).size;
      const nextSeconds = nextHeartbeatSeconds(timeoutSeconds, {
        inflight: running.length,
        isMissing: present.missing.size > 0,
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
        const { missing, lost } = judgeStatement(
          present.missing,
          running,
          ({ job_id, attempt }) => held.has(job_id) && (held.get(job_id) ?? attempt) === attempt,
          now(),
          missingSpanMs(timeoutSeconds, fleet),
        );
        present.missing = missing;
        if (lost.length > 0) {
          await store.transact('miners.tell_abandoned', (trx) => tellAbandoned(trx, present.id, lost));
        }
      }
      const look = () => directives(store.read, present, inflight, held);
      let stop = await look();
      const waitMs = Math.min(body.wait_seconds ?? 0, nextSeconds) * 1_000;
      if (waitMs > 0 && stop.cancel.length + stop.drop.length === 0) {
        const giveBack = heldBeats.take(caller.account_id);
        try {
          await hold(present, waitMs, signal, now);
        } finally {
          giveBack();
        }
        // For a caller that went away, nothing is told: its next beat asks.
        if (!signal.aborted) stop = await look();
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
        const seenAtMs = roster.get(miner.id)?.seenAtMs ?? miner.seen_at_ms;
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
