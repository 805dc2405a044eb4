import { type Kysely, sql } from 'kysely';

// A proposal of the release before brought its own rules. One that is still voted on is held to the floors that hold for
// every other: the lower bounds of `quorum_floor` and `approval_threshold`, as they are at this release.
const statement = `UPDATE proposal
   SET quorum_parts = max(quorum_parts, 100000), approval_parts = max(approval_parts, 500000)
   WHERE state = 'active'`;

export const floors = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await sql.raw(statement).execute(db);
  },
};
