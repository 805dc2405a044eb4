import type { Compilable } from 'kysely';
import type { Migration } from 'kysely/migration';
import type { Hot } from '../sql.ts';
import type { Tally } from './tally.ts';

/** Reads. On the read-only connection it sees committed rows alone and never waits for the writer. */
export interface Reader {
  all<R>(query: Compilable<R>): Promise<R[]>;
  all<P, R>(query: Hot<P, R>, values: P): Promise<R[]>;
  get<R>(query: Compilable<R>): Promise<R | undefined>;
  get<P, R>(query: Hot<P, R>, values: P): Promise<R | undefined>;
}

/**
 * A running transaction: reads see its own writes. Comes first in every function that takes part. Such a function may
 * await the store and other such functions, and nothing else: the one writer waits for it.
 */
export interface Trx extends Reader {
  /** @returns the number of rows changed: the answer of a compare-and-set. */
  run(query: Compilable<unknown>): Promise<number>;
  run<P>(query: Hot<P, unknown>, values: P): Promise<number>;
  /**
   * Runs `fn` so that its writes alone are undone when it throws, and the error goes on. On SQLite the whole transaction may be undone
   * instead, to run again with savepoints: so let through what `isStoreFault` tells.
   */
  savepoint<T>(fn: () => T | Promise<T>): Promise<T>;
  /** Runs after the commit reached the disk; forgotten on roll-back. For waking somebody, never for facts. */
  afterCommit(fn: () => void | Promise<void>): void;
  /**
   * Runs before the commit, once all functions of the group have: what `fn` gives to a socket leaves while the disk is waited
   * for. For hints alone, because the commit may still fail; forgotten on roll-back. Who acts on one and asks this store finds
   * the commit done: all writers of a file stand in one line. Where several processes write ({@link isShared}) it runs after
   * the commit, as another could look before it.
   */
  whileCommitting(fn: () => void | Promise<void>): void;
  /**
   * Numbers this transaction knows without looking again, such as a last sequence, for all the functions of its group. What is
   * undone is put back to what it was; each transaction begins with none: another process may write between two.
   */
  readonly memo: Map<string, number>;
  /** See `Store`: both are as of this transaction. */
  readonly isShared: boolean;
  readonly stream: string;
  /**
   * Numbers that only the holder of this stream changes, such as its last sequences. As `memo`; but where the store is
   * shared they are kept from one transaction to the next: looking again would be a conflict with all who write near.
   */
  readonly counters: Map<string, number>;
  /** Wakes the subscribers of a topic after the commit. */
  notify(topic: string): void;
  /**
   * Keeps `item` for `write`, which gets all of them at once before the commit: one statement where each would be one. The
   * functions of a group share it; what is undone is forgotten. Nobody sees it by reading before that.
   * @param write always the same function for the same things. What it throws undoes the whole group.
   */
  gather<I>(write: (trx: Trx, items: readonly I[]) => Promise<void>, item: I): void;
  /** Writes what was gathered so far: for a savepoint that is to fail with it. */
  flush(): Promise<void>;
}

/** The outgoing streams that this process may relay: none but it does so at the same time. */
export interface Streams {
  /** Its own first, then those it adopted. None while it holds none. */
  held(): readonly string[];
  /** Calls `listener` after the place, or what is held, changed. @returns the function that ends that. */
  onChange(listener: () => void): () => void;
  /** For the process that leads: takes streams whose process died and left messages. */
  adopt(): Promise<void>;
  /** Lets go of an adopted stream: all of it was acknowledged. */
  release(stream: string): Promise<void>;
}

export interface Store {
  readonly read: Reader;
  /**
   * Runs `fn` in a write transaction, durable when the promise resolves. Waiting functions share one
   * `BEGIN IMMEDIATE` and one fsync; a throw undoes that function alone. They run one after the other, never side by side, and may
   * run again from their start: after a conflict, or when another of the group had to be undone.
   * @param name of the operation, for the error when it is too slow.
   * @throws what `fn` throws; Problem OVERLOADED when too many wait.
   */
  transact<T>(name: string, fn: (trx: Trx) => T | Promise<T>): Promise<T>;
  /** An online, consistent copy of the file. */
  backup(path: string): Promise<void>;
  /**
   * Empties the log of what was written before, in which the old content of what was overwritten still stands. Those who ask
   * at once share it. PostgreSQL's log is its operator's: nothing is done there.
   * @returns false when somebody else read the file at that moment; to be tried again
   */
  emptyLog(): Promise<boolean>;
  /**
   * Gives pages that nothing stands in back to the disk, at most so many, beyond those that the next rows will want.
   * PostgreSQL does that by itself.
   * @returns how many, and how long nobody else could write
   */
  shrink(pages: number): Promise<{ found: number; tookMs: number }>;
  /**
   * Calls `listener` when the topic was notified, in any process of the service. It is a hint: it may come for nothing,
   * and what another process notifies may be lost. So it looks again by itself, and where {@link isShared} it is called
   * every 2 s at the latest; who waits needs no timer of its own for that. Subscribe first, then read.
   * @returns the function that ends the subscription.
   */
  subscribe(topic: string, listener: () => void): () => void;
  /**
   * Why the file cannot be written (its disk is full, read-only or broken), or null. Asked while it cannot, it tries:
   * so it is null again as soon as there is room, with nothing restarted.
   */
  writeProblem(): Promise<string | null>;
  /** Functions waiting for their turn. */
  readonly waiting: () => number;
  /** What was asked since it was opened, on every connection. */
  readonly statements: Tally;
  readonly path: string;
  /** Names this file or schema; another after a restore rewound it. The same in all processes of the service. */
  readonly identity: string;
  /**
   * Other processes of the service may write the same rows (PostgreSQL): a copy in memory may be late, and decides
   * nothing.
   */
  readonly isShared: boolean;
  /**
   * The lowest number that no other living process of the service holds; 0 where the service is one process. Another one
   * when somebody took it while the server was away: so ask each time.
   */
  readonly place: number;
  /** Identity of the outgoing messages of this place; another when the place is, and after a restore. */
  readonly stream: string;
  /**
   * Whether this process leads: true in one process of the service at most, nearly always in one. It saves work and
   * secures nothing: a process may lose it in the middle of something and not know yet.
   */
  leads(): boolean;
  readonly streams: Streams;
  /**
   * Lets topics travel between the processes of the service.
   * @param publish is given the topics of each commit, once, and must not throw
   * @returns wakes those who listen here to what another process published
   */
  linkTopics(publish: (topics: readonly string[]) => void): (topics: readonly string[]) => void;
  close(): Promise<void>;
}

/** By name; they run in the order of their names. */
export type Migrations = Record<string, Migration>;
/** The same tables in the words of each engine. */
export interface MigrationsByEngine {
  readonly sqlite: Migrations;
  readonly postgres: Migrations;
}
