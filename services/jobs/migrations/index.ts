import type { Migrations } from '@aitbc/chassis';
import { jobs } from './0001-jobs.ts';
import { groupsInsteadOfLanes } from './0005-groups-instead-of-lanes.ts';

export const migrations: Migrations = {
  '0001-jobs': jobs,
  '0005-groups-instead-of-lanes': groupsInsteadOfLanes,
};
