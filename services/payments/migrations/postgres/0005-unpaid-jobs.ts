import { type Kysely, sql } from 'kysely';

/** What is known of jobs that nobody paid for goes with them; of the others `is_kept` says that they were looked at. */
export const create = async (db: Kysely<unknown>): Promise<void> => {
  await sql`ALTER TABLE job ADD COLUMN is_kept BIGINT NOT NULL DEFAULT 0 CHECK (is_kept IN (0, 1))`.execute(
    db,
  );
  await sql`CREATE INDEX job_unpaid ON job (ended_at_ms)
    WHERE ended_at_ms IS NOT NULL AND ended_payment_id IS NULL AND is_kept = 0`.execute(db);
};
