import { readFileSync } from 'node:fs';
import type { RedisClient } from '@aitbc/chassis';
import type { Payload, ReceivedBy } from '@aitbc/contracts';
import type { DispatchKeys } from './keys.ts';
import { type Capability, CUDA_CLASSES, kindRecordOf, MEMORY_CLASSES, placeOf } from './match.ts';

const read = (name: string): string => readFileSync(new URL(name, import.meta.url), 'utf8');
const LUA = read('./pool.lua')
  .replace('WAITING_SIDE_IS_PUT_HERE', () => read('./waiting.lua'))
  .replace('MEMORY_CLASSES_ARE_PUT_HERE', MEMORY_CLASSES.join(', '))
  .replace('CUDA_CLASSES_ARE_PUT_HERE', CUDA_CLASSES.join(', '));

/** One thing the jobs service says to its dispatchers. */
export type Hint = {
  [N in ReceivedBy<'dispatcher'>]: { name: N; payload: Payload<N> };
}[ReceivedBy<'dispatcher'>];
/** Where the poll is held, if jobs runs in several processes. */
interface AtPlace {
  readonly place?: number;
}
export type Match = Payload<'dispatch.matched'> & AtPlace;
export type Missing = Payload<'dispatch.capability_missing'> & AtPlace;

/** A poll as the index names it: its matches then say where it is held. */
const nameOf = ({ poll_id, place }: { poll_id: string; place?: number | undefined }): string =>
  place === undefined ? poll_id : `${poll_id}@${place}`;
const pollOf = (name: string): { poll_id: string } & AtPlace => {
  const [poll_id, place] = name.split('@') as [string, string?];
  return place === undefined ? { poll_id } : { poll_id, place: Number(place) };
};

/** What a kind of miner can do, as the script's arguments. */
const describe = (kind: string, capability: Capability): (string | number)[] => {
  const record = kindRecordOf(capability);
  return [
    'K',
    kind,
    record.types.join(','),
    record.models.join(','),
    record.places.join(','),
    record.cardNumbers.join(','),
    record.memoryByCard.map((pair) => pair.join('=')).join(','),
    record.wheres.join(','),
    record.price,
    record.cuda,
  ];
};

/** The script orders by urgency, which counts from 0. */
const PRIORITY_MAX = 9;

const argumentsOf = (hint: Hint): (string | number)[] => {
  switch (hint.name) {
    case 'jobs.queued': {
      const { job_id, account_id, requirement, pays_minor, priority, offer, avoid } = hint.payload;
      const place = placeOf(requirement, pays_minor);
      return [
        'Q',
        job_id,
        account_id,
        PRIORITY_MAX - priority,
        place.price,
        place.memory,
        place.cuda,
        place.queue,
        offer,
        avoid.join(','),
        place.cardNumber,
      ];
    }
    case 'jobs.withdrawn':
      return ['W', hint.payload.job_id, hint.payload.offer];
    case 'jobs.capacity_opened': {
      const { miner_id, account_id, slots, rank, offer, epoch, kind, capability } = hint.payload;
      const poll = ['O', nameOf(hint.payload), miner_id, account_id, slots, rank, offer, epoch, kind];
      return capability === undefined ? poll : [...describe(kind, capability), ...poll];
    }
    case 'jobs.capacity_closed':
      return ['C', nameOf(hint.payload)];
  }
};

/** A match names so many jobs at most. */
const JOBS_PER_MATCH_MAX = 32;

export interface Outcome {
  readonly matches: Match[];
  /** Polls of miners of which the index does not know what they can do. */
  readonly missing: Missing[];
}

/** `poll, miner, job, …` to one match a poll; two, when a poll was offered twice and got both. */
const group = (flat: readonly string[]): Outcome => {
  const byPoll = new Map<string, Match>();
  const all: Match[] = [];
  const missing: Missing[] = [];
  for (let at = 0; at + 2 < flat.length; at += 3) {
    const [poll, miner_id, job_id] = flat.slice(at, at + 3) as [string, string, string];
    if (job_id === '') {
      missing.push({ ...pollOf(poll), kind: miner_id });
      continue;
    }
    let match = byPoll.get(poll);
    if (match?.job_ids.includes(job_id)) continue;
    if (match === undefined || match.job_ids.length >= JOBS_PER_MATCH_MAX) {
      match = { ...pollOf(poll), miner_id, job_ids: [] };
      byPoll.set(poll, match);
      all.push(match);
    }
    match.job_ids.push(job_id);
  }
  return { matches: all, missing };
};

type WithPool = {
  dispatchPool(where: string, prefix: string, ...rest: (string | number)[]): Promise<string[]>;
};

/** The index of waiting jobs and idle polls. Any number of processes may use one; each batch is one atomic script. */
export const createPool = (redis: RedisClient, keys: DispatchKeys) => {
  redis.defineCommand('dispatchPool', { numberOfKeys: 1, lua: LUA });
  // One key says to a cluster which master holds the index; all others lie beside it.
  const client = redis as unknown as WithPool;
  return {
    /** Takes offers in, in order. @returns the matches; those of a redelivered offer again. */
    offer: async (hints: readonly Hint[]): Promise<Outcome> =>
      group(await client.dispatchPool(keys.epoch, keys.prefix, ...hints.flatMap(argumentsOf))),
  };
};
export type Pool = ReturnType<typeof createPool>;
