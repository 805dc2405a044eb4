import type Database from 'better-sqlite3';
import type { ClientBase } from 'pg';

// A move writes down in both stores how far it is, and a service looks before it starts: so nobody works on half of
// the rows, nor on those that have gone on elsewhere. The table is there only where there was a move.

/** What a store says of the last move that it was part of. */
export interface Mark {
  /** Names the move: the same in both stores. */
  readonly move: string;
  /** `arriving`: not whole yet. `left`: goes on elsewhere. `arrived`: whole, and in use since. */
  readonly state: 'arriving' | 'left' | 'arrived';
  /** The other store, without a password. */
  readonly other: string;
  readonly at_ms: number;
}

const TABLE = 'store_move';
const columns = (integer: string, text: string): string =>
  `(id ${integer} PRIMARY KEY CHECK (id = 1), move ${text} NOT NULL,
    state ${text} NOT NULL CHECK (state IN ('arriving', 'left', 'arrived')),
    other ${text} NOT NULL, at_ms ${integer} NOT NULL)`;
const upsert = (table: string, values: string): string =>
  `INSERT INTO ${table} (id, move, state, other, at_ms) VALUES (1, ${values})
   ON CONFLICT (id) DO UPDATE SET move = excluded.move, state = excluded.state, other = excluded.other, at_ms = excluded.at_ms`;
const SELECT = 'SELECT move, state, other, at_ms FROM';

/** A service must not work on this store. */
export class StoreIsMoving extends Error {}

/** @throws StoreIsMoving when the store is the half or the past of another */
export const assertInUse = (mark: Mark | undefined, name: string): void => {
  if (mark?.state === 'arriving')
    throw new StoreIsMoving(
      `${name} is the target of a move from ${mark.other} that was not completed: run that npm run move again, or start the service where it was`,
    );
  if (mark?.state === 'left')
    throw new StoreIsMoving(
      `${name} moved to ${mark.other} on ${new Date(mark.at_ms).toISOString()}: set DATABASE_URL to that. To go on here, without what was done since: npm run move -- --undo`,
    );
};

export const markOfFile = (db: Database.Database): Mark | undefined => {
  const has = db.prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?`).get(TABLE);
  return has === undefined ? undefined : (db.prepare(`${SELECT} ${TABLE}`).get() as Mark | undefined);
};
export const markFile = (db: Database.Database, mark: Mark | null): void => {
  db.transaction(() => {
    if (mark === null) return void db.exec(`DROP TABLE IF EXISTS ${TABLE}`);
    db.exec(`CREATE TABLE IF NOT EXISTS ${TABLE} ${columns('INTEGER', 'TEXT')} STRICT`);
    db.prepare(upsert(TABLE, '@move, @state, @other, @at_ms')).run(mark);
  })();
};

export const markOfSchema = async (client: ClientBase, schema: string): Promise<Mark | undefined> => {
  const has = await client.query('SELECT to_regclass($1) AS found', [`"${schema}".${TABLE}`]);
  if (has.rows[0].found === null) return undefined;
  const { rows } = await client.query<Mark>(`${SELECT} "${schema}".${TABLE}`);
  return rows[0] === undefined ? undefined : { ...rows[0], at_ms: Number(rows[0].at_ms) };
};
export const markSchema = async (client: ClientBase, schema: string, mark: Mark | null): Promise<void> => {
  const table = `"${schema}".${TABLE}`;
  if (mark === null) return void (await client.query(`DROP TABLE IF EXISTS ${table}`));
  await client.query(`CREATE TABLE IF NOT EXISTS ${table} ${columns('BIGINT', 'TEXT COLLATE "C"')}`);
  await client.query(upsert(table, '$1, $2, $3, $4'), [mark.move, mark.state, mark.other, mark.at_ms]);
};
