import type { Log, RedisClient, Store } from '@aitbc/chassis';
import type { DispatchKeys } from './dispatcher/keys.ts';
import type { Fleet } from './fleet.ts';
import type { Hints } from './hints.ts';
import type { Polls } from './polls.ts';

/** How often each process says that it is there... */
export const PRESENCE_EVERY_MS = 1_000;
/** ...and how long that holds: a process may be late three times before its polls count no more. */
const PRESENT_MS = 4_000;

// One step on the master that holds the index: what was there, that this process is there, and the time of its clock.
const SAY = `
local found = redis.call('MGET', KEYS[1], KEYS[2])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[1])
local time = redis.call('TIME')
return { found[1], found[2], time[1], time[2] }`;
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
  log: Log;
}) => {
  const { store, redis, keys, hints, log } = options;
  const epoch = String(options.epoch);
  let generation: string | null = null;
  /** Who stood at each place when this process looked last. */
  let stood = new Map<string, string>();
  let isAnyGone = false;

  const say = async (): Promise<void> => {
    const [heard, mine, seconds, micros] = (await redis.eval(
      SAY,
      3,
      keys.generation,
      keys.epochOf(store.place),
      keys.places,
      epoch,
      PRESENT_MS,
      store.place,
    )) as [string | null, string | null, string, string];
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
      if (redis.status !== 'ready') return;
      try {
        await say();
        if (store.leads()) await lookAround();
      } catch (error) {
        // Redis went away under it; the next one says it.
        if (redis.status === 'ready') throw error;
      }
    },
    /** Whether a process died or was replaced since this was asked last. */
    takeGone: (): boolean => {
      const was = isAnyGone;
      isAnyGone = false;
      return was;
    },
    /** Its polls are closed; without this word sisters would notice four seconds later. */
    leave: async (): Promise<void> => {
      if (redis.status === 'ready')
        await redis.eval(LEAVE, 1, keys.epochOf(store.place), epoch).catch(() => {});
    },
  };
};
export type Presence = ReturnType<typeof createPresence>;
