import type { Trx } from '@aitbc/chassis';
import { createChanges } from './attributes.ts';
import type { Status } from './domain.ts';
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
  /** How often there was something to tell it. */
  news: number;
}

/** A miner's row, as far as the roster has it too. */
interface Row {
  readonly id: string;
  readonly account_id: string;
  readonly name: string;
  readonly status: Status;
  readonly seen_at_ms: number;
  readonly instance_id: string | null;
  readonly lives_until_ms: number;
}

/** The topic that says: some miner has something to be told. */
export const TELL = 'tell';

/**
 * All registered miners: filled from the file at start, changed after each commit. Where several processes share the rows
 * it knows those alone that were heard here, and each beat takes over first what others wrote of its miner.
 */
export const createRoster = ({ isShared = false } = {}) => {
  const byId = new Map<string, Present>();
  const byAccount = new Map<string, Set<string>>();
  /** Heard of from jobs, and not known here: on its way to the rows. */
  const strangers = new Map<string, number>();
  let isStopping = false;
  const roster = {
    isShared,
    strangers,
    /** Beats are not held any more: the service stops. */
    isStopping: () => isStopping,
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
        news: 0,
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
    /** Takes over what the row says, where it is newer than what is known here. */
    take: (row: Row): Present => {
      const known = byId.get(row.id);
      if (known === undefined) {
        roster.set(row, row.lives_until_ms);
        return byId.get(row.id) as Present;
      }
      known.status = row.status;
      known.seenAtMs = Math.max(known.seenAtMs, row.seen_at_ms);
      const { instance_id: id, lives_until_ms: livesUntilMs } = row;
      if (id !== null && known.instance?.id !== id) known.instance = { id, open: 0, livesUntilMs };
      // What changed here since the last flush is newer.
      else if (known.instance !== null && !known.isUnsaved) known.instance.livesUntilMs = livesUntilMs;
      return known;
    },
    /** A miner was heard of: known here or not. */
    heardOf: (minerId: string, atMs: number): void => {
      const miner = byId.get(minerId);
      if (miner !== undefined) roster.seen(miner, atMs);
      else if (isShared) strangers.set(minerId, Math.max(atMs, strangers.get(minerId) ?? 0));
    },
    /** Ends the beats of a miner that are held here: there is something to tell it. */
    wake: (minerId: string): void => {
      const miner = byId.get(minerId);
      if (miner === undefined) return;
      miner.news += 1;
      for (const end of [...miner.held]) end();
    },
    /** The same in every process, once the transaction is on disk. */
    wakeAfter: (trx: Trx, minerId: string): void => {
      trx.afterCommit(() => roster.wake(minerId));
      if (isShared) trx.notify(TELL);
    },
    /** Answers all held beats, and those that come: the service stops. */
    endHeld: (): void => {
      isStopping = true;
      for (const { held } of byId.values()) for (const end of [...held]) end();
    },
    count: (status?: Status): number => {
      if (status === undefined) return byId.size;
      let count = 0;
      for (const miner of byId.values()) if (miner.status === status) count += 1;
      return count;
    },
  };
  return roster;
};
export type Roster = ReturnType<typeof createRoster>;
