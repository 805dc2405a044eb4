import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const statements = [
  // Which job a request at the OpenAI door became, so that the same request, sent again, finds it. `name` is that of an
  // Idempotency-Key, or of the request itself.
  `CREATE TABLE door_request (
     account_id TEXT NOT NULL,
     name TEXT NOT NULL,
     request_sha256 TEXT NOT NULL,
     job_id TEXT NOT NULL,
     expires_at_ms INTEGER NOT NULL,
     PRIMARY KEY (account_id, name)
   ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX door_request_expires ON door_request (expires_at_ms)`,
];

export const door: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
