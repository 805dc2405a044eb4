import { type Kysely, sql } from 'kysely';

/** Which process of an agent a miner is, so that a second one is noticed after our restart too; and what it says of itself. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  await sql.raw('ALTER TABLE miner ADD COLUMN instance_id TEXT').execute(db);
  await sql.raw('ALTER TABLE miner ADD COLUMN status_note TEXT').execute(db);
};
