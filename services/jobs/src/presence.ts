import type { Log, RedisClient, Store } from '@aitbc/chassis';
import type { DispatchKeys } from './dispatcher/keys.ts';
import { type Fleet, NAMED_MAX } from './fleet.ts';
import type { Hints } from './hints.ts';
import type { Polls } from './polls.ts';

/** How often each process says that it is there... */
export const PRESENCE_EVERY_MS = 1_000;
/** ...and how long that holds: a process may be late three times before its polls count no more. */
const PRESENT_MS = 4_000;
/** A miner that a job names is kept as long as a job may wait... */
const NAMED_SECONDS = 86_400;
/** ...and told for so long to each process, which may miss turns; to one that starts, all that are kept. */
const NAMED_TOLD_SECONDS = 60;

// One step on the master that holds the index: what was there, that this process is there, the time of its clock, and who
// was named lately.
const SAY = `
local found = redis.call('MGET', KEYS[1], KEYS[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[1])
local time = redis.call('TIME')
return { found[1], found[2], time[1], time[2], redis.call('ZRANGE', KEYS[4], time[1] - ARGV[4], '+inf', 'BYSCORE') }`;
const NAME = `
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] - ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[3] - 1)`;
// Only its own: another process may stand at this place already.
const LEAVE = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`;

/**
 * Where jobs runs in several processes: says to the dispatchers, and to the sisters, that this one is there, so that the
 * polls of one that died take no further jobs; offers this one's polls again when the index lost them; and tells the
 * process that leads of places that were left.
 */
export const createPresence = (options: {
  store: Store;
  redis: RedisClient;
  keys: DispatchKeys;
  epoch: number;
  hints: Hints;
  polls: Polls;
  fleet: Fleet;
  /** A job, of whatever process, is for this miner alone. */
  nameHere: (minerId: string) => void;
  log: Log;
}) => {
  const { store, redis, keys, hints, log } = options;
  const epoch = String(options.epoch);
  let generation: string | null = null;
  /** Who stood at each place when this process looked last. */
  let stood = new Map<string, string>();
  let isAnyGone = false;
  let isFirst = true;
  let isLeaving = false;

  const say = async (): Promise<void> => {
    const [heard, mine, seconds, micros, named] = (await redis.eval(
      SAY,
      4,
      keys.generation,
      keys.epochOf(store.place),
      keys.places,
      keys.named,
      epoch,
      PRESENT_MS,
      store.place,
      isFirst ? NAMED_SECONDS : NAMED_TOLD_SECONDS,
    )) as [string | null, string | null, string, string, string[]];
    isFirst = false;
    for (const minerId of named) options.nameHere(minerId);
    hints.followClock(Number(seconds) * 1_000 + Number(micros) / 1_000);
    const isLost = mine !== epoch || (heard !== null && heard !== generation);
    if (heard !== null) generation = heard;
    if (!isLost) return;
    options.fleet.forgetTold();
    options.polls.offerAll();
  };

  const lookAround = async (): Promise<void> => {
    const places = new Map(Object.entries(await redis.hgetall(keys.places)));
    if (places.size === 0) return;
    const names = [...places.keys()];
    const there = await redis.mget(names.map(keys.epochOf));
    const left = names.filter((_, at) => there[at] === null);
    if (left.length > 0) await redis.hdel(keys.places, ...left);
    const isReplaced = names.some((name) => stood.has(name) && stood.get(name) !== places.get(name));
    for (const name of left) places.delete(name);
    stood = places;
    if (left.length === 0 && !isReplaced) return;
    log.info({ places: left }, 'a process of jobs is gone: what was proposed to its polls is offered again');
    isAnyGone = true;
  };

  return {
    /** Called every second. */
    tick: async (): Promise<void> => {
      if (redis.status !== 'ready' || isLeaving) return;
      try {
        await say();
        if (store.leads()) await lookAround();
      } catch (error) {
        // Redis went away under it; the next one says it.
        if (redis.status === 'ready') throw error;
      }
    },
    /** To the sisters, within a second: one of them may hold the polls of this miner. */
    nameMiner: (minerId: string): void => {
      redis.eval(NAME, 1, keys.named, minerId, NAMED_SECONDS, NAMED_MAX).catch(hints.missed);
    },
    /** Whether a process died or was replaced since this was asked last. */
    takeGone: (): boolean => {
      const was = isAnyGone;
      isAnyGone = false;
      return was;
    },
    /** Its polls are closed; without this word sisters would notice four seconds later. */
    leave: async (): Promise<void> => {
      isLeaving = true;
      if (redis.status === 'ready')
        await redis.eval(LEAVE, 1, keys.epochOf(store.place), epoch).catch(() => {});
    },
  };
};
export type Presence = ReturnType<typeof createPresence>;
