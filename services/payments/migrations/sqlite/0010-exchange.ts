import { type Kysely, sql } from 'kysely';

const statements = [
  // One row for each key that addresses are derived from, so that no index is ever given out twice.
  `CREATE TABLE exchange_wallet (
     id TEXT PRIMARY KEY,
     next_index INTEGER NOT NULL CHECK (next_index BETWEEN 0 AND 2147483648)
   ) STRICT, WITHOUT ROWID`,

  // An invoice. root_id is itself, or the invoice whose address it shares because money arrived after the credit.
  // reserved_sats is set while an amount on a shared address stands for this invoice alone.
  `CREATE TABLE exchange_invoice (
     id TEXT PRIMARY KEY,
     account_id TEXT NOT NULL,
     root_id TEXT NOT NULL REFERENCES exchange_invoice (id),
     address TEXT NOT NULL,
     script TEXT NOT NULL,
     wallet_id TEXT REFERENCES exchange_wallet (id),
     address_index INTEGER,
     reserved_sats INTEGER,
     amount_sats INTEGER NOT NULL CHECK (amount_sats >= 0),
     amount_minor INTEGER NOT NULL CHECK (amount_minor BETWEEN 0 AND 1000000000000000),
     rate_minor INTEGER NOT NULL CHECK (rate_minor > 0),
     created_at_ms INTEGER NOT NULL,
     expires_at_ms INTEGER NOT NULL,
     is_expired INTEGER NOT NULL DEFAULT 0 CHECK (is_expired IN (0, 1)),
     status TEXT NOT NULL CHECK (status IN
       ('pending', 'processing', 'confirmed', 'underpaid', 'overpaid', 'late', 'expired')),
     received_sats INTEGER NOT NULL DEFAULT 0 CHECK (received_sats >= 0),
     confirmations INTEGER NOT NULL DEFAULT 0,
     confirmations_required INTEGER NOT NULL,
     credited_minor INTEGER CHECK (credited_minor > 0),
     credited_sats INTEGER CHECK (credited_sats > 0),
     late_rate_minor INTEGER,
     credit_txid TEXT,
     transfer_hash TEXT,
     credited_at_ms INTEGER,
     credit_refusal TEXT,
     looked_at_ms INTEGER NOT NULL DEFAULT 0,
     version INTEGER NOT NULL DEFAULT 0,
     updated_at_ms INTEGER NOT NULL,
     CHECK ((amount_sats > 0 AND amount_minor > 0) = (root_id = id)),
     CHECK ((credited_at_ms IS NULL) = (credited_minor IS NULL)),
     CHECK ((credited_at_ms IS NULL) = (credited_sats IS NULL)),
     CHECK ((credited_at_ms IS NULL) = (transfer_hash IS NULL)),
     CHECK (credited_at_ms IS NOT NULL OR status IN ('pending', 'processing', 'underpaid', 'expired')),
     CHECK (credited_at_ms IS NULL OR status IN ('confirmed', 'underpaid', 'overpaid', 'late'))
   ) STRICT`,
  `CREATE UNIQUE INDEX exchange_invoice_derived ON exchange_invoice (wallet_id, address_index)
     WHERE root_id = id AND wallet_id IS NOT NULL`,
  `CREATE UNIQUE INDEX exchange_invoice_amount ON exchange_invoice (script, reserved_sats)
     WHERE reserved_sats IS NOT NULL`,
  // At most one invoice of a family is open: the one that takes what arrives next.
  `CREATE UNIQUE INDEX exchange_invoice_open ON exchange_invoice (root_id) WHERE credited_at_ms IS NULL`,
  `CREATE INDEX exchange_invoice_family ON exchange_invoice (root_id)`,
  `CREATE INDEX exchange_invoice_script ON exchange_invoice (script)`,
  `CREATE INDEX exchange_invoice_account ON exchange_invoice (account_id, id)`,
  `CREATE INDEX exchange_invoice_timer ON exchange_invoice (expires_at_ms) WHERE is_expired = 0`,
  `CREATE INDEX exchange_invoice_watched ON exchange_invoice (status, looked_at_ms) WHERE credited_at_ms IS NULL`,
  `CREATE INDEX exchange_invoice_resting ON exchange_invoice (expires_at_ms, looked_at_ms)`,
  `CREATE TRIGGER exchange_invoice_is_kept BEFORE DELETE ON exchange_invoice
     BEGIN SELECT RAISE(ABORT, 'invoices are never deleted'); END`,
  `CREATE TRIGGER exchange_invoice_stays
     BEFORE UPDATE OF id, account_id, root_id, address, script, amount_sats, amount_minor, rate_minor, expires_at_ms
     ON exchange_invoice
     BEGIN SELECT RAISE(ABORT, 'an invoice stays what was agreed'); END`,
  `CREATE TRIGGER exchange_invoice_credits_once
     BEFORE UPDATE OF status, credited_minor, credited_sats, credited_at_ms, transfer_hash ON exchange_invoice
     WHEN old.credited_at_ms IS NOT NULL
     BEGIN SELECT RAISE(ABORT, 'an invoice is credited once'); END`,

  // Every output on the chain that paid to us. invoice_id is null when a shared address got an amount nobody was asked for.
  `CREATE TABLE exchange_output (
     txid TEXT NOT NULL CHECK (length(txid) = 64),
     vout INTEGER NOT NULL CHECK (vout >= 0),
     invoice_id TEXT REFERENCES exchange_invoice (id),
     script TEXT NOT NULL,
     value_sats INTEGER NOT NULL CHECK (value_sats > 0),
     state TEXT NOT NULL CHECK (state IN ('mempool', 'confirmed', 'reorged', 'replaced')),
     block_height INTEGER,
     block_hash TEXT,
     first_seen_ms INTEGER NOT NULL,
     is_credited INTEGER NOT NULL DEFAULT 0 CHECK (is_credited IN (0, 1)),
     PRIMARY KEY (txid, vout),
     CHECK ((state = 'confirmed') = (block_height IS NOT NULL)),
     CHECK ((state = 'confirmed') = (block_hash IS NOT NULL))
   ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX exchange_output_invoice ON exchange_output (invoice_id)`,
  `CREATE INDEX exchange_output_script ON exchange_output (script)`,
  `CREATE INDEX exchange_output_height ON exchange_output (block_height) WHERE block_height IS NOT NULL`,
  `CREATE INDEX exchange_output_state ON exchange_output (state)`,
  `CREATE TRIGGER exchange_output_is_kept BEFORE DELETE ON exchange_output
     BEGIN SELECT RAISE(ABORT, 'outputs are never deleted'); END`,
  `CREATE TRIGGER exchange_output_is_credited_once BEFORE UPDATE OF invoice_id, is_credited ON exchange_output
     WHEN old.is_credited = 1
     BEGIN SELECT RAISE(ABORT, 'an output is credited once'); END`,

  // The best chain as far as it was looked at: its last blocks, to see by their hashes when some were taken back.
  `CREATE TABLE exchange_block (
     height INTEGER PRIMARY KEY CHECK (height >= 0),
     hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64)
   ) STRICT`,
  `CREATE TABLE exchange_cursor (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     height INTEGER NOT NULL CHECK (height >= 0),
     hash TEXT NOT NULL CHECK (length(hash) = 64)
   ) STRICT`,

  // The local chain of a development installation. A transaction without a block waits in the mempool.
  `CREATE TABLE local_block (
     height INTEGER PRIMARY KEY CHECK (height >= 0),
     hash TEXT NOT NULL UNIQUE,
     header BLOB NOT NULL CHECK (length(header) = 80),
     time_s INTEGER NOT NULL
   ) STRICT`,
  `CREATE TABLE local_transaction (
     txid TEXT PRIMARY KEY,
     raw BLOB NOT NULL,
     fee_sats INTEGER NOT NULL CHECK (fee_sats >= 0),
     height INTEGER REFERENCES local_block (height),
     position INTEGER NOT NULL,
     CHECK (position > 0 OR height IS NOT NULL)
   ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX local_transaction_place ON local_transaction (height, position)`,
  `CREATE TABLE local_output (
     txid TEXT NOT NULL REFERENCES local_transaction (txid) ON DELETE CASCADE,
     vout INTEGER NOT NULL,
     script TEXT NOT NULL,
     value_sats INTEGER NOT NULL CHECK (value_sats >= 0),
     spent_by TEXT REFERENCES local_transaction (txid) ON DELETE SET NULL,
     PRIMARY KEY (txid, vout)
   ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX local_output_script ON local_output (script)`,
  `CREATE INDEX local_output_spent ON local_output (spent_by) WHERE spent_by IS NOT NULL`,
];

export const exchange = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
