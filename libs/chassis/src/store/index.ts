import { chassisMigrations } from '../migrations/index.ts';
import { openPostgres } from './postgres/index.ts';
import { openSqlite } from './sqlite.ts';
import type { Migrations, MigrationsByEngine, Store } from './store.ts';

export { isStoreFault } from './fault.ts';
export { databasePath, keepPrivate } from './file.ts';
export { schemaUrl } from './postgres/address.ts';
export { postgresProblem } from './postgres/check.ts';
export type { Migrations, MigrationsByEngine, Reader, Store, Trx } from './store.ts';

const isByEngine = (migrations: Migrations | MigrationsByEngine): migrations is MigrationsByEngine =>
  'sqlite' in migrations;

/**
 * Opens the store of a service: `sqlite:///…` is a file, `postgres://…` a schema on a server.
 * @param options.service begins the stream's name; on PostgreSQL it names the schema, too
 * @param options.migrations the service's own, for both engines or for SQLite alone; the chassis' come before them
 * @param options.takesTurns groups of the service's processes write one after the other. For a service whose transactions
 *   touch the same rows nearly always: side by side most would be undone and run again
 * @throws naming what the engine lacks; when a migration fails
 */
export const openStore = async (options: {
  url: string;
  service: string;
  migrations: Migrations | MigrationsByEngine;
  takesTurns?: boolean;
}): Promise<Store> => {
  const { migrations } = options;
  if (!/^postgres(ql)?:/.test(options.url)) {
    const own = isByEngine(migrations) ? migrations.sqlite : migrations;
    return openSqlite({ ...options, migrations: { ...chassisMigrations.sqlite, ...own } });
  }
  if (!isByEngine(migrations)) throw new Error(`${options.service} has no tables for PostgreSQL`);
  return openPostgres({
    ...options,
    migrations: { ...chassisMigrations.postgres, ...migrations.postgres },
  });
};
