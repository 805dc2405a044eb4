import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

/** Jobs that were there before have none: the hashes in their receipts are over the canonical JSON alone. */
export const salt: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    await sql.raw(`ALTER TABLE job ADD COLUMN salt TEXT CHECK (length(salt) = 43)`).execute(db);
  },
};
