import { type Kysely, sql } from 'kysely';
import type { Migrations } from '../store/store.ts';
import { listenersOnPostgres } from './listeners.ts';
import { rowsOfCommits } from './postgres-commits.ts';
import { places } from './postgres-places.ts';

/** In the order of its bytes, as SQLite has it, whatever the database was made with. */
const TEXT = 'TEXT COLLATE "C"';

const create = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    // For triggers: refuses the row as a constraint does, with the message that the trigger gives.
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         RAISE EXCEPTION USING MESSAGE = TG_ARGV[0], ERRCODE = 'integrity_constraint_violation',
           CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
       END $$`,
    `CREATE TABLE store_identity (id BIGINT PRIMARY KEY CHECK (id = 1), stream ${TEXT} NOT NULL)`,
    // Names the last commit, so that one whose answer was lost is found again. Changed in place with each: room is left for that.
    `CREATE TABLE store_commit (id BIGINT PRIMARY KEY CHECK (id = 1), token ${TEXT} NOT NULL) WITH (fillfactor = 10)`,
    `INSERT INTO store_commit VALUES (1, '')`,
    `CREATE TABLE outbox (
       destination ${TEXT} NOT NULL,
       seq BIGINT NOT NULL CHECK (seq > 0),
       name ${TEXT} NOT NULL,
       version BIGINT NOT NULL,
       payload ${TEXT} NOT NULL,
       created_at_ms BIGINT NOT NULL,
       PRIMARY KEY (destination, seq)
     )`,
    `CREATE TABLE inbox_stream (
       stream ${TEXT} PRIMARY KEY,
       watermark BIGINT NOT NULL CHECK (watermark >= 0),
       highest BIGINT NOT NULL CHECK (highest >= watermark)
     )`,
    `CREATE TABLE inbox_ahead (stream ${TEXT} NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (stream, seq))`,
    `CREATE TABLE dead_letter (
       id ${TEXT} PRIMARY KEY,
       stream ${TEXT} NOT NULL,
       seq BIGINT,
       name ${TEXT} NOT NULL,
       version BIGINT NOT NULL,
       payload ${TEXT} NOT NULL,
       attempts BIGINT NOT NULL,
       error ${TEXT} NOT NULL,
       retry_at_ms BIGINT,
       created_at_ms BIGINT NOT NULL
     )`,
    `CREATE INDEX dead_letter_retry ON dead_letter (retry_at_ms) WHERE retry_at_ms IS NOT NULL`,
    `CREATE TABLE parameter (
       name ${TEXT} PRIMARY KEY,
       value ${TEXT} NOT NULL,
       version BIGINT NOT NULL CHECK (version > 0),
       proposal_id ${TEXT} NOT NULL
     )`,
    `CREATE TABLE idempotency (
       account_id ${TEXT} NOT NULL,
       route ${TEXT} NOT NULL,
       key ${TEXT} NOT NULL,
       request_sha256 ${TEXT} NOT NULL,
       status BIGINT NOT NULL,
       body ${TEXT} NOT NULL,
       created_at_ms BIGINT NOT NULL,
       PRIMARY KEY (account_id, route, key)
     )`,
    `CREATE INDEX idempotency_age ON idempotency (created_at_ms)`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};

export const postgres: Migrations = {
  '0000-chassis-1': { up: create },
  '0000-chassis-2': { up: places },
  '0000-chassis-3': { up: rowsOfCommits },
  '0000-chassis-4': { up: listenersOnPostgres },
};
