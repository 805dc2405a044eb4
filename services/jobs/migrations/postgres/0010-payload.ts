import { type Kysely, sql } from 'kysely';

/** What a program of the original coordinator sent as payload: its miners get it back as it was. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  await sql.raw('ALTER TABLE job_parameters ADD COLUMN payload TEXT COLLATE "C"').execute(db);
};
