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
  /** Runs `fn` under its own savepoint: when it throws, its writes alone are undone and the error goes on. */
  savepoint<T>(fn: () => T | Promise<T>): Promise<T>;
  /** Runs after the commit reached the disk; forgotten on roll-back. For waking somebody, never for facts. */
  afterCommit(fn: () => void | Promise<void>): void;
  /**
   * Numbers this transaction knows without looking again, such as a last sequence. Emptied when anything is undone, and
   * with each transaction: another process may write the same file between two.
   */
  readonly memo: Map<string, number>;
  /** Wakes the subscribers of a topic after the commit. */
  notify(topic: string): void;
}

export interface Store {
  readonly read: Reader;
  /**
   * Runs `fn` in a write transaction, durable when the promise resolves. Waiting functions share one
   * `BEGIN IMMEDIATE` and one fsync; several have a savepoint each: a throw undoes that function alone. They run one
   * after the other, never side by side.
   * @param name of the operation, for the error when it is too slow.
   * @throws what `fn` throws; Problem OVERLOADED when too many wait.
   */
  transact<T>(name: string, fn: (trx: Trx) => T | Promise<T>): Promise<T>;
  /** An online, consistent copy of the file. */
  backup(path: string): Promise<void>;
  /** @returns the function that ends the subscription. */
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
  /** Identity of this file's outgoing messages; changes when a restore rewinds it. */
  readonly stream: string;
  close(): Promise<void>;
}

/** By name; they run in the order of their names. */
export type Migrations = Record<string, Migration>;
/** The same tables in the words of each engine. */
export interface MigrationsByEngine {
  readonly sqlite: Migrations;
  readonly postgres: Migrations;
}
