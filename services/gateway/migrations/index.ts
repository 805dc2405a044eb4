import type { MigrationsByEngine } from '@aitbc/chassis';
import { create } from './postgres/0001-accounts.ts';
import { up as transferCapOnPostgres } from './postgres/0002-transfer-cap.ts';
import { up as webhooksOnPostgres } from './postgres/0003-webhooks.ts';
import { up as defaultPriceOnPostgres } from './postgres/0004-default-price.ts';
import { up as auditOnPostgres } from './postgres/0005-audit.ts';
import { up as accounts } from './sqlite/0001-accounts.ts';
import { up as transferCap } from './sqlite/0002-transfer-cap.ts';
import { up as webhooks } from './sqlite/0003-webhooks.ts';
import { up as defaultPrice } from './sqlite/0004-default-price.ts';
import { up as audit } from './sqlite/0005-audit.ts';

/** PostgreSQL begins with what all of SQLite's make together; a change from here on goes into both. */
export const migrations: MigrationsByEngine = {
  sqlite: {
    '0001-accounts': { up: accounts },
    '0002-transfer-cap': { up: transferCap },
    '0003-webhooks': { up: webhooks },
    '0004-default-price': { up: defaultPrice },
    '0005-audit': { up: audit },
  },
  postgres: {
    '0001-accounts': { up: create },
    '0002-transfer-cap': { up: transferCapOnPostgres },
    '0003-webhooks': { up: webhooksOnPostgres },
    '0004-default-price': { up: defaultPriceOnPostgres },
    '0005-audit': { up: auditOnPostgres },
  },
};
