import type { Migrations } from '@aitbc/chassis';
import { up as miners } from './0001-miners.ts';
import { up as reputation } from './0003-reputation.ts';
import { up as instanceAndNote } from './0004-instance-and-note.ts';
import { up as weight } from './0005-weight.ts';

export const migrations: Migrations = {
  '0001-miners': { up: miners },
  '0003-reputation': { up: reputation },
  '0004-instance-and-note': { up: instanceAndNote },
  '0005-weight': { up: weight },
};
