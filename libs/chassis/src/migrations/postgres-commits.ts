import { type Kysely, sql } from 'kysely';

/** What one commit says to a destination is one row. */
export const rowsOfCommits = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `ALTER TABLE outbox ADD COLUMN count BIGINT NOT NULL DEFAULT 1 CHECK (count > 0)`,
    `ALTER TABLE outbox ADD COLUMN messages TEXT COLLATE "C"`,
    `UPDATE outbox SET messages =
       '"name":"' || name || '","version":' || version || ',"payload":' || payload || '}'`,
    `ALTER TABLE outbox ALTER COLUMN count DROP DEFAULT`,
    `ALTER TABLE outbox ALTER COLUMN messages SET NOT NULL`,
    `ALTER TABLE outbox DROP COLUMN name, DROP COLUMN version, DROP COLUMN payload`,
    `ALTER TABLE outbox DROP CONSTRAINT outbox_seq_check`,
    `ALTER TABLE outbox ADD CHECK (seq >= count)`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
