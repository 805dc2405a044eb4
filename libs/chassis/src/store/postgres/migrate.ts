import { Kysely, PostgresDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import type { Migrations } from '../store.ts';
import { type Address, prepareSession } from './session.ts';

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
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
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
