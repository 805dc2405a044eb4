import { type Kysely, sql } from 'kysely';

/** Where the end of one job is told. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  await sql`ALTER TABLE job ADD COLUMN callback_url TEXT COLLATE "C"`.execute(db);
};
