import type { Migrations } from '@aitbc/chassis';
import { jobs } from './0001-jobs.ts';
import { salt } from './0002-salt.ts';
import { termsOfALease } from './0004-terms-of-a-lease.ts';
import { groupsInsteadOfLanes } from './0005-groups-instead-of-lanes.ts';
import { restored } from './0006-restored.ts';

export const migrations: Migrations = {
  '0001-jobs': jobs,
  '0002-salt': salt,
  '0004-terms-of-a-lease': termsOfALease,
  '0005-groups-instead-of-lanes': groupsInsteadOfLanes,
  '0006-restored': restored,
};
