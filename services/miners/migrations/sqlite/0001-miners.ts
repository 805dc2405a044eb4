import { type Kysely, sql } from 'kysely';

export const up = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    // Lists and GPUs are JSON: they are only ever read and told whole; matching by them is the dispatcher's.
    `CREATE TABLE miner (
       id TEXT PRIMARY KEY,
       account_id TEXT NOT NULL,
       name TEXT NOT NULL,
       address TEXT NOT NULL,
       endpoint TEXT,
       capabilities TEXT NOT NULL,
       gpus TEXT NOT NULL,
       cuda_version TEXT,
       models TEXT NOT NULL,
       region TEXT,
       price_per_job_minor INTEGER NOT NULL CHECK (price_per_job_minor >= 0),
       concurrency INTEGER NOT NULL CHECK (concurrency BETWEEN 1 AND 64),
       status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
       revision INTEGER NOT NULL CHECK (revision >= 1),
       seen_at_ms INTEGER NOT NULL,
       jobs_completed INTEGER NOT NULL DEFAULT 0 CHECK (jobs_completed >= 0),
       jobs_failed INTEGER NOT NULL DEFAULT 0 CHECK (jobs_failed >= 0),
       jobs_lost INTEGER NOT NULL DEFAULT 0 CHECK (jobs_lost >= 0),
       good REAL NOT NULL DEFAULT 0 CHECK (good >= 0),
       bad REAL NOT NULL DEFAULT 0 CHECK (bad >= 0),
       announced_reputation REAL NOT NULL CHECK (announced_reputation BETWEEN 0 AND 1),
       earned_minor INTEGER NOT NULL DEFAULT 0 CHECK (earned_minor >= 0),
       created_at_ms INTEGER NOT NULL,
       UNIQUE (account_id, name)
     ) STRICT`,
    `CREATE INDEX miner_status ON miner (status, id)`,
    // No foreign key: jobs may tell of a miner that made room for another in the meantime.
    `CREATE TABLE attempt (
       job_id TEXT NOT NULL,
       attempt INTEGER NOT NULL CHECK (attempt >= 1),
       miner_id TEXT NOT NULL,
       state TEXT NOT NULL CHECK (state IN ('running', 'overtaken', 'ended')),
       outcome TEXT CHECK (outcome IN ('completed', 'failed', 'timed_out', 'lost', 'cancelled', 'expired')),
       forget_at_ms INTEGER NOT NULL,
       PRIMARY KEY (job_id, attempt),
       CHECK ((state = 'ended') = (outcome IS NOT NULL))
     ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX attempt_running ON attempt (miner_id) WHERE state = 'running'`,
    `CREATE INDEX attempt_forget ON attempt (forget_at_ms)`,
    `CREATE TABLE earning (
       payment_id TEXT PRIMARY KEY,
       miner_id TEXT NOT NULL,
       earned_minor INTEGER NOT NULL CHECK (earned_minor >= 0),
       forget_at_ms INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX earning_forget ON earning (forget_at_ms)`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
