export { databasePath, keepPrivate } from './file.ts';
export { openStore } from './sqlite.ts';
export type { Migrations, Reader, Store, Trx } from './store.ts';
