import { type Kysely, sql } from 'kysely';

/** Who registered through the routes of the original coordinator, and what such a miner may do without a sign. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `ALTER TABLE miner ADD COLUMN alias_key_id TEXT COLLATE "C"`,
    `ALTER TABLE miner ADD COLUMN alias_at_ms BIGINT`,
    `ALTER TABLE attempt ADD COLUMN quiet_until_ms BIGINT`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
