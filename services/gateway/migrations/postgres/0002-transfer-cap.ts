import { type Kysely, sql } from 'kysely';

/** What a key may transfer in one day. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  await sql`ALTER TABLE api_key ADD COLUMN transfer_cap_minor BIGINT CHECK (transfer_cap_minor > 0)`.execute(
    db,
  );
};
