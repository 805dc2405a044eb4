import type { MigrationsByEngine } from '@aitbc/chassis';
import { create } from './postgres/0001-accounts.ts';
import { up as transferCapOnPostgres } from './postgres/0002-transfer-cap.ts';
import { up as webhooksOnPostgres } from './postgres/0003-webhooks.ts';
import { up as accounts } from './sqlite/0001-accounts.ts';
import { up as transferCap } from './sqlite/0002-transfer-cap.ts';
import { up as webhooks } from './sqlite/0003-webhooks.ts';

/** PostgreSQL begins with what all of SQLite's make together; a change from here on goes into both. */
export const migrations: MigrationsByEngine = {
  sqlite: {
    '0001-accounts': { up: accounts },
    '0002-transfer-cap': { up: transferCap },
    '0003-webhooks': { up: webhooks },
  },
  postgres: {
    '0001-accounts': { up: create },
    '0002-transfer-cap': { up: transferCapOnPostgres },
    '0003-webhooks': { up: webhooksOnPostgres },
  },
};
