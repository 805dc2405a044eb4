import { type Kysely, sql } from 'kysely';

const statements = [
  // A result stands where nothing is ever moved: at the end of its table, in the order of the commits, until it is erased in
  // its place. What SQLite moves from page to page may leave a copy behind. Older ones stay in their receipts.
  `CREATE TABLE job_result (
     seq INTEGER PRIMARY KEY,
     job_seq INTEGER NOT NULL UNIQUE,
     result TEXT NOT NULL
   ) STRICT`,
  // When parameters, result and salt were erased.
  `ALTER TABLE job ADD COLUMN content_gone_at_ms INTEGER`,
  // For how long its account wants them kept after the end, where that is shorter than they are kept anyway; and until when.
  `ALTER TABLE job ADD COLUMN content_kept_ms INTEGER CHECK (content_kept_ms > 0)`,
  `ALTER TABLE job ADD COLUMN content_due_at_ms INTEGER`,
  // What is due, first what ended first: a job is in one of the first two, and none that waits or runs is in any.
  `CREATE INDEX job_with_content ON job (ended_at_ms) WHERE ended_at_ms IS NOT NULL AND content_gone_at_ms IS NULL`,
  `CREATE INDEX job_without_content ON job (ended_at_ms) WHERE content_gone_at_ms IS NOT NULL`,
  `CREATE INDEX job_content_due ON job (content_due_at_ms) WHERE content_due_at_ms IS NOT NULL AND content_gone_at_ms IS NULL`,
  // Of a job whose row is gone its receipt stays.
  `CREATE TABLE kept_receipt (
     id TEXT PRIMARY KEY,
     job_id TEXT NOT NULL UNIQUE,
     proof TEXT NOT NULL,
     created_at_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
  // How long an account wants the content of its jobs kept.
  `CREATE TABLE account_setting (
     account_id TEXT PRIMARY KEY,
     content_kept_ms INTEGER CHECK (content_kept_ms > 0)
   ) STRICT, WITHOUT ROWID`,
  // What an account has here. Each process counts in rows of its own, by its place, so that no two wait for one: what one of
  // them put in another may take out, and only the sum says something.
  `CREATE TABLE account_load (
     account_id TEXT NOT NULL,
     place INTEGER NOT NULL,
     open_jobs INTEGER NOT NULL,
     content_bytes INTEGER NOT NULL,
     PRIMARY KEY (account_id, place)
   ) STRICT, WITHOUT ROWID`,
  // Once, from end to end; the length stands before the text, which is not read.
  `INSERT INTO account_load
     SELECT client_id, 0, sum(ended_at_ms IS NULL),
       sum(octet_length(parameters) + coalesce(octet_length(payload), 0) + coalesce(octet_length(result), 0))
     FROM job JOIN job_parameters ON job_parameters.job_seq = job.seq LEFT JOIN receipt ON receipt.job_seq = job.seq
     GROUP BY 1`,
];

export const up = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
