import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const statements = [
  // The name under which this file spoke when it last made sure of its jobs' money. A restored copy speaks under another.
  `CREATE TABLE sure_of_money (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     stream TEXT NOT NULL
   ) STRICT`,
];

export const restored: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
