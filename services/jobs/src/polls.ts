import { clock } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { rankOf } from './dispatcher/match.ts';
import type { Fleet } from './fleet.ts';
import type { Hints } from './hints.ts';
import type { JobRow } from './tables.ts';

/** An agent that opens polls without end holds this many; the oldest is answered. */
const POLLS_PER_MINER_MAX = 64;
/** A poll is offered again this often, in case its first offer got lost on the way... */
const REOFFER_AFTER_MS = 5_000;
/** ...but no more than this many a second over all: ten thousand idle miners must stay idle. */
const REOFFERS_PER_SECOND = 200;

/** A job leased to the miner of a poll, with what it needs to run it. */
export interface Leased {
  readonly job: JobRow;
  readonly parameters: string;
  readonly payload: string | null;
}

export interface Poll {
  readonly id: string;
  readonly minerId: string;
  readonly wanted: number;
  /** Of a program that gives no sign while it works. */
  readonly isQuiet: boolean;
  readonly openedAtMs: number;
  /** Slots the dispatchers know of; 0 when they know nothing of this poll. */
  offered: number;
  offeredAtMs: number;
  readonly answer: (jobs: readonly Leased[]) => void;
}

/**
 * The long-polls that miners hold open, in memory: a request is where its socket is. A poll is answered by the
 * process that leases the job to it, in the same breath.
 */
export const createPolls = (options: {
  hints: Hints;
  fleet: Fleet;
  runningOf: (minerId: string) => number;
  epoch: number;
  /** Where this is one of several processes. */
  sisters?: {
    /** Which of them. */
    place: () => number;
    /** Called with the first open poll of a miner; what it returns is called when the last has ended. */
    onPolling: (minerId: string) => () => void;
  };
}) => {
  const { hints, fleet, runningOf, epoch } = options;
  const open = new Map<string, Poll>();
  const byMiner = new Map<string, { readonly polls: Set<Poll>; readonly end: () => void }>();
  const pollsOf = (minerId: string): Iterable<Poll> => byMiner.get(minerId)?.polls ?? [];

  const { sisters } = options;
  const placed = (): { place?: number } => (sisters === undefined ? {} : { place: sisters.place() });
  const onPolling = sisters?.onPolling ?? (() => () => {});
  const sayClosed = (poll: Poll): void => {
    if (poll.offered > 0) hints.closed({ poll_id: poll.id, ...placed() });
  };

  const slotsOf = (poll: Poll, running: number): number => {
    const miner = fleet.miner(poll.minerId);
    return miner?.status === 'active' ? Math.max(0, Math.min(poll.wanted, miner.concurrency - running)) : 0;
  };

  const offer = (poll: Poll, nowMs: number): void => {
    const running = runningOf(poll.minerId);
    const slots = slotsOf(poll, running);
    const miner = fleet.miner(poll.minerId);
    poll.offeredAtMs = nowMs;
    if (miner === undefined || slots === 0) {
      sayClosed(poll);
      poll.offered = 0;
      return;
    }
    poll.offered = slots;
    hints.opened({
      epoch,
      ...placed(),
      poll_id: poll.id,
      miner_id: poll.minerId,
      account_id: miner.account_id,
      slots,
      ...fleet.describe(miner),
      rank: rankOf(miner.reputation, running / miner.concurrency),
    });
  };

  let isStopping = false;
  const freed = new Set<string>();
  const offerFreed = (): void => {
    const nowMs = clock.nowMs();
    for (const minerId of freed) {
      const running = runningOf(minerId);
      for (const poll of pollsOf(minerId)) if (slotsOf(poll, running) > poll.offered) offer(poll, nowMs);
    }
    freed.clear();
  };

  const remove = (poll: Poll): boolean => {
    if (!open.delete(poll.id)) return false;
    const own = byMiner.get(poll.minerId);
    own?.polls.delete(poll);
    if (own?.polls.size === 0) {
      byMiner.delete(poll.minerId);
      own.end();
    }
    return true;
  };

  const endEmpty = (poll: Poll): void => {
    if (!remove(poll)) return;
    sayClosed(poll);
    poll.answer([]);
  };

  return {
    size: (): number => open.size,
    find: (id: string): Poll | undefined => open.get(id),

    /** Waits for work. @returns the jobs leased to it; none when the time is over or the caller went away. */
    wait: (
      minerId: string,
      wanted: number,
      waitMs: number,
      signal: AbortSignal,
      isQuiet = false,
    ): Promise<readonly Leased[]> =>
      new Promise((resolve) => {
        const poll: Poll = {
          id: newId(),
          minerId,
          wanted,
          isQuiet,
          openedAtMs: clock.nowMs(),
          offered: 0,
          offeredAtMs: 0,
          answer: (jobs) => {
            clearTimeout(timer);
            signal.removeEventListener('abort', end);
            resolve(jobs);
          },
        };
        const end = () => endEmpty(poll);
        const timer = setTimeout(end, waitMs);
        if (signal.aborted || isStopping) return poll.answer([]);
        signal.addEventListener('abort', end);
        const own = byMiner.get(minerId) ?? { polls: new Set<Poll>(), end: onPolling(minerId) };
        byMiner.set(minerId, own);
        const { polls } = own;
        polls.add(poll);
        open.set(poll.id, poll);
        if (polls.size > POLLS_PER_MINER_MAX) endEmpty(polls.values().next().value as Poll);
        offer(poll, clock.nowMs());
      }),

    /** Hands over what was leased. @returns false when the poll ended meanwhile: the jobs must go back. */
    deliver: (poll: Poll, jobs: readonly Leased[]): boolean => {
      if (!remove(poll)) return false;
      poll.answer(jobs);
      return true;
    },

    /** This miner changed, or a match of its poll came to nothing. */
    refresh: (minerId: string): void => {
      for (const poll of pollsOf(minerId)) offer(poll, clock.nowMs());
    },

    /** Whether a poll of this miner would take more than it was offered. */
    wantsMore: (minerId: string): boolean => {
      for (const poll of pollsOf(minerId)) if (poll.offered < poll.wanted) return true;
      return false;
    },

    /** Slots of this miner may be free again: offered once for all of a commit, and only where they are more. */
    freed: (minerId: string): void => {
      if (!byMiner.has(minerId)) return;
      if (freed.size === 0) queueMicrotask(offerFreed);
      freed.add(minerId);
    },

    /** Offers again what was offered long ago, oldest first. Called twice a second. */
    reofferOld: (nowMs: number): void => {
      const budget = REOFFERS_PER_SECOND / 2;
      const old = [...open.values()].filter((poll) => nowMs - poll.offeredAtMs >= REOFFER_AFTER_MS);
      if (old.length > budget) old.sort((a, b) => a.offeredAtMs - b.offeredAtMs).length = budget;
      for (const poll of old) offer(poll, nowMs);
    },

    /** The index knows of no poll any more. */
    offerAll: (): void => {
      const nowMs = clock.nowMs();
      for (const poll of open.values()) offer(poll, nowMs);
    },

    /** Answers all with nothing, those that come from now on too: the service stops. */
    endAll: (): void => {
      isStopping = true;
      for (const poll of [...open.values()]) endEmpty(poll);
    },
  };
};
export type Polls = ReturnType<typeof createPolls>;
