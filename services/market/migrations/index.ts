import type { Migrations } from '@aitbc/chassis';
import { up as market } from './0001-market.ts';

export const migrations: Migrations = { '0001-market': { up: market } };
