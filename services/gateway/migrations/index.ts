import type { Migrations } from '@aitbc/chassis';
import { up as accounts } from './0001-accounts.ts';

export const migrations: Migrations = { '0001-accounts': { up: accounts } };
