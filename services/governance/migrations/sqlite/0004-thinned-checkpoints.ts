import { type Kysely, sql } from 'kysely';

// Balances that nobody asks for any more; new ones leave as blocks come (src/store/blocks.ts). Both engines know the words.
const statement = `DELETE FROM checkpoint
   WHERE EXISTS (
     SELECT 1 FROM checkpoint AS next
     WHERE next.account_id = checkpoint.account_id AND next.height > checkpoint.height
       AND next.height <= (SELECT max(height) - 100 FROM block WHERE is_linked = 1)
       AND NOT EXISTS (
         SELECT 1 FROM proposal
         WHERE proposal.snapshot_height >= checkpoint.height AND proposal.snapshot_height < next.height))`;

export const up = async (db: Kysely<unknown>): Promise<void> => {
  await sql.raw(statement).execute(db);
};
