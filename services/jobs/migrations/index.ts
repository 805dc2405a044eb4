import type { Migrations } from '@aitbc/chassis';
import { jobs } from './0001-jobs.ts';

export const migrations: Migrations = { '0001-jobs': jobs };
