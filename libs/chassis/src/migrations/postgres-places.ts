import { type Kysely, sql } from 'kysely';

/** Many processes: a place and a stream each, rows of the outbox by stream, and the last commit of each writer. */
export const places = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `CREATE TABLE store_stream (
       place BIGINT PRIMARY KEY CHECK (place >= 0),
       stream TEXT COLLATE "C" NOT NULL UNIQUE
     )`,
    `INSERT INTO store_stream SELECT 0, stream FROM store_identity`,
    `ALTER TABLE outbox ADD COLUMN stream TEXT COLLATE "C"`,
    `UPDATE outbox SET stream = (SELECT stream FROM store_identity)`,
    `ALTER TABLE outbox ALTER COLUMN stream SET NOT NULL`,
    `ALTER TABLE outbox DROP CONSTRAINT outbox_pkey`,
    `ALTER TABLE outbox ADD PRIMARY KEY (stream, destination, seq)`,
    `DROP TABLE store_commit`,
    // Changed in place with each commit: room is left for that.
    `CREATE TABLE store_commit (
       writer TEXT COLLATE "C" PRIMARY KEY,
       token TEXT COLLATE "C" NOT NULL,
       committed_at_ms BIGINT NOT NULL
     ) WITH (fillfactor = 10)`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
