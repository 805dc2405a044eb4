import type { MigrationsByEngine } from '@aitbc/chassis';
import { create } from './postgres/0001-miners.ts';
import { up as beatsOnPostgres } from './postgres/0002-beats.ts';
import { up as aliasOnPostgres } from './postgres/0003-alias.ts';
import { up as miners } from './sqlite/0001-miners.ts';
import { up as reputation } from './sqlite/0003-reputation.ts';
import { up as instanceAndNote } from './sqlite/0004-instance-and-note.ts';
import { up as weight } from './sqlite/0005-weight.ts';
import { up as beats } from './sqlite/0006-beats.ts';
import { up as alias } from './sqlite/0007-alias.ts';

/** PostgreSQL begins with what all of SQLite's make together; a change from here on goes into both. */
export const migrations: MigrationsByEngine = {
  sqlite: {
    '0001-miners': { up: miners },
    '0003-reputation': { up: reputation },
    '0004-instance-and-note': { up: instanceAndNote },
    '0005-weight': { up: weight },
    '0006-beats': { up: beats },
    '0007-alias': { up: alias },
  },
  postgres: {
    '0001-miners': { up: create },
    '0002-beats': { up: beatsOnPostgres },
    '0003-alias': { up: aliasOnPostgres },
  },
};
