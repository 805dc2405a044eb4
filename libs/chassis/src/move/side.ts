import type { Reader } from '../store/store.ts';
import type { Lines, Table } from './line.ts';
import type { Mark } from './mark.ts';

/** A store as a move sees it. No service works on it while this is open. */
export interface Side {
  /** For people: without a password. */
  readonly name: string;
  readonly service: string;
  mark(): Promise<Mark | undefined>;
  setMark(mark: Mark | null): Promise<void>;
  /** The migrations that it had, none when it is empty; and those that this release knows. */
  migrations(): Promise<{ had: readonly string[]; known: readonly string[] }>;
  /** Anything that is not of a move that was broken off. */
  isEmpty(): Promise<boolean>;
  tables(): Promise<readonly Table[]>;
  /**
   * Looks at all values of a table.
   * @returns how many rows there are, and those that the other engine cannot hold as they are: column, key, reason
   */
  inspect(table: Table): Promise<{ rows: number; wrong: readonly string[] }>;
  /** Gives all rows of a table in the order of its key. */
  read(table: Table, take: (lines: Lines) => void | Promise<void>): Promise<void>;
  /** As the target: removes what a broken move left, sets the mark and makes empty tables. */
  prepare(mark: Mark): Promise<void>;
  /**
   * As the target: fills all tables in one transaction, without triggers: what they would write is among the rows.
   * @param fill is given a function that takes the rows of a table
   * @throws when a constraint is broken, or what `fill` throws; nothing was written then
   */
  load(
    tables: readonly Table[],
    fill: (put: (table: Table, lines: Lines) => void | Promise<void>) => Promise<void>,
  ): Promise<void>;
  /** For a service's own audit of what it holds. */
  reader(): Reader;
  /** For what was rewound: another name for the outgoing stream. @returns it, and how many messages are said again */
  renameStreams(): Promise<{ stream: string; outbox: number }>;
  close(): Promise<void>;
}

/** Something that an operator can put right; the message says how. */
export class CannotMove extends Error {}
