import { type Kysely, sql } from 'kysely';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

const statements = [
  `CREATE FUNCTION json_valid(value text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
     BEGIN
       RETURN value::json IS NOT NULL;
     EXCEPTION WHEN data_exception THEN RETURN false;
     END $$`,
  // What payments told of each sealed block. Parts and blocks may come in any order; only the unbroken run of whole
  // blocks from the first one on (is_linked) may be a snapshot. voting_supply_minor is known from then.
  `CREATE TABLE block (
     height BIGINT PRIMARY KEY CHECK (height >= 0),
     parts BIGINT NOT NULL CHECK (parts > 0),
     parts_received BIGINT NOT NULL CHECK (parts_received BETWEEN 0 AND parts),
     sealed_at_ms BIGINT NOT NULL,
     supply_minor BIGINT NOT NULL CHECK (supply_minor >= 0),
     treasury_minor BIGINT NOT NULL CHECK (treasury_minor BETWEEN 0 AND supply_minor),
     is_linked BIGINT NOT NULL DEFAULT 0 CHECK (is_linked IN (0, 1)),
     voting_supply_minor BIGINT CHECK (voting_supply_minor BETWEEN 0 AND supply_minor - treasury_minor),
     CHECK (is_linked = 0 OR (parts_received = parts AND voting_supply_minor IS NOT NULL))
   )`,
  `CREATE INDEX block_linked ON block (height) WHERE is_linked = 1`,
  `CREATE TABLE block_part (
     height BIGINT NOT NULL REFERENCES block (height),
     part BIGINT NOT NULL CHECK (part >= 0),
     PRIMARY KEY (height, part)
   )`,
  // A balance at every height that changed it: power at any block is one step down this key.
  `CREATE TABLE checkpoint (
     account_id ${TEXT} NOT NULL,
     height BIGINT NOT NULL REFERENCES block (height),
     balance_minor BIGINT NOT NULL CHECK (balance_minor >= 0),
     PRIMARY KEY (account_id, height)
   )`,
  `CREATE INDEX checkpoint_height ON checkpoint (height, account_id, balance_minor)`,

  `CREATE TABLE proposal (
     id ${TEXT} PRIMARY KEY,
     proposer_account_id ${TEXT} NOT NULL,
     title ${TEXT} NOT NULL,
     description ${TEXT} NOT NULL,
     type ${TEXT} NOT NULL CHECK (type IN ('parameter_change', 'fund_allocation', 'policy_change', 'protocol_upgrade')),
     target ${TEXT} NOT NULL CHECK (json_valid(target)),
     state ${TEXT} NOT NULL CHECK (state IN
       ('active', 'passed', 'rejected', 'queued', 'executing', 'executed', 'cancelled', 'execution_failed')),
     quorum_parts BIGINT NOT NULL CHECK (quorum_parts BETWEEN 1 AND 1000000),
     approval_parts BIGINT NOT NULL CHECK (approval_parts BETWEEN 1 AND 1000000),
     snapshot_height BIGINT NOT NULL REFERENCES block (height),
     voting_supply_minor BIGINT NOT NULL CHECK (voting_supply_minor >= 0),
     for_minor BIGINT NOT NULL DEFAULT 0 CHECK (for_minor >= 0),
     against_minor BIGINT NOT NULL DEFAULT 0 CHECK (against_minor >= 0),
     abstain_minor BIGINT NOT NULL DEFAULT 0 CHECK (abstain_minor >= 0),
     voters BIGINT NOT NULL DEFAULT 0 CHECK (voters >= 0),
     created_at_ms BIGINT NOT NULL,
     voting_ends_at_ms BIGINT NOT NULL CHECK (voting_ends_at_ms > created_at_ms),
     decided_at_ms BIGINT,
     timelock_ends_at_ms BIGINT,
     cancelled_at_ms BIGINT,
     cancelled_by ${TEXT},
     -- When the coordinator has the next thing to do with it; null at the end of its life.
     due_at_ms BIGINT,
     -- A veto is a cancellation with a reason, by whoever stands in cancelled_by.
     veto_reason ${TEXT} CHECK (veto_reason IS NULL OR
       (state = 'cancelled' AND cancelled_by IS NOT NULL AND timelock_ends_at_ms IS NOT NULL)),
     CHECK (for_minor + against_minor + abstain_minor <= voting_supply_minor),
     CHECK ((state IN ('rejected', 'executed', 'cancelled', 'execution_failed')) = (due_at_ms IS NULL)),
     CHECK ((state = 'cancelled') = (cancelled_at_ms IS NOT NULL)),
     CHECK (state NOT IN ('queued', 'executing', 'executed', 'execution_failed') OR timelock_ends_at_ms IS NOT NULL)
   )`,
  `CREATE INDEX proposal_due ON proposal (due_at_ms) WHERE due_at_ms IS NOT NULL`,
  `CREATE INDEX proposal_state ON proposal (state, id)`,
  `CREATE INDEX proposal_type ON proposal (type, id)`,
  `CREATE INDEX proposal_open ON proposal (proposer_account_id) WHERE due_at_ms IS NOT NULL`,

  // One voice an account; the newest counts. The id is new with each vote, so that a list can be paged by it.
  `CREATE TABLE vote (
     proposal_id ${TEXT} NOT NULL REFERENCES proposal (id),
     account_id ${TEXT} NOT NULL,
     id ${TEXT} NOT NULL UNIQUE,
     choice ${TEXT} NOT NULL CHECK (choice IN ('for', 'against', 'abstain')),
     weight_minor BIGINT NOT NULL CHECK (weight_minor > 0),
     reason ${TEXT},
     cast_at_ms BIGINT NOT NULL,
     PRIMARY KEY (proposal_id, account_id)
   )`,
  `CREATE INDEX vote_page ON vote (proposal_id, id)`,
  `CREATE INDEX vote_tally ON vote (proposal_id, choice, weight_minor)`,

  // The key makes it a fact of the schema that a proposal is executed once.
  `CREATE TABLE execution (
     proposal_id ${TEXT} PRIMARY KEY REFERENCES proposal (id),
     status ${TEXT} NOT NULL CHECK (status IN ('settling', 'executed', 'failed')),
     effect ${TEXT} CHECK (effect IS NULL OR json_valid(effect)),
     reason ${TEXT},
     executed_by ${TEXT},
     started_at_ms BIGINT NOT NULL,
     ended_at_ms BIGINT,
     CHECK ((status = 'failed') = (effect IS NULL)),
     CHECK ((status = 'failed') = (reason IS NOT NULL)),
     CHECK ((status = 'settling') = (ended_at_ms IS NULL))
   )`,
  // Every value a parameter was ever given: by a vote, or by an operator who says why.
  `CREATE TABLE parameter_change (
     name ${TEXT} NOT NULL,
     version BIGINT NOT NULL CHECK (version > 0),
     value ${TEXT} NOT NULL CHECK (json_valid(value)),
     proposal_id ${TEXT} UNIQUE REFERENCES proposal (id),
     reset_by ${TEXT},
     reset_reason ${TEXT},
     changed_at_ms BIGINT NOT NULL,
     PRIMARY KEY (name, version),
     CHECK ((proposal_id IS NULL) = (reset_by IS NOT NULL)),
     CHECK ((reset_by IS NULL) = (reset_reason IS NULL))
   )`,
  // Policies and upgrades as they were decided.
  `CREATE TABLE recorded_text (
     proposal_id ${TEXT} PRIMARY KEY REFERENCES proposal (id),
     subject ${TEXT} NOT NULL,
     text ${TEXT} NOT NULL,
     sha256 ${TEXT} NOT NULL CHECK (length(sha256) = 64),
     recorded_at_ms BIGINT NOT NULL
   )`,
];

export const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
