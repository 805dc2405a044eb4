import { type Kysely, sql } from 'kysely';

/** What a request to a model pays that names no price. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  await sql`ALTER TABLE api_key ADD COLUMN default_price_minor INTEGER CHECK (default_price_minor > 0)`.execute(
    db,
  );
};
