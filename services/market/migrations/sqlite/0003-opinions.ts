import { type Kysely, sql } from 'kysely';

// As in src/domain/rating.ts: a millionth of a weight is the unit, and everybody begins with 5 of them at 3 stars.
export const up = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `ALTER TABLE gpu RENAME COLUMN rating_sum TO rating_weighted`,
    `ALTER TABLE gpu RENAME COLUMN rating_count TO rating_weight`,
    `ALTER TABLE gpu ADD COLUMN reviewer_count INTEGER NOT NULL DEFAULT 0 CHECK (reviewer_count >= 0)`,
    // What one account thinks of a GPU: its latest rating, and what its reviewed bookings have paid.
    `CREATE TABLE opinion (
       gpu_id TEXT NOT NULL REFERENCES gpu (id),
       reviewer_id TEXT NOT NULL,
       rating INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
       paid_minor INTEGER NOT NULL CHECK (paid_minor >= 0),
       weight INTEGER NOT NULL CHECK (weight >= 0),
       PRIMARY KEY (gpu_id, reviewer_id)
     ) STRICT, WITHOUT ROWID`,
    `INSERT INTO opinion (gpu_id, reviewer_id, rating, paid_minor, weight)
       SELECT gpu_id, reviewer_id, rating, paid, CAST(min(2, log2(1 + paid / 1e8)) * 1000000 AS INTEGER) FROM (
         SELECT r.gpu_id, r.reviewer_id, sum(o.pay_minor) AS paid,
           (SELECT rating FROM review l WHERE l.gpu_id = r.gpu_id AND l.reviewer_id = r.reviewer_id
             ORDER BY l.id DESC LIMIT 1) AS rating
         FROM review r JOIN orders o ON o.id = r.order_id
         WHERE o.status = 'settled' AND o.owner_id <> r.reviewer_id
         GROUP BY r.gpu_id, r.reviewer_id)`,
    `UPDATE gpu SET (rating_weighted, rating_weight, rating, reviewer_count) = (
       SELECT 15000000 + coalesce(sum(weight * rating), 0), 5000000 + coalesce(sum(weight), 0),
         CAST(15000000 + coalesce(sum(weight * rating), 0) AS REAL) / (5000000 + coalesce(sum(weight), 0)),
         count(*) FILTER (WHERE weight > 0)
       FROM opinion WHERE gpu_id = gpu.id)`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
