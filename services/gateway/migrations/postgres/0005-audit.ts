import { type Kysely, sql } from 'kysely';

const statements = [
  // What was done, for ever. Each entry holds the hash of the one before, so they form one line: two cannot follow the same.
  `CREATE TABLE audit (
     seq BIGINT PRIMARY KEY CHECK (seq > 0),
     id TEXT COLLATE "C" NOT NULL UNIQUE,
     service TEXT COLLATE "C" NOT NULL,
     action TEXT COLLATE "C" NOT NULL,
     actor_id TEXT COLLATE "C",
     credential_id TEXT COLLATE "C",
     object TEXT COLLATE "C" NOT NULL,
     account_id TEXT COLLATE "C",
     details TEXT COLLATE "C" NOT NULL,
     at_ms BIGINT NOT NULL,
     prev_hash TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(prev_hash) = 64),
     hash TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(hash) = 64),
     CHECK (actor_id IS NOT NULL OR credential_id IS NULL)
   )`,
  `CREATE INDEX audit_action ON audit (action, seq)`,
  `CREATE INDEX audit_account ON audit (account_id, seq) WHERE account_id IS NOT NULL`,
  `CREATE INDEX audit_actor ON audit (actor_id, seq) WHERE actor_id IS NOT NULL`,
  `CREATE TRIGGER audit_stays BEFORE UPDATE ON audit FOR EACH ROW
     EXECUTE FUNCTION refuse('the audit log is never changed')`,
  `CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit FOR EACH ROW
     EXECUTE FUNCTION refuse('nothing is taken out of the audit log')`,
  // TRUNCATE asks no row.
  `CREATE TRIGGER audit_is_kept_whole BEFORE TRUNCATE ON audit
     EXECUTE FUNCTION refuse('nothing is taken out of the audit log')`,
];

/** The audit log. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
