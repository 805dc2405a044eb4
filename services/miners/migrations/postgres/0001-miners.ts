import { type Kysely, sql } from 'kysely';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

const statements = [
  // Lists and GPUs are JSON: they are only ever read and told whole; matching by them is the dispatcher's.
  `CREATE TABLE miner (
     id ${TEXT} PRIMARY KEY,
     account_id ${TEXT} NOT NULL,
     name ${TEXT} NOT NULL,
     address ${TEXT} NOT NULL,
     endpoint ${TEXT},
     capabilities ${TEXT} NOT NULL,
     gpus ${TEXT} NOT NULL,
     cuda_version ${TEXT},
     models ${TEXT} NOT NULL,
     region ${TEXT},
     price_per_job_minor BIGINT NOT NULL CHECK (price_per_job_minor >= 0),
     concurrency BIGINT NOT NULL CHECK (concurrency BETWEEN 1 AND 64),
     status ${TEXT} NOT NULL CHECK (status IN ('active', 'inactive')),
     revision BIGINT NOT NULL CHECK (revision >= 1),
     seen_at_ms BIGINT NOT NULL,
     jobs_completed BIGINT NOT NULL DEFAULT 0 CHECK (jobs_completed >= 0),
     jobs_failed BIGINT NOT NULL DEFAULT 0 CHECK (jobs_failed >= 0),
     jobs_lost BIGINT NOT NULL DEFAULT 0 CHECK (jobs_lost >= 0),
     earned_minor BIGINT NOT NULL DEFAULT 0 CHECK (earned_minor >= 0),
     created_at_ms BIGINT NOT NULL,
     -- Which process of an agent it is, so that a second one is noticed after our restart too; and what it says of itself.
     instance_id ${TEXT},
     status_note ${TEXT},
     -- What it takes in this store and in the dispatch index, so that the sum of an account is read off an index.
     weight BIGINT NOT NULL DEFAULT 0 CHECK (weight >= 0),
     UNIQUE (account_id, name)
   )`,
  `CREATE INDEX miner_status ON miner (status, id)`,
  // A page of an account's miners is read off it, without sorting all of them.
  `CREATE INDEX miner_account ON miner (account_id, id, weight)`,
  // No foreign key: jobs may tell of a miner that made room for another in the meantime.
  `CREATE TABLE attempt (
     job_id ${TEXT} NOT NULL,
     attempt BIGINT NOT NULL CHECK (attempt >= 1),
     miner_id ${TEXT} NOT NULL,
     state ${TEXT} NOT NULL CHECK (state IN ('running', 'overtaken', 'ended')),
     outcome ${TEXT} CHECK (outcome IN ('completed', 'failed', 'timed_out', 'lost', 'cancelled', 'expired')),
     forget_at_ms BIGINT NOT NULL,
     PRIMARY KEY (job_id, attempt),
     CHECK ((state = 'ended') = (outcome IS NOT NULL))
   )`,
  `CREATE INDEX attempt_running ON attempt (miner_id) WHERE state = 'running'`,
  `CREATE INDEX attempt_forget ON attempt (forget_at_ms)`,
  `CREATE TABLE earning (
     payment_id ${TEXT} PRIMARY KEY,
     miner_id ${TEXT} NOT NULL,
     earned_minor BIGINT NOT NULL CHECK (earned_minor >= 0),
     forget_at_ms BIGINT NOT NULL
   )`,
  `CREATE INDEX earning_forget ON earning (forget_at_ms)`,
  // What speaks for and against an account, fading with time: good and bad as they stood at at_ms. announced is what
  // the last miners.changed told; telling_after is the miner that was told last, while not all have been.
  `CREATE TABLE reputation (
     account_id ${TEXT} PRIMARY KEY,
     good DOUBLE PRECISION NOT NULL CHECK (good >= 0),
     bad DOUBLE PRECISION NOT NULL CHECK (bad >= 0),
     at_ms BIGINT NOT NULL,
     announced DOUBLE PRECISION NOT NULL CHECK (announced BETWEEN 0 AND 1),
     telling_after ${TEXT}
   )`,
  `CREATE INDEX reputation_telling ON reputation (account_id) WHERE telling_after IS NOT NULL`,
  // How much of it came from one client; the client '' is all strangers together.
  `CREATE TABLE counterparty (
     account_id ${TEXT} NOT NULL,
     client_id ${TEXT} NOT NULL,
     good DOUBLE PRECISION NOT NULL CHECK (good >= 0),
     bad DOUBLE PRECISION NOT NULL CHECK (bad >= 0),
     at_ms BIGINT NOT NULL,
     PRIMARY KEY (account_id, client_id)
   )`,
  `CREATE INDEX counterparty_age ON counterparty (at_ms)`,
];

export const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
