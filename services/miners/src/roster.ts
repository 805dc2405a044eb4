import { createChanges } from './attributes.ts';
import type { Missing, Status } from './domain.ts';
import type { Instance } from './instances.ts';

/** A miner as heartbeats need it: a few numbers in memory, so that a beat costs no row. */
export interface Present {
  readonly id: string;
  readonly account_id: string;
  readonly name: string;
  /** The process behind it, where its agent names one. */
  instance: Instance | null;
  /** Ends each beat that is held. */
  readonly held: Set<() => void>;
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
    /** What accounts changed of their miners' attributes lately. Only here: after a restart the count begins anew. */
    changes: createChanges(),
    get: (id: string): Present | undefined => byId.get(id),
    all: (): IterableIterator<Present> => byId.values(),
    idsOf: (accountId: string): ReadonlySet<string> => byAccount.get(accountId) ?? new Set(),
    /** @param livesUntilMs until when the process that registered it is taken for living without a beat. */
    set: (
      miner: {
        id: string;
        account_id: string;
        name: string;
        status: Status;
        seen_at_ms: number;
        instance_id: string | null;
      },
      livesUntilMs: number,
    ): void => {
      const { id, account_id, name, status, seen_at_ms: seenAtMs, instance_id } = miner;
      const instance = instance_id === null ? null : { id: instance_id, open: 0, livesUntilMs };
      const present: Present = {
        id,
        account_id,
        name,
        instance,
        held: new Set(),
        status,
        seenAtMs,
        isUnsaved: false,
        toTell: new Set(),
        missing: new Map(),
      };
      byId.set(id, present);
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
      const miner = byId.get(minerId);
      if (miner === undefined) return;
      if (miner.toTell.size < TO_TELL_MAX) miner.toTell.add(jobId);
      for (const end of [...miner.held]) end();
    },
    /** Answers all held beats: the service stops. */
    endHeld: (): void => {
      for (const { held } of byId.values()) for (const end of [...held]) end();
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
