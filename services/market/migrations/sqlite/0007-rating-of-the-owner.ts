import { type Kysely, sql } from 'kysely';

// A rating follows the account, and not an offer that can be taken back and made anew. As in src/domain/rating.ts: a
// millionth of a weight is the unit, and everybody begins with 5 of them at 3 stars.
export const up = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `ALTER TABLE owner ADD COLUMN rating_weighted INTEGER NOT NULL DEFAULT 15000000`,
    `ALTER TABLE owner ADD COLUMN rating_weight INTEGER NOT NULL DEFAULT 5000000`,
    `ALTER TABLE owner ADD COLUMN rating REAL NOT NULL DEFAULT 3`,
    `ALTER TABLE owner ADD COLUMN reviewer_count INTEGER NOT NULL DEFAULT 0 CHECK (reviewer_count >= 0)`,
    `DROP TABLE opinion`,
    // What one account thinks of an owner: its latest rating, and what its reviewed bookings have paid.
    `CREATE TABLE opinion (
       owner_id TEXT NOT NULL REFERENCES owner (account_id),
       reviewer_id TEXT NOT NULL,
       rating INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
       paid_minor INTEGER NOT NULL CHECK (paid_minor >= 0),
       weight INTEGER NOT NULL CHECK (weight >= 0),
       PRIMARY KEY (owner_id, reviewer_id),
       CHECK (owner_id <> reviewer_id)
     ) STRICT, WITHOUT ROWID`,
    // SQLite takes the rating from the row of the newest review.
    `INSERT INTO opinion (owner_id, reviewer_id, rating, paid_minor, weight)
       SELECT owner_id, reviewer_id, rating, paid, CAST(min(2, log2(1 + paid / 1e8)) * 1000000 AS INTEGER) FROM (
         SELECT o.owner_id, r.reviewer_id, r.rating, max(r.id), sum(o.pay_minor) AS paid
         FROM review r JOIN orders o ON o.id = r.order_id
         WHERE o.status = 'settled' AND o.pay_minor > 0 AND o.owner_id <> r.reviewer_id
         GROUP BY o.owner_id, r.reviewer_id)`,
    `UPDATE owner SET (rating_weighted, rating_weight, rating, reviewer_count) = (
       SELECT 15000000 + coalesce(sum(weight * rating), 0), 5000000 + coalesce(sum(weight), 0),
         CAST(15000000 + coalesce(sum(weight * rating), 0) AS REAL) / (5000000 + coalesce(sum(weight), 0)),
         count(*) FILTER (WHERE weight > 0)
       FROM opinion WHERE owner_id = owner.account_id)`,
    `UPDATE gpu SET (rating_weighted, rating_weight, rating, reviewer_count) = (
       SELECT rating_weighted, rating_weight, rating, reviewer_count FROM owner WHERE account_id = gpu.owner_id)
       WHERE withdrawn_at_ms IS NULL`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
