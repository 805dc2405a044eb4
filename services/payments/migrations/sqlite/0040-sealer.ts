import { type Kysely, sql } from 'kysely';

/** Who seals: each process that begins to raises the term, and a block of an older term is refused. */
export const sealer = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await sql`CREATE TABLE sealer (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      term INTEGER NOT NULL CHECK (term >= 0)
    ) STRICT`.execute(db);
    await sql`CREATE TRIGGER sealer_only_rises BEFORE UPDATE ON sealer WHEN new.term <= old.term
      BEGIN SELECT RAISE(ABORT, 'a term only rises'); END`.execute(db);
    await sql`INSERT INTO sealer (id, term) VALUES (1, 0)`.execute(db);
  },
};
