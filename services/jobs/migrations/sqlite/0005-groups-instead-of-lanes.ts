import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/**
 * Where a job waits is made from the job itself, so nothing is kept of a requirement in which no job waits. The column
 * keeps the name of what is asked for: an account has so many different ones at most.
 */
const statements = [
  `ALTER TABLE job RENAME COLUMN lane TO requirement`,
  `ALTER TABLE job ADD COLUMN model TEXT`,
  `UPDATE job SET model = (
     SELECT json_extract(lane.requirement, '$.model') FROM lane WHERE lane.id = job.requirement
   ) WHERE status IN ('pending', 'running')`,
  `DROP TABLE lane`,
  `DROP INDEX job_waiting`,
  `CREATE INDEX job_waiting ON job (job_type, id) WHERE status = 'pending' AND is_funded = 1`,
  `CREATE INDEX job_requirement ON job (client_id, requirement) WHERE status = 'pending'`,
];

export const groupsInsteadOfLanes: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
