import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const statements = [
  // What jobs says of an attempt that ended and of the payment that a completed job is paid with.
  `ALTER TABLE job ADD COLUMN requeued_attempt INTEGER NOT NULL DEFAULT 0`,
  `ALTER TABLE job ADD COLUMN ended_payment_id TEXT`,
  // Before this a completed job was paid by whatever was held for it.
  `UPDATE job SET ended_payment_id = (SELECT p.id FROM payment p WHERE p.job_id = job.id)
     WHERE ended_status = 'completed'`,
  // Who asked for a refund that another service decides. One row for each who asks of a payment: asked again it is the
  // same wish, and a wish after a refusal is a new one.
  `CREATE TABLE refund_request (
     payment_id TEXT NOT NULL REFERENCES payment (id),
     account_id TEXT NOT NULL,
     id TEXT NOT NULL UNIQUE,
     actor TEXT NOT NULL CHECK (actor IN ('payer', 'payee', 'operator')),
     reason TEXT NOT NULL,
     asked_at_ms INTEGER NOT NULL,
     refused_code TEXT,
     PRIMARY KEY (payment_id, account_id)
   ) STRICT, WITHOUT ROWID`,
];

export const refundRequests: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
