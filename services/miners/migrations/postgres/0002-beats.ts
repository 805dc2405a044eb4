import { type Kysely, sql } from 'kysely';

/** What heartbeats have to remember of attempts, and until when the process behind a miner is taken for living. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `ALTER TABLE miner ADD COLUMN lives_until_ms BIGINT NOT NULL DEFAULT 0`,
    `ALTER TABLE attempt ADD COLUMN missing_beats BIGINT NOT NULL DEFAULT 0 CHECK (missing_beats >= 0)`,
    `ALTER TABLE attempt ADD COLUMN missing_since_ms BIGINT`,
    `ALTER TABLE attempt ADD COLUMN tell_at_ms BIGINT`,
    `CREATE INDEX attempt_to_tell ON attempt (miner_id, tell_at_ms) WHERE tell_at_ms IS NOT NULL`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
