import type { Missing, Status } from './domain.ts';

/** A miner as heartbeats need it: a few numbers in memory, so that a beat costs no row. */
export interface Present {
  readonly id: string;
  readonly account_id: string;
  status: Status;
  seenAtMs: number;
  /** Seen since the last flush to the file. */
  isUnsaved: boolean;
  /** Jobs whose attempt ended since the last beat: told once even to an agent that does not name them. */
  readonly toTell: Set<string>;
  /** Attempts that its last statements did not name. Only here: after a restart the count begins anew. */
  missing: ReadonlyMap<string, Missing>;
}

/** Told at the next beat at most; an agent that stays away longer asks by naming its jobs. */
const TO_TELL_MAX = 64;

/** All registered miners: filled from the file at start, changed after each commit. */
export const createRoster = () => {
  const byId = new Map<string, Present>();
  const byAccount = new Map<string, Set<string>>();
  return {
    get: (id: string): Present | undefined => byId.get(id),
    all: (): IterableIterator<Present> => byId.values(),
    idsOf: (accountId: string): ReadonlySet<string> => byAccount.get(accountId) ?? new Set(),
    set: (miner: { id: string; account_id: string; status: Status; seen_at_ms: number }): void => {
      const { id, account_id, status, seen_at_ms: seenAtMs } = miner;
      byId.set(id, {
        id,
        account_id,
        status,
        seenAtMs,
        isUnsaved: false,
        toTell: new Set(),
        missing: new Map(),
      });
      byAccount.set(account_id, (byAccount.get(account_id) ?? new Set()).add(id));
    },
    remove: (id: string): void => {
      const miner = byId.get(id);
      if (miner === undefined) return;
      byId.delete(id);
      byAccount.get(miner.account_id)?.delete(id);
    },
    seen: (miner: Present, atMs: number): void => {
      if (atMs <= miner.seenAtMs) return;
      miner.seenAtMs = atMs;
      miner.isUnsaved = true;
    },
    remember: (minerId: string, jobId: string): void => {
      const toTell = byId.get(minerId)?.toTell;
      if (toTell !== undefined && toTell.size < TO_TELL_MAX) toTell.add(jobId);
    },
    count: (status?: Status): number => {
      if (status === undefined) return byId.size;
      let count = 0;
      for (const miner of byId.values()) if (miner.status === status) count += 1;
      return count;
    },
  };
};
export type Roster = ReturnType<typeof createRoster>;
