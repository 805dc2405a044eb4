import type { Migrations } from '@aitbc/chassis';
import { up as miners } from './0001-miners.ts';

export const migrations: Migrations = { '0001-miners': { up: miners } };
