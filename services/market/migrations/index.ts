import type { Migrations } from '@aitbc/chassis';
import { up as market } from './0001-market.ts';
import { up as modelKey } from './0002-model-key.ts';
import { up as opinions } from './0003-opinions.ts';
import { up as cardNames } from './0004-card-names-of-any-script.ts';
import { up as ratingOfTheOwner } from './0007-rating-of-the-owner.ts';

export const migrations: Migrations = {
  '0001-market': { up: market },
  '0002-model-key': { up: modelKey },
  '0003-opinions': { up: opinions },
  '0004-card-names-of-any-script': { up: cardNames },
  '0007-rating-of-the-owner': { up: ratingOfTheOwner },
};
