import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/**
 * What changes often (job) stands apart from what is long and never changes (job_parameters, the result in receipt):
 * an update rewrites its whole row. The parts hang on `seq`, eight bytes instead of a UUID.
 */
const statements = [
  `CREATE TABLE job (
     seq INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     client_id TEXT NOT NULL,
     job_type TEXT NOT NULL,
     status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled', 'expired')),
     lane TEXT NOT NULL,
     priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9),
     is_funded INTEGER NOT NULL CHECK (is_funded IN (0, 1)),
     constraints TEXT NOT NULL,
     labels TEXT NOT NULL,
     parameters_sha256 TEXT NOT NULL,
     timeout_ms INTEGER NOT NULL CHECK (timeout_ms > 0),
     ttl_ms INTEGER NOT NULL CHECK (ttl_ms > 0),
     max_attempts INTEGER NOT NULL CHECK (max_attempts BETWEEN 1 AND 10),
     attempt INTEGER NOT NULL CHECK (attempt >= 0),
     undelivered INTEGER NOT NULL CHECK (undelivered BETWEEN 0 AND attempt),
     miner_id TEXT,
     miner_account_id TEXT,
     progress REAL NOT NULL CHECK (progress BETWEEN 0 AND 1),
     error_code TEXT,
     error_message TEXT,
     payment_amount_minor INTEGER CHECK (payment_amount_minor > 0),
     payment_id TEXT,
     payment_status TEXT CHECK (payment_status IN ('pending', 'escrowed', 'released', 'refunded', 'failed')),
     report_attempt INTEGER,
     report_sha256 TEXT,
     report_metrics TEXT,
     events INTEGER NOT NULL CHECK (events > 0),
     created_at_ms INTEGER NOT NULL,
     updated_at_ms INTEGER NOT NULL,
     queued_at_ms INTEGER NOT NULL,
     started_at_ms INTEGER,
     ended_at_ms INTEGER,
     expires_at_ms INTEGER NOT NULL,
     deadline_at_ms INTEGER,
     CHECK ((status = 'running') = (deadline_at_ms IS NOT NULL)),
     CHECK (status NOT IN ('running', 'completed') OR (miner_id IS NOT NULL AND miner_account_id IS NOT NULL)),
     CHECK ((status IN ('completed', 'failed', 'cancelled', 'expired')) = (ended_at_ms IS NOT NULL))
   ) STRICT`,
  // Lists, newest first: the id begins with its time.
  `CREATE INDEX job_client ON job (client_id, id)`,
  `CREATE INDEX job_client_status ON job (client_id, status, id)`,
  `CREATE INDEX job_client_type ON job (client_id, job_type, id)`,
  // Work of timers and of the reconciler: each holds the rows it is for, so none grows with the past.
  `CREATE INDEX job_waiting ON job (lane, id) WHERE status = 'pending' AND is_funded = 1`,
  `CREATE INDEX job_expiry ON job (expires_at_ms) WHERE status = 'pending'`,
  `CREATE INDEX job_deadline ON job (deadline_at_ms) WHERE status = 'running'`,
  `CREATE INDEX job_of_miner ON job (miner_id) WHERE status = 'running'`,
  `CREATE TRIGGER job_end_is_final BEFORE UPDATE OF status ON job
     WHEN OLD.status IN ('completed', 'failed', 'cancelled', 'expired') AND NEW.status <> OLD.status
     BEGIN SELECT RAISE (ABORT, 'a job that ended does not change its status'); END`,
  `CREATE TABLE job_parameters (
     job_seq INTEGER PRIMARY KEY REFERENCES job (seq),
     parameters TEXT NOT NULL
   ) STRICT`,
  `CREATE TABLE job_label (
     client_id TEXT NOT NULL,
     label TEXT NOT NULL,
     job_id TEXT NOT NULL,
     PRIMARY KEY (client_id, label, job_id)
   ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE job_event (
     job_seq INTEGER NOT NULL REFERENCES job (seq),
     id INTEGER NOT NULL CHECK (id > 0),
     type TEXT NOT NULL,
     status TEXT NOT NULL,
     attempt INTEGER NOT NULL,
     progress REAL NOT NULL,
     message TEXT,
     at_ms INTEGER NOT NULL,
     PRIMARY KEY (job_seq, id)
   ) STRICT, WITHOUT ROWID`,
  // One receipt a job, by the primary key. The claims are the payload of the proof; the result is long and comes last.
  `CREATE TABLE receipt (
     job_seq INTEGER PRIMARY KEY REFERENCES job (seq),
     id TEXT NOT NULL UNIQUE,
     proof TEXT NOT NULL,
     created_at_ms INTEGER NOT NULL,
     result TEXT NOT NULL
   ) STRICT`,
  `CREATE TABLE lost_attempt (
     job_seq INTEGER NOT NULL REFERENCES job (seq),
     miner_id TEXT NOT NULL,
     PRIMARY KEY (job_seq, miner_id)
   ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE lane (
     id TEXT PRIMARY KEY,
     requirement TEXT NOT NULL,
     created_at_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
  `CREATE TABLE miner (
     id TEXT PRIMARY KEY,
     account_id TEXT NOT NULL,
     revision INTEGER NOT NULL,
     status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
     concurrency INTEGER NOT NULL,
     offer TEXT NOT NULL
   ) STRICT`,
  `CREATE TABLE receipt_key (
     kid TEXT PRIMARY KEY,
     x TEXT NOT NULL,
     private_key TEXT,
     created_at_ms INTEGER NOT NULL
   ) STRICT`,
];

export const jobs: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
