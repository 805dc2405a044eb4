import { type Kysely, sql } from 'kysely';
import type { Migrations } from '../store/store.ts';
import { listenersOnSqlite } from './listeners.ts';

const create = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `CREATE TABLE store_identity (id INTEGER PRIMARY KEY CHECK (id = 1), stream TEXT NOT NULL) STRICT`,
    `CREATE TABLE outbox (
       destination TEXT NOT NULL,
       seq INTEGER NOT NULL CHECK (seq > 0),
       name TEXT NOT NULL,
       version INTEGER NOT NULL,
       payload TEXT NOT NULL,
       created_at_ms INTEGER NOT NULL,
       PRIMARY KEY (destination, seq)
     ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE inbox_stream (
       stream TEXT PRIMARY KEY,
       watermark INTEGER NOT NULL CHECK (watermark >= 0),
       highest INTEGER NOT NULL CHECK (highest >= watermark)
     ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE inbox_ahead (stream TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (stream, seq)) STRICT, WITHOUT ROWID`,
    `CREATE TABLE dead_letter (
       id TEXT PRIMARY KEY,
       stream TEXT NOT NULL,
       seq INTEGER,
       name TEXT NOT NULL,
       version INTEGER NOT NULL,
       payload TEXT NOT NULL,
       attempts INTEGER NOT NULL,
       error TEXT NOT NULL,
       retry_at_ms INTEGER,
       created_at_ms INTEGER NOT NULL
     ) STRICT`,
    `CREATE INDEX dead_letter_retry ON dead_letter (retry_at_ms) WHERE retry_at_ms IS NOT NULL`,
    `CREATE TABLE parameter (
       name TEXT PRIMARY KEY,
       value TEXT NOT NULL,
       version INTEGER NOT NULL CHECK (version > 0),
       proposal_id TEXT NOT NULL
     ) STRICT`,
    `CREATE TABLE idempotency (
       account_id TEXT NOT NULL,
       route TEXT NOT NULL,
       key TEXT NOT NULL,
       request_sha256 TEXT NOT NULL,
       status INTEGER NOT NULL,
       body TEXT NOT NULL,
       created_at_ms INTEGER NOT NULL,
       PRIMARY KEY (account_id, route, key)
     ) STRICT`,
    `CREATE INDEX idempotency_age ON idempotency (created_at_ms)`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};

/** What one commit says to a destination is one row. */
const rowsOfCommits = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `CREATE TABLE said (
       destination TEXT NOT NULL,
       seq INTEGER NOT NULL CHECK (seq >= count),
       count INTEGER NOT NULL CHECK (count > 0),
       messages TEXT NOT NULL,
       created_at_ms INTEGER NOT NULL,
       PRIMARY KEY (destination, seq)
     ) STRICT, WITHOUT ROWID`,
    `INSERT INTO said SELECT destination, seq, 1,
       '"name":"' || name || '","version":' || version || ',"payload":' || payload || '}', created_at_ms FROM outbox`,
    `DROP TABLE outbox`,
    `ALTER TABLE said RENAME TO outbox`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};

export const sqlite: Migrations = {
  '0000-chassis-1': { up: create },
  '0000-chassis-2': { up: rowsOfCommits },
  '0000-chassis-4': { up: listenersOnSqlite },
};
