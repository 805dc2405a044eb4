import { type Kysely, sql } from 'kysely';

// What a list filters by stands in its index, so that a filter that matches little is checked in the index alone;
// withdrawn_at_ms too, or SQLite would look every row up for the condition that the partial index has met already.
const FILTERED = 'region, memory_gb, price_minor, is_available, withdrawn_at_ms';
const SORTS = { newest: 'id', price: 'price_minor, id', rating: 'rating, id', memory: 'memory_gb, id' };

const listIndexes = Object.entries(SORTS).flatMap(([name, key]) => [
  `CREATE INDEX gpu_by_${name} ON gpu (${key}, model, ${FILTERED}) WHERE withdrawn_at_ms IS NULL`,
  `CREATE INDEX gpu_by_model_${name} ON gpu (model, ${key}, ${FILTERED}) WHERE withdrawn_at_ms IS NULL`,
]);

export const up = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    `CREATE TABLE owner (
       account_id TEXT PRIMARY KEY,
       offers INTEGER NOT NULL DEFAULT 0 CHECK (offers >= 0),
       interruptions INTEGER NOT NULL DEFAULT 0 CHECK (interruptions >= 0)
     ) STRICT, WITHOUT ROWID`,
    `CREATE TABLE miner (
       id TEXT PRIMARY KEY,
       account_id TEXT NOT NULL,
       revision INTEGER NOT NULL CHECK (revision >= 1),
       is_active INTEGER NOT NULL CHECK (is_active IN (0, 1))
     ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX miner_account ON miner (account_id, is_active)`,
    // A dynamic price stays within half and twice its base. Rating and availability follow from the row; they are
    // checked columns and not generated ones, because SQLite looks the row up for a generated column in an index.
    `CREATE TABLE gpu (
       id TEXT PRIMARY KEY,
       owner_id TEXT NOT NULL REFERENCES owner (account_id),
       miner_id TEXT,
       model TEXT NOT NULL,
       memory_gb REAL NOT NULL CHECK (memory_gb > 0),
       cuda_version TEXT,
       region TEXT NOT NULL,
       capabilities TEXT NOT NULL,
       pricing TEXT NOT NULL CHECK (pricing IN ('fixed', 'dynamic')),
       base_minor INTEGER NOT NULL CHECK (base_minor > 0),
       price_minor INTEGER NOT NULL CHECK (price_minor BETWEEN (base_minor + 1) / 2 AND base_minor * 2),
       reprice_at_ms INTEGER,
       is_offered INTEGER NOT NULL CHECK (is_offered IN (0, 1)),
       absent_since_ms INTEGER,
       booked_order_id TEXT UNIQUE REFERENCES orders (id),
       is_rented INTEGER NOT NULL DEFAULT 0 CHECK (is_rented IN (0, 1)),
       rating_sum INTEGER NOT NULL DEFAULT 0 CHECK (rating_sum BETWEEN rating_count AND rating_count * 5),
       rating_count INTEGER NOT NULL DEFAULT 0 CHECK (rating_count >= 0),
       rating REAL NOT NULL DEFAULT 0,
       is_available INTEGER NOT NULL CHECK (is_available IN (0, 1)),
       created_at_ms INTEGER NOT NULL,
       updated_at_ms INTEGER NOT NULL,
       withdrawn_at_ms INTEGER,
       CHECK ((pricing = 'dynamic' AND withdrawn_at_ms IS NULL) = (reprice_at_ms IS NOT NULL)),
       CHECK (rating = CASE rating_count WHEN 0 THEN 0.0 ELSE CAST(rating_sum AS REAL) / rating_count END),
       CHECK (is_available = (is_offered = 1 AND absent_since_ms IS NULL AND booked_order_id IS NULL
                              AND withdrawn_at_ms IS NULL)),
       CHECK (is_rented = 0 OR booked_order_id IS NOT NULL),
       CHECK (withdrawn_at_ms IS NULL OR booked_order_id IS NULL)
     ) STRICT`,
    ...listIndexes,
    `CREATE INDEX gpu_owner ON gpu (owner_id, miner_id) WHERE withdrawn_at_ms IS NULL`,
    `CREATE INDEX gpu_reprice ON gpu (reprice_at_ms) WHERE reprice_at_ms IS NOT NULL`,
    `CREATE INDEX gpu_absent ON gpu (absent_since_ms)
       WHERE absent_since_ms IS NOT NULL AND booked_order_id IS NOT NULL`,
    `CREATE TABLE orders (
       id TEXT PRIMARY KEY,
       gpu_id TEXT NOT NULL REFERENCES gpu (id),
       model TEXT NOT NULL,
       booker_id TEXT NOT NULL,
       owner_id TEXT NOT NULL,
       job_id TEXT,
       status TEXT NOT NULL CHECK (status IN ('pending_payment', 'active', 'ended', 'settled', 'cancelled')),
       reason TEXT,
       price_minor INTEGER NOT NULL CHECK (price_minor > 0),
       minutes INTEGER NOT NULL CHECK (minutes BETWEEN 1 AND 43200),
       amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
       start_at_ms INTEGER NOT NULL,
       end_at_ms INTEGER NOT NULL CHECK (end_at_ms > start_at_ms),
       hold_until_ms INTEGER NOT NULL,
       has_begun INTEGER NOT NULL DEFAULT 0 CHECK (has_begun IN (0, 1)),
       payment_id TEXT UNIQUE,
       used_minutes INTEGER CHECK (used_minutes BETWEEN 0 AND minutes),
       pay_minor INTEGER CHECK (pay_minor BETWEEN 0 AND amount_minor),
       created_at_ms INTEGER NOT NULL,
       updated_at_ms INTEGER NOT NULL,
       ended_at_ms INTEGER,
       settled_at_ms INTEGER,
       nudge_at_ms INTEGER,
       CHECK (status IN ('pending_payment', 'cancelled') OR payment_id IS NOT NULL),
       CHECK (status <> 'pending_payment' OR payment_id IS NULL),
       CHECK ((status IN ('ended', 'settled')) = (pay_minor IS NOT NULL AND used_minutes IS NOT NULL)),
       CHECK ((status IN ('ended', 'settled', 'cancelled')) = (ended_at_ms IS NOT NULL AND reason IS NOT NULL)),
       CHECK (status <> 'settled' OR settled_at_ms IS NOT NULL)
     ) STRICT`,
    `CREATE INDEX orders_booker ON orders (booker_id, id)`,
    `CREATE INDEX orders_booker_status ON orders (booker_id, status, id)`,
    `CREATE INDEX orders_owner ON orders (owner_id, id)`,
    `CREATE INDEX orders_owner_status ON orders (owner_id, status, id)`,
    `CREATE INDEX orders_status ON orders (status, id)`,
    `CREATE INDEX orders_gpu_booker ON orders (gpu_id, booker_id, id)`,
    // Small: orders that are under way. The status stands in them so that the planner prefers them to orders_status.
    `CREATE INDEX orders_hold ON orders (status, hold_until_ms) WHERE status = 'pending_payment'`,
    `CREATE INDEX orders_start ON orders (status, has_begun, start_at_ms) WHERE status = 'active' AND has_begun = 0`,
    `CREATE INDEX orders_end ON orders (status, end_at_ms) WHERE status = 'active'`,
    `CREATE INDEX orders_nudge ON orders (nudge_at_ms) WHERE nudge_at_ms IS NOT NULL`,
    // The windows that are taken, one row for each order that is pending_payment or active. Rows of one GPU are
    // disjoint, so only the last one that starts before the new end can overlap. An overlapping insert changes 0 rows.
    `CREATE TABLE reservation (
       order_id TEXT PRIMARY KEY REFERENCES orders (id),
       gpu_id TEXT NOT NULL REFERENCES gpu (id),
       start_at_ms INTEGER NOT NULL,
       end_at_ms INTEGER NOT NULL CHECK (end_at_ms > start_at_ms)
     ) STRICT, WITHOUT ROWID`,
    `CREATE UNIQUE INDEX reservation_gpu ON reservation (gpu_id, start_at_ms, end_at_ms)`,
    `CREATE TRIGGER reservation_excludes_overlap BEFORE INSERT ON reservation
       WHEN (SELECT end_at_ms FROM reservation
              WHERE gpu_id = NEW.gpu_id AND start_at_ms < NEW.end_at_ms
              ORDER BY start_at_ms DESC LIMIT 1) > NEW.start_at_ms
       BEGIN SELECT RAISE(IGNORE); END`,
    `CREATE TRIGGER reservation_only_shrinks BEFORE UPDATE ON reservation
       WHEN NEW.gpu_id <> OLD.gpu_id OR NEW.start_at_ms < OLD.start_at_ms OR NEW.end_at_ms > OLD.end_at_ms
       BEGIN SELECT RAISE(ABORT, 'a reservation may only shrink'); END`,
    `CREATE TABLE review (
       id TEXT PRIMARY KEY,
       gpu_id TEXT NOT NULL REFERENCES gpu (id),
       order_id TEXT NOT NULL UNIQUE REFERENCES orders (id),
       reviewer_id TEXT NOT NULL,
       rating INTEGER NOT NULL CHECK (rating BETWEEN 1 AND 5),
       comment TEXT,
       created_at_ms INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX review_gpu ON review (gpu_id, id)`,
    // One row a step: what the price was made of.
    `CREATE TABLE price_history (
       gpu_id TEXT NOT NULL REFERENCES gpu (id),
       at_ms INTEGER NOT NULL,
       price_minor INTEGER NOT NULL CHECK (price_minor > 0),
       base_minor INTEGER NOT NULL CHECK (base_minor > 0),
       previous_minor INTEGER,
       utilization REAL CHECK (utilization BETWEEN 0 AND 1),
       competing_offers INTEGER,
       competing_available INTEGER,
       PRIMARY KEY (gpu_id, at_ms),
       CHECK ((previous_minor IS NULL) = (utilization IS NULL))
     ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX price_history_age ON price_history (at_ms)`,
    // Counters of a model, kept with each change of an offer. A sum of prices outgrows 2^53, so it is kept in two
    // parts. The times are integrals over booked and offered GPUs up to accrued_at_ms.
    `CREATE TABLE model_stats (
       model TEXT PRIMARY KEY,
       total INTEGER NOT NULL CHECK (total >= 0),
       available INTEGER NOT NULL CHECK (available BETWEEN 0 AND total),
       rented INTEGER NOT NULL CHECK (rented BETWEEN 0 AND total),
       price_sum_whole INTEGER NOT NULL CHECK (price_sum_whole >= 0),
       price_sum_minor INTEGER NOT NULL CHECK (price_sum_minor >= 0),
       rented_gpu_ms REAL NOT NULL,
       offered_gpu_ms REAL NOT NULL,
       accrued_at_ms INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID`,
    // The integrals as they stood at a full hour, and the counters in force before it. Only hours with a change.
    `CREATE TABLE model_hour (
       model TEXT NOT NULL REFERENCES model_stats (model),
       hour_at_ms INTEGER NOT NULL,
       rented INTEGER NOT NULL,
       available INTEGER NOT NULL,
       rented_gpu_ms REAL NOT NULL,
       offered_gpu_ms REAL NOT NULL,
       PRIMARY KEY (model, hour_at_ms)
     ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX model_hour_age ON model_hour (hour_at_ms)`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
