import { type Kysely, sql } from 'kysely';

// Balances that nobody asks for any more; new ones leave as blocks come (src/store/blocks.ts). Both engines know the words.
const statements = [
  // Each balance that may leave looks for a proposal of its time: 154 ms of a block's transaction with 5,000 of them, 1 with it.
  'CREATE INDEX proposal_snapshot ON proposal (snapshot_height)',
  `DELETE FROM checkpoint
   WHERE EXISTS (
     SELECT 1 FROM checkpoint AS next
     WHERE next.account_id = checkpoint.account_id AND next.height > checkpoint.height
       AND next.height <= (SELECT max(height) - 100 FROM block WHERE is_linked = 1)
       AND NOT EXISTS (
         SELECT 1 FROM proposal
         WHERE proposal.snapshot_height >= checkpoint.height AND proposal.snapshot_height < next.height))`,
];

export const up = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
