import type { Migrations } from '@aitbc/chassis';
import { ledger } from './0001-ledger.ts';

export const migrations: Migrations = { '0001-ledger': ledger };
