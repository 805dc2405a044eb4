import { type Kysely, sql } from 'kysely';

/** What each miner takes in this file and in the dispatch index, so that the sum of an account is read off an index. */
export const up = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `ALTER TABLE miner ADD COLUMN weight INTEGER NOT NULL DEFAULT 0 CHECK (weight >= 0)`,
    // As weightOf in src/domain.ts, with the number of job types of this release.
    `UPDATE miner SET weight =
       octet_length(capabilities) + octet_length(gpus) + octet_length(models) + octet_length(address) +
       octet_length(coalesce(endpoint, '')) + octet_length(coalesce(region, '')) + octet_length(coalesce(status_note, '')) +
       400 * (min(6, json_array_length(capabilities)) * (1 + json_array_length(models)) + json_array_length(gpus))`,
    `DROP INDEX miner_account`,
    `CREATE INDEX miner_account ON miner (account_id, id, weight)`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
