import { type DatabaseIntrospector, type Dialect, Kysely, PostgresDialect, sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import type { Migrations } from '../store.ts';
import type { Address } from './address.ts';
import { prepareSession } from './session.ts';

/**
 * What a migrator asks for: whether its schema and its own tables are there. Kysely's introspector would answer with
 * every column of every schema of the database, at each of seven questions: seconds where deployments share one.
 */
const introspectorOf = (db: Kysely<unknown>, schema: string): DatabaseIntrospector => ({
  getSchemas: async () =>
    (
      await sql<{ name: string }>`SELECT nspname AS name FROM pg_namespace WHERE nspname = ${schema}`.execute(
        db,
      )
    ).rows,
  getTables: async () => {
    const { rows } = await sql<{ name: string }>`
      SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = ${schema} AND c.relkind = 'r'`.execute(db);
    return rows.map(({ name }) => ({ name, schema, isView: false, isForeign: false, columns: [] }));
  },
});

/** Brings a schema up to its newest migration. The caller holds the schema's lock. @throws what a migration throws */
export const migrate = async (address: Address, migrations: Migrations): Promise<void> => {
  const pool = new pg.Pool({
    ...address.config,
    // A migration may walk a large table.
    query_timeout: 0,
    max: 1,
    onConnect: (client) => prepareSession(client, address.schema, []),
  });
  pool.on('error', () => {});
  const postgres = new PostgresDialect({ pool });
  const dialect: Dialect = {
    createAdapter: () => postgres.createAdapter(),
    createDriver: () => postgres.createDriver(),
    createQueryCompiler: () => postgres.createQueryCompiler(),
    createIntrospector: (db) => introspectorOf(db, address.schema),
  };
  const db = new Kysely<unknown>({ dialect });
  try {
    const { error } = await new Migrator({
      db,
      provider: { getMigrations: async () => migrations },
      migrationTableSchema: address.schema,
      // The chassis' own migrations sort before a service's, also when they come later.
      allowUnorderedMigrations: true,
    }).migrateToLatest();
    if (error !== undefined) throw error;
  } finally {
    await db.destroy();
  }
};
