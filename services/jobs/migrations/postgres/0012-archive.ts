import { type Kysely, sql } from 'kysely';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

const statements = [
  // Where the archive's line ends, and the part that is under way: what its entry says, and whose rows it holds.
  `CREATE TABLE archive (
     id BIGINT PRIMARY KEY CHECK (id = 1),
     line ${TEXT} NOT NULL,
     identity ${TEXT} NOT NULL,
     target ${TEXT} NOT NULL,
     number BIGINT NOT NULL CHECK (number >= 0),
     hash ${TEXT} NOT NULL,
     entry ${TEXT},
     job_seqs ${TEXT},
     CHECK ((entry IS NULL) = (job_seqs IS NULL))
   )`,
];

export const up = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
