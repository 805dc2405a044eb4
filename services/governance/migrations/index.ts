import type { Migrations } from '@aitbc/chassis';
import { governance } from './0001-governance.ts';

export const migrations: Migrations = { '0001-governance': governance };
