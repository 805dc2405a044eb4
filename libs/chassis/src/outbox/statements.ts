import type { Destination } from '@aitbc/contracts';
import type { ChassisTables } from '../migrations/index.ts';
import { builder, type Hot, hot, type Params } from '../sql.ts';

/** One BullMQ job carries so many messages at most: alone 220 µs each, by the hundred 7 µs. */
export const BATCH_MAX = 100;
export const BATCH_MAX_BYTES = 256 * 1024;

/** Read in one go: 16 MB at most, and of small messages thousands. */
export const ROWS_MAX = 64;

const db = builder<ChassisTables>();

/** The store's topics that say: a row was added for this destination. */
export const added = (destination: Destination, lingers: boolean): string =>
  `outbox:${destination}${lingers ? ':lingers' : ''}`;

/**
 * A file is one stream, and its rows need not say which. Where processes share the tables each has its own, and the rows
 * of all stand together.
 */
const compile = (isShared: boolean) => {
  type To = { stream: string; destination: string };
  const rowsTo = (p: Params<To>) => {
    const rows = db.selectFrom('outbox').where('destination', '=', p('destination'));
    return isShared ? rows.where('stream', '=', p('stream')) : rows;
  };
  return {
    selectAfter: hot((p: Params<To & { seq: number }>) =>
      rowsTo(p)
        .select(['seq', 'count', 'messages'])
        .where('seq', '>', p('seq'))
        .orderBy('seq')
        .limit(ROWS_MAX),
    ),
    // A row is known by the last of its numbers. The newest row of a destination is never purged, so that its seq is never used again. `ORDER BY … LIMIT 1` walks
    // one index entry where `max()` beside other columns would walk them all.
    newest: hot((p: Params<To>) => rowsTo(p).select('seq').orderBy('seq', 'desc').limit(1)),
    oldest: hot((p: Params<To>) => rowsTo(p).select(['seq', 'count']).orderBy('seq').limit(1)),
    purge: hot((p: Params<To & { acked: number; newest: number }>) => {
      const rows = db
        .deleteFrom('outbox')
        .where('destination', '=', p('destination'))
        .where('seq', '<=', p('acked'))
        .where('seq', '<', p('newest'));
      return isShared ? rows.where('stream', '=', p('stream')) : rows;
    }),
  };
};

const alone = compile(false);
let shared: ReturnType<typeof compile> | undefined;

export const statementsFor = (isShared: boolean): ReturnType<typeof compile> => {
  if (!isShared) return alone;
  shared ??= compile(true);
  return shared;
};

/** Messages that were said in one commit: lines of JSON that lack what opens it, and their number. */
export interface NewRow {
  readonly destination: Destination;
  readonly count: number;
  readonly messages: string;
  /** The number of the last one, where the sender knows it. */
  last: number;
}
type Insert = Hot<{ stream: string; rows: readonly NewRow[]; created_at_ms: number }, unknown>;

/** In SQLite each row looks up the number before it: another process may have written between two transactions. */
const compileInsert = (isShared: boolean, count: number): Insert => {
  const one = isShared
    ? (at: number) => [1, 2, 3, 4, 5, 6].map((column) => `$${at * 6 + column}`).join(', ')
    : () =>
        '?, coalesce((SELECT seq FROM outbox WHERE destination = +? ORDER BY seq DESC LIMIT 1), 0) + ?, ?, ?, ?';
  const values = Array.from({ length: count }, (_, at) => `(${one(at)})`).join(', ');
  return {
    sql: `INSERT INTO outbox (destination, ${isShared ? 'stream, ' : ''}seq, count, messages, created_at_ms) VALUES ${values}`,
    bind: ({ stream, rows, created_at_ms }) =>
      rows.flatMap(({ destination, count: n, messages, last }) => [
        destination,
        ...(isShared ? [stream, last] : [destination, n]),
        n,
        messages,
        created_at_ms,
      ]),
  };
};
const inserts = new Map<string, Insert>();

/** One statement for `count` rows, each to another destination. */
export const insertRows = (isShared: boolean, count: number): Insert => {
  const key = `${isShared} ${count}`;
  const made = inserts.get(key) ?? compileInsert(isShared, count);
  inserts.set(key, made);
  return made;
};
