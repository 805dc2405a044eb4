import type { Parameters, Scheduled, Store } from '@aitbc/chassis';
import { markSilent, tellReputation } from './commands.ts';
import { isSilent } from './domain.ts';
import type { Roster } from './roster.ts';
import { accountsToTell, forgetOld, saveSeenAt } from './store.ts';

const JUDGE_EVERY_MS = 1_000;
/** The judge was not called for so long: the process slept, or the clock jumped, and heard nobody meanwhile. */
const SLEPT_MS = 10_000;
/** How old "last seen" in the file may become. It is read after a restart only, when all have grace anyway. */
const FLUSH_EVERY_MS = 60_000;
const FORGET_EVERY_MS = 1_000;
/** An account of 1,000 miners has its new reputation told in half a minute. */
const TELL_EVERY_MS = 500;
const ACCOUNTS_TOLD_AT_ONCE = 10;
/** Rows a transaction: a few milliseconds, so that a request never waits long behind it. */
const BATCH = 500;

const batches = function* <T>(items: readonly T[]): Generator<T[]> {
  for (let start = 0; start < items.length; start += BATCH) yield items.slice(start, start + BATCH);
};

/**
 * Judges who is gone. Silence counts only while we could hear: everybody has one whole timeout after a start,
 * after a sleep of this process, and after Redis (by which jobs tells of polls) was away.
 */
export const createJudge = (options: {
  store: Store;
  roster: Roster;
  parameters: Parameters<'miners'>;
  hears: () => boolean;
  now: () => number;
}) => {
  const { store, roster, parameters, hears, now } = options;
  let hearingSinceMs = now();
  let judgedAtMs = now();
  return async (): Promise<void> => {
    const nowMs = now();
    if (!hears() || Math.abs(nowMs - judgedAtMs) > SLEPT_MS) hearingSinceMs = nowMs;
    judgedAtMs = nowMs;
    const timeoutMs = parameters.get('heartbeat_timeout_seconds') * 1_000;
    const silent = [...roster.all()]
      .filter((miner) => miner.status === 'active')
      .filter((miner) => isSilent(nowMs, miner.seenAtMs, hearingSinceMs, timeoutMs))
      .map(({ id }) => id);
    for (const ids of batches(silent)) {
      await store.transact('miners.mark_silent', (trx) =>
        markSilent(trx, roster, ids, { nowMs, hearingSinceMs, timeoutMs }),
      );
    }
  };
};

/** Writes down who was seen when: rarely, and when the service stops. */
export const createFlush = (store: Store, roster: Roster) => async (): Promise<void> => {
  const unsaved = [...roster.all()].filter((miner) => miner.isUnsaved);
  for (const some of batches(unsaved)) {
    await store.transact('miners.flush', async (trx) => {
      for (const miner of some) {
        await saveSeenAt(trx, miner.id, miner.seenAtMs);
        miner.isUnsaved = false;
      }
    });
  }
};

export const createSchedule = (options: {
  store: Store;
  judge: () => Promise<void>;
  flush: () => Promise<void>;
  now: () => number;
}): Scheduled[] => {
  const { store, judge, flush, now } = options;
  return [
    { name: 'miners.judge', everyMs: JUDGE_EVERY_MS, run: judge },
    { name: 'miners.flush', everyMs: FLUSH_EVERY_MS, run: flush },
    {
      name: 'miners.tell',
      everyMs: TELL_EVERY_MS,
      run: async () => {
        for (const accountId of await accountsToTell(store.read, ACCOUNTS_TOLD_AT_ONCE))
          await store.transact('miners.tell', (trx) => tellReputation(trx, accountId));
      },
    },
    {
      name: 'miners.forget',
      everyMs: FORGET_EVERY_MS,
      run: async (signal) => {
        let forgotten = BATCH;
        while (forgotten >= BATCH && !signal.aborted)
          forgotten = await store.transact('miners.forget', (trx) => forgetOld(trx, now(), BATCH));
      },
    },
  ];
};
