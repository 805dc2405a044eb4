import { type Kysely, sql } from 'kysely';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

const statements = [
  // The key that submitted it; null for a session, and for jobs older than this.
  `ALTER TABLE job ADD COLUMN key_id ${TEXT}`,
  // What the jobs of an account came to, by the day they ended. '' stands for none: a key has no NULL. Each process
  // counts in rows of its own, by its place, so that no two wait for one.
  `CREATE TABLE usage_day (
     account_id ${TEXT} NOT NULL,
     day BIGINT NOT NULL,
     job_type ${TEXT} NOT NULL,
     model ${TEXT} NOT NULL,
     key_id ${TEXT} NOT NULL,
     place BIGINT NOT NULL,
     completed BIGINT NOT NULL CHECK (completed >= 0),
     failed BIGINT NOT NULL CHECK (failed >= 0),
     cancelled BIGINT NOT NULL CHECK (cancelled >= 0),
     expired BIGINT NOT NULL CHECK (expired >= 0),
     spend_minor BIGINT NOT NULL CHECK (spend_minor >= 0),
     PRIMARY KEY (account_id, day, job_type, model, key_id, place)
   )`,
  // The jobs that ended before they were counted: read once, from end to end.
  `INSERT INTO usage_day
     SELECT client_id, ended_at_ms / 86400000, job_type, coalesce(model, ''), '', 0,
       count(CASE status WHEN 'completed' THEN 1 END), count(CASE status WHEN 'failed' THEN 1 END),
       count(CASE status WHEN 'cancelled' THEN 1 END), count(CASE status WHEN 'expired' THEN 1 END),
       coalesce(sum(CASE status WHEN 'completed' THEN lease_price_minor END), 0)
     FROM job WHERE ended_at_ms IS NOT NULL GROUP BY 1, 2, 3, 4`,
];

export const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
