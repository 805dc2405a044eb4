import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const statements = [
  // What the current or last attempt was leased for. The receipt shows it, and jobs.ended names it to payments.
  `ALTER TABLE job ADD COLUMN lease_payment_id TEXT`,
  `ALTER TABLE job ADD COLUMN lease_price_minor INTEGER NOT NULL DEFAULT 0
     CHECK (lease_price_minor >= 0 AND (lease_price_minor > 0) = (lease_payment_id IS NOT NULL))`,
  // Up to now it was what stood when the job completed.
  `UPDATE job SET lease_payment_id = payment_id, lease_price_minor = payment_amount_minor
     WHERE payment_id IS NOT NULL AND payment_amount_minor IS NOT NULL
       AND ((status = 'running' AND payment_status = 'escrowed')
         OR (status = 'completed' AND payment_status IN ('escrowed', 'released')))`,
  // Jobs avoid the accounts that lost them, by whatever name they come. is_fault: this one said that the job itself is
  // wrong, which ends the job when a second account says so too.
  `ALTER TABLE lost_attempt ADD COLUMN account_id TEXT`,
  `ALTER TABLE lost_attempt ADD COLUMN is_fault INTEGER NOT NULL DEFAULT 0 CHECK (is_fault IN (0, 1))`,
  `UPDATE lost_attempt SET account_id = (SELECT m.account_id FROM miner m WHERE m.id = miner_id)`,
];

export const termsOfALease: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
