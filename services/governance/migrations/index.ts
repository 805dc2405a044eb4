import type { Migrations } from '@aitbc/chassis';
import { governance } from './0001-governance.ts';
import { guardian } from './0002-guardian.ts';
import { floors } from './0003-floors.ts';

export const migrations: Migrations = {
  '0001-governance': governance,
  '0002-guardian': guardian,
  '0003-floors': floors,
};
