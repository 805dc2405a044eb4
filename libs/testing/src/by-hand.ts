import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';

/** A service's tables, reached past the service, in SQL that both engines know. */
export interface ByHand {
  all(sql: string): Promise<Record<string, unknown>[]>;
  /** Runs statements. @returns the rows that the last of them changed. @throws the engine's own error */
  exec(sql: string): Promise<number>;
  close(): Promise<void>;
}

const openFile = (url: string, guards: 'on' | 'off'): ByHand => {
  const db = new DatabaseSync(url.replace(/^sqlite:\/\/\//, ''), { timeout: 5_000 });
  db.exec(`PRAGMA foreign_keys = ${guards === 'on' ? 'ON' : 'OFF'}`);
  // Whoever can write to the file can take its guards away too.
  if (guards === 'off')
    for (const { name } of db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`).all())
      db.exec(`DROP TRIGGER ${name}`);
  return {
    all: async (sql) => db.prepare(sql).all(),
    exec: async (sql) => {
      db.exec(sql);
      return Number(db.prepare('SELECT changes() AS n').get()?.n);
    },
    close: async () => db.close(),
  };
};

const BIGINT = 20;
const NUMERIC = 1700;

const openSchema = async (url: string, guards: 'on' | 'off'): Promise<ByHand> => {
  const { searchParams } = new URL(url);
  const client = new pg.Client({
    connectionString: url.replace(/\?.*/, ''),
    types: {
      getTypeParser: (type: number) =>
        type === BIGINT || type === NUMERIC ? Number : pg.types.getTypeParser(type),
    },
  });
  client.on('error', () => {});
  await client.connect();
  await client.query(`SET search_path TO ${searchParams.get('schema')}`);
  // Triggers sleep then, those of foreign keys too.
  if (guards === 'off') await client.query('SET session_replication_role TO replica');
  const run = async (sql: string) => {
    const result: pg.QueryResult | pg.QueryResult[] = await client.query(sql);
    return (Array.isArray(result) ? result.at(-1) : result) as pg.QueryResult;
  };
  return {
    all: async (sql) => (await run(sql)).rows,
    exec: async (sql) => (await run(sql)).rowCount ?? 0,
    close: () => client.end(),
  };
};

/**
 * @param url as in DATABASE_URL
 * @param guards off: no trigger and no foreign key looks. On SQLite the triggers are gone from then on.
 */
export const openByHand = async (url: string, guards: 'on' | 'off' = 'on'): Promise<ByHand> =>
  url.startsWith('postgres') ? openSchema(url, guards) : openFile(url, guards);
