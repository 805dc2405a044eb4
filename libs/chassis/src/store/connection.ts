import Database from 'better-sqlite3';
import { type Compilable, Kysely, SqliteDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { type Hot, resolveQuery } from '../sql.ts';
import { beginShrinkable, makeShrinkable, REWRITTEN_MAX_BYTES } from './shrink.ts';
import type { Migrations, Reader } from './store.ts';
import { kindOf, type TallyKeeper } from './tally.ts';

export const BUSY_TIMEOUT_MS = 5_000;
const STATEMENT_CACHE_MAX = 500;

const assertPragma = (db: Database.Database, name: string, expected: unknown): void => {
  const actual = db.pragma(name, { simple: true });
  if (actual !== expected) throw new Error(`SQLite did not take ${name}: is ${actual}, must be ${expected}`);
};

/** What a connection that writes runs with. */
export const configure = (db: Database.Database): void => {
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  db.pragma('foreign_keys = ON');
  db.pragma('trusted_schema = OFF');
  // The pages that an open savepoint may have to put back: beyond 64 KB they would go to a file, at each statement.
  db.pragma('temp_store = MEMORY');
  // What leaves a page is overwritten in it, as long as that page is written anyway; see decisions/0047.
  db.pragma('secure_delete = FAST');
  db.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
};

// In WAL mode the binding drops to synchronous=NORMAL by itself, which loses the last commits at a power cut:
// so the settings are read back, after a write went through.
export const assertDurable = (db: Database.Database): void => {
  assertPragma(db, 'journal_mode', 'wal');
  assertPragma(db, 'synchronous', 2);
  assertPragma(db, 'foreign_keys', 1);
  assertPragma(db, 'trusted_schema', 0);
};

/**
 * @param tally counts what is asked
 * @param check runs before every query, and throws when there must be none.
 * @param onChange is told how many rows a statement changed that answers with them
 */
export const createReader = (
  db: Database.Database,
  tally: TallyKeeper,
  check: () => void = () => {},
  onChange: (rows: number) => void = () => {},
): Reader & { statement: (sql: string) => Database.Statement } => {
  const cache = new Map<string, { statement: Database.Statement; kind: string }>();
  const prepare = (sql: string) => {
    const made = { statement: db.prepare(sql), kind: kindOf(sql) };
    if (cache.size >= STATEMENT_CACHE_MAX) cache.delete(cache.keys().next().value as string);
    cache.set(sql, made);
    return made;
  };
  const statement = (sql: string): Database.Statement => {
    const found = cache.get(sql) ?? prepare(sql);
    tally.add(found.kind);
    return found.statement;
  };
  return {
    statement,
    all: async (query: Compilable<unknown> | Hot<never, unknown>, values?: never) => {
      check();
      const [sql, parameters] = resolveQuery(query, values as never);
      const asked = statement(sql);
      const rows = asked.all(parameters) as never[];
      if (!asked.readonly) onChange(rows.length);
      return rows;
    },
    get: async (query: Compilable<unknown> | Hot<never, unknown>, values?: never) => {
      check();
      const [sql, parameters] = resolveQuery(query, values as never);
      const asked = statement(sql);
      const row = asked.get(parameters) as never;
      if (!asked.readonly && row !== undefined) onChange(1);
      return row;
    },
  };
};

/**
 * Brings a file up to its newest migration.
 * @param check looks at it before anything is changed
 * @throws what a migration or the check throws
 */
export const migrate = async (
  path: string,
  migrations: Migrations,
  check: (db: Database.Database) => void = () => {},
): Promise<void> => {
  const connection = new Database(path, { timeout: BUSY_TIMEOUT_MS });
  try {
    check(connection);
  } catch (error) {
    connection.close();
    throw error;
  }
  beginShrinkable(connection);
  configure(connection);
  const db = new Kysely<unknown>({ dialect: new SqliteDialect({ database: connection }) });
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => migrations },
    // The chassis' own migrations sort before a service's, also when they come later.
    allowUnorderedMigrations: true,
  });
  try {
    const { error } = await migrator.migrateToLatest();
    if (error !== undefined) throw error;
    makeShrinkable(connection, REWRITTEN_MAX_BYTES);
  } finally {
    await db.destroy();
  }
};
