import { clock, type Log, mastersOf, type RedisClient, type Store } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { offerJob } from './commands/lifecycle.ts';
import type { DispatchKeys } from './dispatcher/keys.ts';
import type { Presence } from './presence.ts';
import { restOf } from './rests.ts';
import { newestWaiting, type WaitingJob, waitingAfter } from './store/backlog.ts';
import { findJob } from './store/jobs.ts';
import type { Work } from './work.ts';

/** Offered in one go while the index is rebuilt; ten queue entries. */
const REBUILD_BATCH = 1_000;
/** A turn of rebuilding ends after this, so that the tick after it still looks at Redis. */
const REBUILD_TURN_MS = 2_000;
/** The slow walk over all that wait offers so many a tick... */
const WALK_BATCH = 200;
/** ...of those that have waited at least this long: who waits less is on its way. */
const WALK_AGE_MS = 10_000;
/** Keys that Redis looks at in one step while those of dead polls are taken out. */
const SCAN_COUNT = 1_000;
/** Keys of Redis that one tick looks at for jobs that the index should not have any more. */
const SWEEP_COUNT = 500;
/** After a restart the offers lost with the old process are among the newest jobs. */
const NEWEST = 10_000;

/** Asked by key, so that of a cluster that master answers that holds the index. */
const INFO = "return redis.call('INFO', 'server')";

type Position = Parameters<typeof waitingAfter>[1];
const START = { job_type: '', id: '' } as const;

/**
 * Keeps the dispatchers' index true to the file. The index names the Redis it was built in; when that name is gone
 * (wiped) or another (restarted, so maybe without its last second), everything that waits is offered again. Beside
 * that, a slow walk offers what has waited long, round and round: a job that got lost in a way nobody thought of
 * waits minutes, not for ever. Another walks over the index itself: what is in it and does not wait, because the hint that
 * it ended was lost, is taken out.
 *
 * Where jobs runs in several processes the one that leads does this. When another took the lead, or any of them died, it
 * begins anew: what was proposed to polls of a dead one is among the jobs that are offered again.
 */
export const createIndexSync = (options: {
  work: Work;
  redis: RedisClient;
  keys: DispatchKeys;
  epoch: number;
  /** Undefined where jobs is one process. */
  presence: Presence | undefined;
  log: Log;
}) => {
  const { work, redis, keys, epoch, presence, log } = options;
  let rebuild: { after: Position; offered: number } | undefined;
  let walkAfter: Position = START;
  let walkAgainAtMs = 0;
  let isFirst = true;
  let sweepAfter = '0';

  const offerAll = async (jobs: readonly WaitingJob[]): Promise<void> => {
    for (const job of jobs) await offerJob(work, work.store.read, job);
  };

  const look = async (): Promise<void> => {
    const runId =
      /run_id:(\w+)/.exec((await redis.eval(INFO, 1, keys.generation)) as string)?.[1] ?? 'unknown';
    const builtIn = (await redis.get(keys.generation))?.split('/')[0];
    const isLost = work.hints.takeLost();
    if (presence?.takeGone()) isFirst = true;
    if (builtIn === runId && !isLost && !isFirst) return;
    if (builtIn !== runId) log.info('the dispatch index is gone or may be stale: offering all that waits');
    if (isFirst) {
      for (const master of mastersOf(redis))
        for await (const found of master.scanStream({ match: keys.idlePattern, count: SCAN_COUNT }))
          if ((found as string[]).length > 0) await redis.unlink(...(found as string[]));
    }
    // The polls of an earlier process are nobody's. Of several, each offers its own again when it sees a new name.
    if (presence === undefined) await redis.mset(keys.generation, runId, keys.epoch, epoch);
    else await redis.set(keys.generation, `${runId}/${newId()}`);
    if (isFirst) {
      await offerAll(await newestWaiting(work.store.read, NEWEST));
      await work.hints.drain();
    }
    isFirst = false;
    if (presence === undefined) {
      work.fleet.forgetTold();
      work.polls.offerAll();
    }
    rebuild = { after: START, offered: 0 };
  };

  const rebuildTurn = async (signal: AbortSignal): Promise<void> => {
    const until = performance.now() + REBUILD_TURN_MS;
    while (rebuild !== undefined && performance.now() < until && !signal.aborted) {
      // New work shares the queue: no more than one batch of old work stands in front of it.
      if (await work.hints.isBehind()) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      const jobs = await waitingAfter(work.store.read, rebuild.after, REBUILD_BATCH);
      await offerAll(jobs);
      await work.hints.drain();
      const last = jobs.at(-1);
      if (jobs.length < REBUILD_BATCH || last === undefined) {
        log.info({ jobs: rebuild.offered + jobs.length }, 'the dispatch index is complete');
        rebuild = undefined;
      } else rebuild = { after: last, offered: rebuild.offered + jobs.length };
    }
  };

  /** Another process may keep the job from who could not run it, and offers it when that is over: see rests. */
  const restMs = (store: Store, job: WaitingJob): number =>
    store.isShared && job.report_attempt === job.attempt ? restOf(job.attempt, job.ttl_ms) : 0;

  const walk = async (): Promise<void> => {
    const nowMs = clock.nowMs();
    if (nowMs < walkAgainAtMs) return;
    const jobs = await waitingAfter(work.store.read, walkAfter, WALK_BATCH);
    await offerAll(
      jobs.filter((job) => nowMs - job.queued_at_ms > Math.max(WALK_AGE_MS, restMs(work.store, job))),
    );
    if (jobs.length < WALK_BATCH) {
      walkAfter = START;
      walkAgainAtMs = nowMs + WALK_AGE_MS;
    } else walkAfter = jobs.at(-1) as WaitingJob;
  };

  const sweep = async (): Promise<void> => {
    const [after, found] = await redis.scan(sweepAfter, 'MATCH', keys.job('*'), 'COUNT', SWEEP_COUNT);
    sweepAfter = after;
    if (found.length === 0) return;
    const records = await redis.mget(found);
    for (const [at, key] of found.entries()) {
      // What begins with it is kept for a minute after a match or an end.
      if (records[at]?.startsWith('=') !== false) continue;
      const id = key.slice(keys.job('').length);
      const job = await findJob(work.store.read, id);
      if (job?.status !== 'pending' || job.is_funded !== 1) work.hints.withdrawn({ job_id: id });
    }
  };

  /** Another leads. Once this one does, it begins anew: it does not know how far the other came. */
  const follow = async (): Promise<void> => {
    isFirst = true;
    rebuild = undefined;
    // What is lost here the other has to offer again.
    if (work.hints.takeLost()) await redis.del(keys.generation);
  };

  return {
    /** Old work is on its way to the dispatchers, all of it. */
    isRebuilding: (): boolean => rebuild !== undefined,
    tick: async (signal: AbortSignal): Promise<void> => {
      if (redis.status !== 'ready') return;
      try {
        if (!work.store.leads()) return await follow();
        await look();
        if (rebuild === undefined) {
          await walk();
          await sweep();
        } else await rebuildTurn(signal);
      } catch (error) {
        // Redis went away under it; what is due is still due when it is back.
        if (redis.status === 'ready') throw error;
      }
    },
  };
};
export type IndexSync = ReturnType<typeof createIndexSync>;
