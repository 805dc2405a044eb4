import type { Migrations } from '@aitbc/chassis';
import { governance } from './0001-governance.ts';
import { guardian } from './0002-guardian.ts';

export const migrations: Migrations = { '0001-governance': governance, '0002-guardian': guardian };
