import { type Kysely, sql } from 'kysely';

const statements = [
  // What payments told of each sealed block. Parts and blocks may come in any order; only the unbroken run of whole
  // blocks from the first one on (is_linked) may be a snapshot. voting_supply_minor is known from then.
  `CREATE TABLE block (
     height INTEGER PRIMARY KEY CHECK (height >= 0),
     parts INTEGER NOT NULL CHECK (parts > 0),
     parts_received INTEGER NOT NULL CHECK (parts_received BETWEEN 0 AND parts),
     sealed_at_ms INTEGER NOT NULL,
     supply_minor INTEGER NOT NULL CHECK (supply_minor >= 0),
     treasury_minor INTEGER NOT NULL CHECK (treasury_minor BETWEEN 0 AND supply_minor),
     is_linked INTEGER NOT NULL DEFAULT 0 CHECK (is_linked IN (0, 1)),
     voting_supply_minor INTEGER CHECK (voting_supply_minor BETWEEN 0 AND supply_minor - treasury_minor),
     CHECK (is_linked = 0 OR (parts_received = parts AND voting_supply_minor IS NOT NULL))
   ) STRICT`,
  `CREATE INDEX block_linked ON block (height) WHERE is_linked = 1`,
  `CREATE TABLE block_part (
     height INTEGER NOT NULL REFERENCES block (height),
     part INTEGER NOT NULL CHECK (part >= 0),
     PRIMARY KEY (height, part)
   ) STRICT, WITHOUT ROWID`,
  // A balance at every height that changed it: power at any block is one step down this key.
  `CREATE TABLE checkpoint (
     account_id TEXT NOT NULL,
     height INTEGER NOT NULL REFERENCES block (height),
     balance_minor INTEGER NOT NULL CHECK (balance_minor >= 0),
     PRIMARY KEY (account_id, height)
   ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX checkpoint_height ON checkpoint (height, account_id, balance_minor)`,

  `CREATE TABLE proposal (
     id TEXT PRIMARY KEY,
     proposer_account_id TEXT NOT NULL,
     title TEXT NOT NULL,
     description TEXT NOT NULL,
     type TEXT NOT NULL CHECK (type IN ('parameter_change', 'fund_allocation', 'policy_change', 'protocol_upgrade')),
     target TEXT NOT NULL CHECK (json_valid(target)),
     state TEXT NOT NULL CHECK (state IN
       ('active', 'passed', 'rejected', 'queued', 'executing', 'executed', 'cancelled', 'execution_failed')),
     quorum_parts INTEGER NOT NULL CHECK (quorum_parts BETWEEN 1 AND 1000000),
     approval_parts INTEGER NOT NULL CHECK (approval_parts BETWEEN 1 AND 1000000),
     snapshot_height INTEGER NOT NULL REFERENCES block (height),
     voting_supply_minor INTEGER NOT NULL CHECK (voting_supply_minor >= 0),
     for_minor INTEGER NOT NULL DEFAULT 0 CHECK (for_minor >= 0),
     against_minor INTEGER NOT NULL DEFAULT 0 CHECK (against_minor >= 0),
     abstain_minor INTEGER NOT NULL DEFAULT 0 CHECK (abstain_minor >= 0),
     voters INTEGER NOT NULL DEFAULT 0 CHECK (voters >= 0),
     created_at_ms INTEGER NOT NULL,
     voting_ends_at_ms INTEGER NOT NULL CHECK (voting_ends_at_ms > created_at_ms),
     decided_at_ms INTEGER,
     timelock_ends_at_ms INTEGER,
     cancelled_at_ms INTEGER,
     cancelled_by TEXT,
     -- When the coordinator has the next thing to do with it; null at the end of its life.
     due_at_ms INTEGER,
     CHECK (for_minor + against_minor + abstain_minor <= voting_supply_minor),
     CHECK ((state IN ('rejected', 'executed', 'cancelled', 'execution_failed')) = (due_at_ms IS NULL)),
     CHECK ((state = 'cancelled') = (cancelled_at_ms IS NOT NULL)),
     CHECK (state NOT IN ('queued', 'executing', 'executed', 'execution_failed') OR timelock_ends_at_ms IS NOT NULL)
   ) STRICT`,
  `CREATE INDEX proposal_due ON proposal (due_at_ms) WHERE due_at_ms IS NOT NULL`,
  `CREATE INDEX proposal_state ON proposal (state, id)`,
  `CREATE INDEX proposal_type ON proposal (type, id)`,
  `CREATE INDEX proposal_open ON proposal (proposer_account_id) WHERE due_at_ms IS NOT NULL`,

  // One voice an account; the newest counts. The id is new with each vote, so that a list can be paged by it.
  `CREATE TABLE vote (
     proposal_id TEXT NOT NULL REFERENCES proposal (id),
     account_id TEXT NOT NULL,
     id TEXT NOT NULL UNIQUE,
     choice TEXT NOT NULL CHECK (choice IN ('for', 'against', 'abstain')),
     weight_minor INTEGER NOT NULL CHECK (weight_minor > 0),
     reason TEXT,
     cast_at_ms INTEGER NOT NULL,
     PRIMARY KEY (proposal_id, account_id)
   ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX vote_page ON vote (proposal_id, id)`,
  `CREATE INDEX vote_tally ON vote (proposal_id, choice, weight_minor)`,

  // The key makes it a fact of the schema that a proposal is executed once.
  `CREATE TABLE execution (
     proposal_id TEXT PRIMARY KEY REFERENCES proposal (id),
     status TEXT NOT NULL CHECK (status IN ('settling', 'executed', 'failed')),
     effect TEXT CHECK (effect IS NULL OR json_valid(effect)),
     reason TEXT,
     executed_by TEXT,
     started_at_ms INTEGER NOT NULL,
     ended_at_ms INTEGER,
     CHECK ((status = 'failed') = (effect IS NULL)),
     CHECK ((status = 'failed') = (reason IS NOT NULL)),
     CHECK ((status = 'settling') = (ended_at_ms IS NULL))
   ) STRICT`,
  // Every value a vote ever gave a parameter.
  `CREATE TABLE parameter_change (
     name TEXT NOT NULL,
     version INTEGER NOT NULL CHECK (version > 0),
     value TEXT NOT NULL CHECK (json_valid(value)),
     proposal_id TEXT NOT NULL UNIQUE REFERENCES proposal (id),
     changed_at_ms INTEGER NOT NULL,
     PRIMARY KEY (name, version)
   ) STRICT, WITHOUT ROWID`,
  // Policies and upgrades as they were decided.
  `CREATE TABLE recorded_text (
     proposal_id TEXT PRIMARY KEY REFERENCES proposal (id),
     subject TEXT NOT NULL,
     text TEXT NOT NULL,
     sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
     recorded_at_ms INTEGER NOT NULL
   ) STRICT`,
];

const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};

export const governance = { up: create };
