import { type Kysely, sql } from 'kysely';

const statements = [
  // What was done, for ever. Each entry holds the hash of the one before, so they form one line: two cannot follow the same.
  `CREATE TABLE audit (
     seq INTEGER PRIMARY KEY CHECK (seq > 0),
     id TEXT NOT NULL UNIQUE,
     service TEXT NOT NULL,
     action TEXT NOT NULL,
     actor_id TEXT,
     credential_id TEXT,
     object TEXT NOT NULL,
     account_id TEXT,
     details TEXT NOT NULL,
     at_ms INTEGER NOT NULL,
     prev_hash TEXT NOT NULL UNIQUE CHECK (length(prev_hash) = 64),
     hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
     CHECK (actor_id IS NOT NULL OR credential_id IS NULL)
   ) STRICT`,
  `CREATE INDEX audit_action ON audit (action, seq)`,
  `CREATE INDEX audit_account ON audit (account_id, seq) WHERE account_id IS NOT NULL`,
  `CREATE INDEX audit_actor ON audit (actor_id, seq) WHERE actor_id IS NOT NULL`,
  `CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
     BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END`,
  `CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
     BEGIN SELECT RAISE(ABORT, 'nothing is taken out of the audit log'); END`,
];

/** The audit log. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
