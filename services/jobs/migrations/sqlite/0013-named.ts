import { type Kysely, sql } from 'kysely';

const statements = [
  // By the miner that a job names. Most name none, and stand in it nowhere.
  `CREATE INDEX job_named ON job (constraints ->> 'miner_id') WHERE status = 'pending' AND is_funded = 1 AND constraints ->> 'miner_id' IS NOT NULL`,
];

export const up = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
