import type { MigrationsByEngine } from '@aitbc/chassis';
import { create } from './postgres/0001-governance.ts';
import { governance } from './sqlite/0001-governance.ts';
import { guardian } from './sqlite/0002-guardian.ts';
import { floors } from './sqlite/0003-floors.ts';
import { up as thinnedCheckpoints } from './sqlite/0004-thinned-checkpoints.ts';

/** PostgreSQL begins with what all of SQLite's make together; a change from here on goes into both. */
export const migrations: MigrationsByEngine = {
  sqlite: {
    '0001-governance': governance,
    '0002-guardian': guardian,
    '0003-floors': floors,
    '0004-thinned-checkpoints': { up: thinnedCheckpoints },
  },
  postgres: {
    '0001-governance': { up: create },
    '0004-thinned-checkpoints': { up: thinnedCheckpoints },
  },
};
