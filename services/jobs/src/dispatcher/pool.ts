import { readFileSync } from 'node:fs';
import type { connectRedis } from '@aitbc/chassis';
import type { Payload, ReceivedBy } from '@aitbc/contracts';
import type { DispatchKeys } from './keys.ts';

const LUA = readFileSync(new URL('./pool.lua', import.meta.url), 'utf8');

/** One thing the jobs service says to its dispatchers. */
export type Hint = {
  [N in ReceivedBy<'dispatcher'>]: { name: N; payload: Payload<N> };
}[ReceivedBy<'dispatcher'>];
export type Match = Payload<'dispatch.matched'>;

const argumentsOf = (hint: Hint): (string | number)[] => {
  switch (hint.name) {
    case 'jobs.queued': {
      const { job_id, account_id, lane, priority, offer, avoid } = hint.payload;
      return ['Q', job_id, account_id, lane, priority, offer, avoid.join(',')];
    }
    case 'jobs.withdrawn': {
      const { job_id, account_id, lane, offer } = hint.payload;
      return ['W', job_id, account_id, lane, offer];
    }
    case 'jobs.capacity_opened': {
      const { poll_id, miner_id, slots, rank, offer, epoch, lanes } = hint.payload;
      return ['O', poll_id, miner_id, slots, rank, offer, epoch, lanes.join(',')];
    }
    case 'jobs.capacity_closed':
      return ['C', hint.payload.poll_id];
  }
};

/** A match names so many jobs at most. */
const JOBS_PER_MATCH_MAX = 32;

/** `poll, miner, job, …` to one match a poll; two, when a poll was offered twice and got both. */
const group = (flat: readonly string[]): Match[] => {
  const byPoll = new Map<string, Match>();
  const all: Match[] = [];
  for (let at = 0; at + 2 < flat.length; at += 3) {
    const [poll_id, miner_id, job_id] = flat.slice(at, at + 3) as [string, string, string];
    let match = byPoll.get(poll_id);
    if (match?.job_ids.includes(job_id)) continue;
    if (match === undefined || match.job_ids.length >= JOBS_PER_MATCH_MAX) {
      match = { poll_id, miner_id, job_ids: [] };
      byPoll.set(poll_id, match);
      all.push(match);
    }
    match.job_ids.push(job_id);
  }
  return all;
};

type WithPool = { dispatchPool(prefix: string, ...rest: (string | number)[]): Promise<string[]> };

/** The index of waiting jobs and idle polls. Any number of processes may use one; each batch is one atomic script. */
export const createPool = (redis: ReturnType<typeof connectRedis>, keys: DispatchKeys) => {
  redis.defineCommand('dispatchPool', { numberOfKeys: 0, lua: LUA });
  const client = redis as unknown as WithPool;
  return {
    /** Takes offers in, in order. @returns the matches; those of a redelivered offer again. */
    offer: async (hints: readonly Hint[]): Promise<Match[]> =>
      group(await client.dispatchPool(keys.prefix, ...hints.flatMap(argumentsOf))),
  };
};
export type Pool = ReturnType<typeof createPool>;
