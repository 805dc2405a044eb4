import { type Kysely, sql } from 'kysely';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

// What a list filters by stands in its index, so that a filter that matches little is checked in the index alone.
const FILTERED = 'region, memory_gb, price_minor, is_available, withdrawn_at_ms';
const SORTS = { newest: 'id', price: 'price_minor, id', rating: 'rating, id', memory: 'memory_gb, id' };

const listIndexes = Object.entries(SORTS).flatMap(([name, key]) => [
  `CREATE INDEX gpu_by_${name} ON gpu (${key}, model_key, ${FILTERED}) WHERE withdrawn_at_ms IS NULL`,
  `CREATE INDEX gpu_by_model_${name} ON gpu (model_key, ${key}, ${FILTERED}) WHERE withdrawn_at_ms IS NULL`,
]);

const statements = [
  // As in src/domain/rating.ts: a millionth of a weight is the unit, and everybody begins with 5 of them at 3 stars.
  `CREATE TABLE owner (
     account_id ${TEXT} PRIMARY KEY,
     offers BIGINT NOT NULL DEFAULT 0 CHECK (offers >= 0),
     interruptions BIGINT NOT NULL DEFAULT 0 CHECK (interruptions >= 0),
     rating_weighted BIGINT NOT NULL DEFAULT 15000000,
     rating_weight BIGINT NOT NULL DEFAULT 5000000,
     rating DOUBLE PRECISION NOT NULL DEFAULT 3,
     reviewer_count BIGINT NOT NULL DEFAULT 0 CHECK (reviewer_count >= 0)
   )`,
  `CREATE TABLE miner (
     id ${TEXT} PRIMARY KEY,
     account_id ${TEXT} NOT NULL,
     revision BIGINT NOT NULL CHECK (revision >= 1),
     is_active BIGINT NOT NULL CHECK (is_active IN (0, 1))
   )`,
  `CREATE INDEX miner_account ON miner (account_id, is_active)`,
  // A dynamic price stays within half and twice its base. Rating and availability follow from the row; they are
  // checked columns and not generated ones, as on SQLite.
  `CREATE TABLE gpu (
     id ${TEXT} PRIMARY KEY,
     owner_id ${TEXT} NOT NULL REFERENCES owner (account_id),
     miner_id ${TEXT},
     model ${TEXT} NOT NULL,
     memory_gb DOUBLE PRECISION NOT NULL CHECK (memory_gb > 0),
     cuda_version ${TEXT},
     region ${TEXT} NOT NULL,
     capabilities ${TEXT} NOT NULL,
     pricing ${TEXT} NOT NULL CHECK (pricing IN ('fixed', 'dynamic')),
     base_minor BIGINT NOT NULL CHECK (base_minor > 0),
     price_minor BIGINT NOT NULL CHECK (price_minor BETWEEN (base_minor + 1) / 2 AND base_minor * 2),
     reprice_at_ms BIGINT,
     is_offered BIGINT NOT NULL CHECK (is_offered IN (0, 1)),
     absent_since_ms BIGINT,
     booked_order_id ${TEXT} UNIQUE,
     is_rented BIGINT NOT NULL DEFAULT 0 CHECK (is_rented IN (0, 1)),
     rating_weighted BIGINT NOT NULL DEFAULT 0
       CHECK (rating_weighted BETWEEN rating_weight AND rating_weight * 5),
     rating_weight BIGINT NOT NULL DEFAULT 0 CHECK (rating_weight >= 0),
     rating DOUBLE PRECISION NOT NULL DEFAULT 0,
     is_available BIGINT NOT NULL CHECK (is_available IN (0, 1)),
     created_at_ms BIGINT NOT NULL,
     updated_at_ms BIGINT NOT NULL,
     withdrawn_at_ms BIGINT,
     -- A card is found and counted under the one form of its name (cardKey); model stays what its owner wrote.
     model_key ${TEXT} NOT NULL DEFAULT '',
     reviewer_count BIGINT NOT NULL DEFAULT 0 CHECK (reviewer_count >= 0),
     CHECK ((pricing = 'dynamic' AND withdrawn_at_ms IS NULL) = (reprice_at_ms IS NOT NULL)),
     CHECK (rating = CASE rating_weight WHEN 0 THEN 0.0
              ELSE CAST(rating_weighted AS DOUBLE PRECISION) / rating_weight END),
     CHECK ((is_available = 1) = (is_offered = 1 AND absent_since_ms IS NULL AND booked_order_id IS NULL
                                  AND withdrawn_at_ms IS NULL)),
     CHECK (is_rented = 0 OR booked_order_id IS NOT NULL),
     CHECK (withdrawn_at_ms IS NULL OR booked_order_id IS NULL)
   )`,
  ...listIndexes,
  `CREATE INDEX gpu_owner ON gpu (owner_id, miner_id) WHERE withdrawn_at_ms IS NULL`,
  `CREATE INDEX gpu_reprice ON gpu (reprice_at_ms) WHERE reprice_at_ms IS NOT NULL`,
  `CREATE INDEX gpu_absent ON gpu (absent_since_ms)
     WHERE absent_since_ms IS NOT NULL AND booked_order_id IS NOT NULL`,
  `CREATE TABLE orders (
     id ${TEXT} PRIMARY KEY,
     gpu_id ${TEXT} NOT NULL REFERENCES gpu (id),
     model ${TEXT} NOT NULL,
     booker_id ${TEXT} NOT NULL,
     owner_id ${TEXT} NOT NULL,
     job_id ${TEXT},
     status ${TEXT} NOT NULL CHECK (status IN ('pending_payment', 'active', 'ended', 'settled', 'cancelled')),
     reason ${TEXT},
     price_minor BIGINT NOT NULL CHECK (price_minor > 0),
     minutes BIGINT NOT NULL CHECK (minutes BETWEEN 1 AND 43200),
     amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
     start_at_ms BIGINT NOT NULL,
     end_at_ms BIGINT NOT NULL CHECK (end_at_ms > start_at_ms),
     hold_until_ms BIGINT NOT NULL,
     has_begun BIGINT NOT NULL DEFAULT 0 CHECK (has_begun IN (0, 1)),
     payment_id ${TEXT} UNIQUE,
     used_minutes BIGINT CHECK (used_minutes BETWEEN 0 AND minutes),
     pay_minor BIGINT CHECK (pay_minor BETWEEN 0 AND amount_minor),
     created_at_ms BIGINT NOT NULL,
     updated_at_ms BIGINT NOT NULL,
     ended_at_ms BIGINT,
     settled_at_ms BIGINT,
     nudge_at_ms BIGINT,
     CHECK (status IN ('pending_payment', 'cancelled') OR payment_id IS NOT NULL),
     CHECK (status <> 'pending_payment' OR payment_id IS NULL),
     CHECK ((status IN ('ended', 'settled')) = (pay_minor IS NOT NULL AND used_minutes IS NOT NULL)),
     CHECK ((status IN ('ended', 'settled', 'cancelled')) = (ended_at_ms IS NOT NULL AND reason IS NOT NULL)),
     CHECK (status <> 'settled' OR settled_at_ms IS NOT NULL)
   )`,
  `ALTER TABLE gpu ADD FOREIGN KEY (booked_order_id) REFERENCES orders (id)`,
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
     order_id ${TEXT} PRIMARY KEY REFERENCES orders (id),
     gpu_id ${TEXT} NOT NULL REFERENCES gpu (id),
     start_at_ms BIGINT NOT NULL,
     end_at_ms BIGINT NOT NULL CHECK (end_at_ms > start_at_ms)
   )`,
  `CREATE UNIQUE INDEX reservation_gpu ON reservation (gpu_id, start_at_ms, end_at_ms)`,
  `CREATE FUNCTION reservation_excludes_overlap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
     BEGIN
       IF (SELECT end_at_ms FROM reservation
            WHERE gpu_id = NEW.gpu_id AND start_at_ms < NEW.end_at_ms
            ORDER BY start_at_ms DESC LIMIT 1) > NEW.start_at_ms
       THEN RETURN NULL;
       END IF;
       RETURN NEW;
     END $$`,
  `CREATE TRIGGER reservation_excludes_overlap BEFORE INSERT ON reservation FOR EACH ROW
     EXECUTE FUNCTION reservation_excludes_overlap()`,
  `CREATE TRIGGER reservation_only_shrinks BEFORE UPDATE ON reservation FOR EACH ROW
     WHEN (NEW.gpu_id <> OLD.gpu_id OR NEW.start_at_ms < OLD.start_at_ms OR NEW.end_at_ms > OLD.end_at_ms)
   EXECUTE FUNCTION refuse('a reservation may only shrink')`,
  `CREATE TABLE review (
     id ${TEXT} PRIMARY KEY,
     gpu_id ${TEXT} NOT NULL REFERENCES gpu (id),
     order_id ${TEXT} NOT NULL UNIQUE REFERENCES orders (id),
     reviewer_id ${TEXT} NOT NULL,
     rating BIGINT NOT NULL CHECK (rating BETWEEN 1 AND 5),
     comment ${TEXT},
     created_at_ms BIGINT NOT NULL
   )`,
  `CREATE INDEX review_gpu ON review (gpu_id, id)`,
  // What one account thinks of an owner: its latest rating, and what its reviewed bookings have paid.
  `CREATE TABLE opinion (
     owner_id ${TEXT} NOT NULL REFERENCES owner (account_id),
     reviewer_id ${TEXT} NOT NULL,
     rating BIGINT NOT NULL CHECK (rating BETWEEN 1 AND 5),
     paid_minor BIGINT NOT NULL CHECK (paid_minor >= 0),
     weight BIGINT NOT NULL CHECK (weight >= 0),
     PRIMARY KEY (owner_id, reviewer_id),
     CHECK (owner_id <> reviewer_id)
   )`,
  // One row a step: what the price was made of.
  `CREATE TABLE price_history (
     gpu_id ${TEXT} NOT NULL REFERENCES gpu (id),
     at_ms BIGINT NOT NULL,
     price_minor BIGINT NOT NULL CHECK (price_minor > 0),
     base_minor BIGINT NOT NULL CHECK (base_minor > 0),
     previous_minor BIGINT,
     utilization DOUBLE PRECISION CHECK (utilization BETWEEN 0 AND 1),
     competing_offers BIGINT,
     competing_available BIGINT,
     PRIMARY KEY (gpu_id, at_ms),
     CHECK ((previous_minor IS NULL) = (utilization IS NULL))
   )`,
  `CREATE INDEX price_history_age ON price_history (at_ms)`,
  // Counters of a model, kept with each change of an offer. A sum of prices outgrows 2^53, so it is kept in two
  // parts. The times are integrals over booked and offered GPUs up to accrued_at_ms.
  `CREATE TABLE model_stats (
     model ${TEXT} PRIMARY KEY,
     total BIGINT NOT NULL CHECK (total >= 0),
     available BIGINT NOT NULL CHECK (available BETWEEN 0 AND total),
     rented BIGINT NOT NULL CHECK (rented BETWEEN 0 AND total),
     price_sum_whole BIGINT NOT NULL CHECK (price_sum_whole >= 0),
     price_sum_minor BIGINT NOT NULL CHECK (price_sum_minor >= 0),
     rented_gpu_ms DOUBLE PRECISION NOT NULL,
     offered_gpu_ms DOUBLE PRECISION NOT NULL,
     accrued_at_ms BIGINT NOT NULL
   )`,
  // The integrals as they stood at a full hour, and the counters in force before it. Only hours with a change.
  `CREATE TABLE model_hour (
     model ${TEXT} NOT NULL REFERENCES model_stats (model),
     hour_at_ms BIGINT NOT NULL,
     rented BIGINT NOT NULL,
     available BIGINT NOT NULL,
     rented_gpu_ms DOUBLE PRECISION NOT NULL,
     offered_gpu_ms DOUBLE PRECISION NOT NULL,
     PRIMARY KEY (model, hour_at_ms)
   )`,
  `CREATE INDEX model_hour_age ON model_hour (hour_at_ms)`,
];

export const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
