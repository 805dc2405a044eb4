import {
  type Listeners,
  type Parameters,
  type Purge,
  type Scheduled,
  type Store,
  schedulePurge,
} from '@aitbc/chassis';
import { markSilent, tellReputation } from './commands/index.ts';
import { isSilent, WORDS_FORGOTTEN_MS } from './domain.ts';
import type { Roster } from './roster.ts';
import {
  accountsToTell,
  attemptsDue,
  dropAttempts,
  dropEarnings,
  dropWords,
  earningsDue,
  quietOf,
  type Seen,
  saveSeen,
  saveSeenAt,
  silentSince,
  wordsDue,
} from './store/index.ts';

const JUDGE_EVERY_MS = 1_000;
/** The judge was not called for so long: the process slept, or the clock jumped, and heard nobody meanwhile. */
const SLEPT_MS = 10_000;
/** How old "last seen" in the file may become. It is read after a restart only, when all have grace anyway. */
const FLUSH_EVERY_MS = 60_000;
/** Where several processes share the rows, each writes down so soon whom it heard: many with one statement. */
const SHARED_FLUSH_EVERY_MS = 2_000;
/** A flush, the next one when that failed, and the clocks of two hosts. */
const HEARD_ELSEWHERE_MS = 3 * SHARED_FLUSH_EVERY_MS;
/** Marked in one turn of the judge; the others are as silent in the next. */
const SILENT_MAX = 5_000;
const PURGE_EVERY_MS = 1_000;
/** An account of 1,000 miners has its new reputation told in half a minute. */
const TELL_EVERY_MS = 500;
const ACCOUNTS_TOLD_AT_ONCE = 10;
/** Rows a transaction: a few milliseconds, so that a request never waits long behind it. */
const BATCH = 500;

/** Five statements each, and where the store is shared each is a way to a server: a transaction has 5 s. */
const SHARED_SILENT_BATCH = 20;

const batches = function* <T>(items: readonly T[], size = BATCH): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
};

/**
 * Judges who is gone. Silence counts only while we could hear: everybody has one whole timeout after a start,
 * after a sleep of this process, and after Redis (by which jobs tells of polls) was away.
 */
export const createJudge = (options: {
  store: Store;
  roster: Roster;
  parameters: Parameters<'miners'>;
  listeners: Listeners;
  hears: () => boolean;
  now: () => number;
}) => {
  const { store, roster, parameters, listeners, hears, now } = options;
  let hearingSinceMs = now();
  let judgedAtMs = now();
  /** Only once everybody could have been heard for so long. */
  const silentInRows = async (nowMs: number, timeoutMs: number): Promise<string[]> =>
    nowMs - hearingSinceMs > timeoutMs ? silentSince(store.read, nowMs - timeoutMs, SILENT_MAX) : [];
  return async (): Promise<void> => {
    const nowMs = now();
    if (!hears() || Math.abs(nowMs - judgedAtMs) > SLEPT_MS) hearingSinceMs = nowMs;
    judgedAtMs = nowMs;
    // What was heard elsewhere is known when it is written down.
    const lateMs = roster.isShared ? HEARD_ELSEWHERE_MS : 0;
    const timeoutMs = parameters.get('heartbeat_timeout_seconds') * 1_000 + lateMs;
    const silent = roster.isShared
      ? await silentInRows(nowMs, timeoutMs)
      : [...roster.all()]
          .filter((miner) => miner.status === 'active')
          .filter((miner) => isSilent(nowMs, miner.seenAtMs, hearingSinceMs, timeoutMs))
          .map(({ id }) => id);
    for (const some of batches(silent, roster.isShared ? SHARED_SILENT_BATCH : BATCH)) {
      // Looked at first without a transaction: such a miner is silent for minutes, and this is asked each second.
      const quiet = await quietOf(store.read, some, nowMs);
      const ids = some.filter((id) => !quiet.has(id));
      if (ids.length === 0) continue;
      await store.transact('miners.mark_silent', (trx) =>
        markSilent(trx, roster, ids, { nowMs, hearingSinceMs, timeoutMs }, listeners),
      );
    }
  };
};

/** Writes down who was seen when: rarely, and when the service stops; soon, where other processes go by it. */
export const createFlush = (store: Store, roster: Roster) => async (): Promise<void> => {
  if (roster.isShared) return flushShared(store, roster);
  const unsaved = [...roster.all()].filter((miner) => miner.isUnsaved);
  for (const some of batches(unsaved)) {
    const seen = some.map((miner) => ({ miner, atMs: miner.seenAtMs }));
    await store.transact('miners.flush', async (trx) => {
      for (const { miner, atMs } of seen) await saveSeenAt(trx, miner.id, atMs);
    });
    // It may have been seen again meanwhile.
    for (const { miner, atMs } of seen) if (miner.seenAtMs === atMs) miner.isUnsaved = false;
  }
};

const flushShared = async (store: Store, roster: Roster): Promise<void> => {
  const heard: Seen[] = [...roster.strangers].map(([id, seen_at_ms]) => ({ id, seen_at_ms, instance: null }));
  for (const { id, seenAtMs: seen_at_ms, instance, isUnsaved } of roster.all()) {
    if (!isUnsaved) continue;
    const life = instance === null ? null : { id: instance.id, lives_until_ms: instance.livesUntilMs };
    heard.push({ id, seen_at_ms, instance: life });
  }
  // In one order, so that two processes that write the same rows do not wait for each other in a ring.
  heard.sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const some of batches(heard)) {
    await store.transact('miners.flush', (trx) => saveSeen(trx, some));
    for (const { id, seen_at_ms, instance } of some) {
      if (roster.strangers.get(id) === seen_at_ms) roster.strangers.delete(id);
      const miner = roster.get(id);
      const isSame =
        miner?.seenAtMs === seen_at_ms &&
        (miner.instance?.livesUntilMs ?? 0) === (instance?.lives_until_ms ?? 0);
      if (miner !== undefined && isSame) miner.isUnsaved = false;
    }
  }
};

export const createSchedule = (options: {
  store: Store;
  judge: () => Promise<void>;
  flush: () => Promise<void>;
  purge: Purge;
  now: () => number;
}): Scheduled[] => {
  const { store, judge, flush, purge, now } = options;
  return [
    { name: 'miners.judge', everyMs: JUDGE_EVERY_MS, run: judge },
    {
      name: 'miners.flush',
      everyMs: store.isShared ? SHARED_FLUSH_EVERY_MS : FLUSH_EVERY_MS,
      // Of those that were heard here.
      where: 'everywhere',
      run: flush,
    },
    {
      name: 'miners.tell',
      everyMs: TELL_EVERY_MS,
      run: async () => {
        for (const accountId of await accountsToTell(store.read, ACCOUNTS_TOLD_AT_ONCE))
          await store.transact('miners.tell', (trx) => tellReputation(trx, accountId));
      },
    },
    schedulePurge(
      'miners.purge',
      [
        purge({
          what: 'attempts',
          find: (limit) => attemptsDue(store.read, now(), limit),
          dueAtMs: ({ forget_at_ms }) => forget_at_ms,
          drop: dropAttempts,
        }),
        purge({
          what: 'earnings',
          find: (limit) => earningsDue(store.read, now(), limit),
          dueAtMs: ({ forget_at_ms }) => forget_at_ms,
          drop: dropEarnings,
        }),
        purge({
          what: 'words',
          find: (limit) => wordsDue(store.read, now(), limit),
          dueAtMs: ({ at_ms }) => at_ms + WORDS_FORGOTTEN_MS,
          drop: dropWords,
        }),
      ],
      PURGE_EVERY_MS,
    ),
  ];
};
