import {
  ConfigError,
  clock,
  createListeners,
  createParameters,
  DAY_MS,
  deriveKey,
  type Fail,
  type Objects,
  openObjects,
  type RedisClient,
  standUp,
} from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import { migrations } from '../migrations/index.ts';
import { createArchive } from './archive.ts';
import { offerRested } from './commands/lifecycle.ts';
import { makeSureOfMoney } from './commands/restored.ts';
import type { Config } from './config.ts';
import { createConsumers } from './consumers.ts';
import { type DispatchKeys, dispatchKeys } from './dispatcher/keys.ts';
import { createErasures } from './erasures.ts';
import { createEventStreams } from './event-stream.ts';
import { createFleet } from './fleet.ts';
import { createFleetSync } from './fleet-sync.ts';
import { gathered } from './gathered.ts';
import { createHints } from './hints.ts';
import { createIndexSync } from './index-sync.ts';
import { createKeyring } from './keyring.ts';
import { createLeases } from './lease.ts';
import { createLoad, slotsTopic } from './load.ts';
import { createJobMetrics } from './metrics.ts';
import { createOutput } from './output/index.ts';
import { createPolls } from './polls.ts';
import { createPresence } from './presence.ts';
import { createPurges } from './purge.ts';
import { createSigner } from './receipts.ts';
import { paysOf, requirementOfRow } from './requirement.ts';
import { createRests } from './rests.ts';
import { createHandlers } from './routes.ts';
import { createSchedule } from './schedule.ts';
import { createSeen } from './seen.ts';
import {
  boundTimes,
  countActive,
  countRunning,
  hasWaiting,
  namedByWaiting,
  type WaitingJob,
} from './store/backlog.ts';
import { allMiners } from './store/fleet.ts';
import { findJob } from './store/jobs.ts';
import { createWaits } from './waits.ts';
import { createWatch } from './watch.ts';
import type { Work } from './work.ts';

export { configShape } from './config.ts';
export { dispatcherConfigShape } from './dispatcher/config.ts';
export { startDispatcher } from './dispatcher/service.ts';

/** A status answer does not wait longer than this for its place in the queue. */
const POSITION_WAIT_MS = 200;

const withinOrNull = <T>(promise: Promise<T>, ms: number): Promise<T | null> => {
  let timer: NodeJS.Timeout;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  return Promise.race([promise.catch(() => null), late]).finally(() => clearTimeout(timer));
};

/**
 * Jobs that come before this one, as its queue stands now: while each client has its turn, one of each. Those with
 * fewer jobs than this one has before itself make it less.
 */
const findPosition = async (
  redis: RedisClient,
  keys: DispatchKeys,
  job: WaitingJob,
): Promise<number | null> => {
  const { turns, own } = keys.queueOf(requirementOfRow(job), paysOf(job), job.client_id);
  const [before, turn, clients] = await Promise.all([
    redis.zrank(own, job.id),
    redis.zrank(turns, job.client_id),
    redis.zcard(turns),
  ]);
  return before === null ? null : before * clients + (turn ?? 0);
};

/** @throws ConfigError when it is a bucket without keys */
const archiveOf = (config: Config): Objects | undefined => {
  try {
    return config.ARCHIVE_URL === undefined ? undefined : openObjects(config.ARCHIVE_URL, config);
  } catch (error) {
    throw new ConfigError(`ARCHIVE_URL: ${(error as Error).message}`);
  }
};

/**
 * The composition root: every part with its plain dependencies, and nothing else.
 * @throws ConfigError without a signing key in production, or with an archive that cannot be
 */
export const startJobs = async (config: Config, fail: Fail) => {
  if (config.NODE_ENV === 'production' && config.RECEIPT_SIGNING_KEY === undefined)
    throw new ConfigError('RECEIPT_SIGNING_KEY is needed in production: receipts must outlive this machine.');
  if (config.RECEIPT_SIGNING_KEY !== undefined) createSigner(config.RECEIPT_SIGNING_KEY);
  const objects = archiveOf(config);
  return standUp(
    {
      name: 'jobs',
      routes: routes.jobs,
      migrations,
      compose: async ({ store, redis, log, metrics, purge, postal }) => {
        const keys = dispatchKeys(postal.prefix, redis.isCluster);
        const epoch = Date.now();
        const fleet = createFleet();
        const hints = createHints({
          redis,
          postal,
          stream: `${store.stream}-hints`,
          log,
          hasWork: store.isShared ? undefined : () => hasWaiting(store.read),
        });
        const load = createLoad();
        const countSlots = gathered(async (minerIds) => {
          await load.countAgain(store, minerIds);
          for (const id of minerIds) polls.freed(id);
        });
        const polls = createPolls({
          hints,
          fleet,
          runningOf: load.of,
          epoch,
          ...(store.isShared
            ? {
                sisters: {
                  place: () => store.place,
                  onPolling: (minerId) =>
                    store.subscribe(slotsTopic(minerId), () => {
                      if (polls.wantsMore(minerId)) countSlots(minerId);
                    }),
                },
              }
            : {}),
        });
        const nameHere = (minerId: string): void => {
          if (fleet.name(minerId)) polls.refresh(minerId);
        };
        const nameMiner = (minerId: string): void => {
          if (fleet.miner(minerId) === undefined) return;
          nameHere(minerId);
          presence?.nameMiner(minerId);
        };
        /**
         * A job may have named it before it was known here. A job asks who is known once its commit is done, or in a file
         * before it, where the commit that makes a miner known can only follow; this reads what waits once the miner is known.
         * So one of the two finds the other. Whichever process does tells its sisters: one may have known the miner before the
         * job came.
         */
        const nameIfAwaited = gathered(async (minerIds) => {
          try {
            for (const id of await namedByWaiting(store.read, minerIds)) nameMiner(id);
          } catch {
            hints.missed();
          }
        });
        const presence = store.isShared
          ? createPresence({ store, redis, keys, epoch, hints, polls, fleet, nameHere, log })
          : undefined;
        const stopping = new AbortController();
        const keyring = createKeyring();
        const watch = createWatch(store);
        const output = createOutput({ watch, find: (jobId) => findJob(store.read, jobId) });
        metrics.gauge('output_readers', 'Who reads what running jobs put out', () => output.size().readers);
        metrics.gauge(
          'output_kept_bytes',
          'What is kept of it for those who come late',
          () => output.size().kept,
        );
        const work: Work = {
          isProduction: config.NODE_ENV === 'production',
          store,
          parameters: await createParameters(store, 'jobs'),
          listeners: await createListeners(store),
          erasures: createErasures(store),
          fleet,
          nameMiner,
          hints,
          polls,
          load,
          leases: createLeases(deriveKey(config.SECRET_KEY, 'lease')),
          fleetSync: store.isShared ? createFleetSync({ store, fleet, onChanged: polls.refresh }) : undefined,
          watch,
          output,
          seen: createSeen(),
          rests: createRests({ onOver: (jobId) => offerRested(work, jobId) }),
          waits: createWaits(),
          metrics: createJobMetrics(
            metrics,
            polls.size,
            store.isShared ? () => countActive(store.read) : undefined,
          ),
          keyring,
          queuePosition: async (job) =>
            redis.status === 'ready' ? withinOrNull(findPosition(redis, keys, job), POSITION_WAIT_MS) : null,
        };
        const periods = {
          contentMs: config.KEEP_CONTENT_DAYS * DAY_MS,
          jobsMs: config.KEEP_JOBS_DAYS * DAY_MS,
        };
        const archive =
          objects === undefined
            ? undefined
            : createArchive({ store, objects, keptMs: periods.jobsMs, metrics });
        const streams = createEventStreams(work);
        const sync = createIndexSync({ work, redis, keys, epoch, presence, log });
        metrics.gauge(
          'dispatch_index_rebuilding',
          '1 while all that waits is offered to the dispatchers again',
          () => (sync.isRebuilding() ? 1 : 0),
        );
        return {
          handlers: createHandlers(work, streams, stopping.signal),
          consumers: createConsumers(work),
          schedule: [...createSchedule(work, sync, presence), ...createPurges(work, periods, purge, archive)],
          start: async () => {
            // Among several the one that leads: the others' clocks did not start again.
            if (store.leads())
              await store.transact('jobs.bound_times', (trx) => boundTimes(trx, clock.nowMs()));
            await keyring.load(store, config.RECEIPT_SIGNING_KEY);
            for (const miner of await allMiners(store.read)) fleet.setMiner(miner);
            // Those just read need no look: what waits for them is offered at the start, or was told by a sister.
            fleet.onRegistered(nameIfAwaited);
            if (!store.isShared) {
              for (const { miner_id, n } of await countRunning(store.read)) load.add(miner_id, n);
              Object.assign(work.metrics.active, await countActive(store.read));
            }
            // What it puts back is taken off the counts above, and is offered by what is known of miners.
            await makeSureOfMoney(work);
            // Its first polls would count for nothing otherwise, until the schedule begins.
            await presence?.tick().catch((error) => log.warn({ err: error }, 'the index was not told'));
          },
          stop: async () => {
            stopping.abort();
            polls.endAll();
            streams.endAll();
            work.rests.end();
            work.fleetSync?.end();
            await hints.drain();
            await presence?.leave();
            await hints.close();
          },
        };
      },
    },
    config,
    fail,
  );
};
