import { type Kysely, sql } from 'kysely';

/** Who seals: each process that begins to raises the term, and a block of an older term is refused. */
export const create = async (db: Kysely<unknown>): Promise<void> => {
  await sql`CREATE TABLE sealer (
    id BIGINT PRIMARY KEY CHECK (id = 1),
    term BIGINT NOT NULL CHECK (term >= 0)
  )`.execute(db);
  await sql`CREATE TRIGGER sealer_only_rises BEFORE UPDATE ON sealer FOR EACH ROW WHEN (NEW.term <= OLD.term)
    EXECUTE FUNCTION refuse('a term only rises')`.execute(db);
  await sql`INSERT INTO sealer (id, term) VALUES (1, 0)`.execute(db);
};
