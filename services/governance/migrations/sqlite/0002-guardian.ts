import { type Kysely, sql } from 'kysely';

const statements = [
  // A veto is a cancellation with a reason, by whoever stands in cancelled_by.
  `ALTER TABLE proposal ADD COLUMN veto_reason TEXT
     CHECK (veto_reason IS NULL OR (state = 'cancelled' AND cancelled_by IS NOT NULL AND timelock_ends_at_ms IS NOT NULL))`,
  // A value comes from a vote, or from an operator who says why. Nothing refers to this table, so it may be made anew.
  `CREATE TABLE parameter_change_2 (
     name TEXT NOT NULL,
     version INTEGER NOT NULL CHECK (version > 0),
     value TEXT NOT NULL CHECK (json_valid(value)),
     proposal_id TEXT UNIQUE REFERENCES proposal (id),
     reset_by TEXT,
     reset_reason TEXT,
     changed_at_ms INTEGER NOT NULL,
     PRIMARY KEY (name, version),
     CHECK ((proposal_id IS NULL) = (reset_by IS NOT NULL)),
     CHECK ((reset_by IS NULL) = (reset_reason IS NULL))
   ) STRICT, WITHOUT ROWID`,
  `INSERT INTO parameter_change_2 (name, version, value, proposal_id, changed_at_ms)
     SELECT name, version, value, proposal_id, changed_at_ms FROM parameter_change`,
  `DROP TABLE parameter_change`,
  `ALTER TABLE parameter_change_2 RENAME TO parameter_change`,
];

export const guardian = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
