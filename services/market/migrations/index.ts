import type { MigrationsByEngine } from '@aitbc/chassis';
import { create } from './postgres/0001-market.ts';
import { up as market } from './sqlite/0001-market.ts';
import { up as modelKey } from './sqlite/0002-model-key.ts';
import { up as opinions } from './sqlite/0003-opinions.ts';
import { up as cardNames } from './sqlite/0004-card-names-of-any-script.ts';
import { up as ratingOfTheOwner } from './sqlite/0007-rating-of-the-owner.ts';

/** PostgreSQL begins with what all of SQLite's make together; a change from here on goes into both. */
export const migrations: MigrationsByEngine = {
  sqlite: {
    '0001-market': { up: market },
    '0002-model-key': { up: modelKey },
    '0003-opinions': { up: opinions },
    '0004-card-names-of-any-script': { up: cardNames },
    '0007-rating-of-the-owner': { up: ratingOfTheOwner },
  },
  postgres: { '0001-market': { up: create } },
};
