import type { Migrations } from '@aitbc/chassis';

export const migrations: Migrations = {};
