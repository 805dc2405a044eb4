import type { MigrationsByEngine } from '@aitbc/chassis';
import { create } from './postgres/0001-jobs.ts';
import { door as doorOfPostgres } from './postgres/0007-door.ts';
import { create as createUsage } from './postgres/0008-usage.ts';
import { up as callbackOfPostgres } from './postgres/0009-callback.ts';
import { up as payloadOfPostgres } from './postgres/0010-payload.ts';
import { up as keepingOfPostgres } from './postgres/0011-keeping.ts';
import { up as archiveOfPostgres } from './postgres/0012-archive.ts';
import { up as namedOfPostgres } from './postgres/0013-named.ts';
import { jobs } from './sqlite/0001-jobs.ts';
import { salt } from './sqlite/0002-salt.ts';
import { termsOfALease } from './sqlite/0004-terms-of-a-lease.ts';
import { groupsInsteadOfLanes } from './sqlite/0005-groups-instead-of-lanes.ts';
import { restored } from './sqlite/0006-restored.ts';
import { door } from './sqlite/0007-door.ts';
import { usage } from './sqlite/0008-usage.ts';
import { up as callback } from './sqlite/0009-callback.ts';
import { up as payload } from './sqlite/0010-payload.ts';
import { up as keeping } from './sqlite/0011-keeping.ts';
import { up as archive } from './sqlite/0012-archive.ts';
import { up as named } from './sqlite/0013-named.ts';

/** PostgreSQL begins with what all of SQLite's make together; a change from here on goes into both. */
export const migrations: MigrationsByEngine = {
  sqlite: {
    '0001-jobs': jobs,
    '0002-salt': salt,
    '0004-terms-of-a-lease': termsOfALease,
    '0005-groups-instead-of-lanes': groupsInsteadOfLanes,
    '0006-restored': restored,
    '0007-door': door,
    '0008-usage': usage,
    '0009-callback': { up: callback },
    '0010-payload': { up: payload },
    '0011-keeping': { up: keeping },
    '0012-archive': { up: archive },
    '0013-named': { up: named },
  },
  postgres: {
    '0001-jobs': { up: create },
    '0007-door': doorOfPostgres,
    '0008-usage': { up: createUsage },
    '0009-callback': { up: callbackOfPostgres },
    '0010-payload': { up: payloadOfPostgres },
    '0011-keeping': { up: keepingOfPostgres },
    '0012-archive': { up: archiveOfPostgres },
    '0013-named': { up: namedOfPostgres },
  },
};
