import { type Kysely, sql } from 'kysely';
import { guard, keep } from './rules.ts';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

const statements = [
  // One row for each key that addresses are derived from, so that no index is ever given out twice.
  `CREATE TABLE exchange_wallet (
     id ${TEXT} PRIMARY KEY,
     next_index BIGINT NOT NULL CHECK (next_index BETWEEN 0 AND 2147483648)
   )`,

  // An invoice. root_id is itself, or the invoice whose address it shares because money arrived after the credit.
  // reserved_sats is set while an amount on a shared address stands for this invoice alone.
  `CREATE TABLE exchange_invoice (
     id ${TEXT} PRIMARY KEY,
     account_id ${TEXT} NOT NULL,
     root_id ${TEXT} NOT NULL REFERENCES exchange_invoice (id),
     address ${TEXT} NOT NULL,
     script ${TEXT} NOT NULL,
     wallet_id ${TEXT} REFERENCES exchange_wallet (id),
     address_index BIGINT,
     reserved_sats BIGINT,
     amount_sats BIGINT NOT NULL CHECK (amount_sats >= 0),
     amount_minor BIGINT NOT NULL CHECK (amount_minor BETWEEN 0 AND 1000000000000000),
     rate_minor BIGINT NOT NULL CHECK (rate_minor > 0),
     created_at_ms BIGINT NOT NULL,
     expires_at_ms BIGINT NOT NULL,
     is_expired BIGINT NOT NULL DEFAULT 0 CHECK (is_expired IN (0, 1)),
     status ${TEXT} NOT NULL CHECK (status IN
       ('pending', 'processing', 'confirmed', 'underpaid', 'overpaid', 'late', 'expired')),
     received_sats BIGINT NOT NULL DEFAULT 0 CHECK (received_sats >= 0),
     confirmations BIGINT NOT NULL DEFAULT 0,
     confirmations_required BIGINT NOT NULL,
     credited_minor BIGINT CHECK (credited_minor > 0),
     credited_sats BIGINT CHECK (credited_sats > 0),
     late_rate_minor BIGINT,
     credit_txid ${TEXT},
     transfer_hash ${TEXT},
     credited_at_ms BIGINT,
     credit_refusal ${TEXT},
     looked_at_ms BIGINT NOT NULL DEFAULT 0,
     version BIGINT NOT NULL DEFAULT 0,
     updated_at_ms BIGINT NOT NULL,
     CHECK ((amount_sats > 0 AND amount_minor > 0) = (root_id = id)),
     CHECK ((credited_at_ms IS NULL) = (credited_minor IS NULL)),
     CHECK ((credited_at_ms IS NULL) = (credited_sats IS NULL)),
     CHECK ((credited_at_ms IS NULL) = (transfer_hash IS NULL)),
     CHECK (credited_at_ms IS NOT NULL OR status IN ('pending', 'processing', 'underpaid', 'expired')),
     CHECK (credited_at_ms IS NULL OR status IN ('confirmed', 'underpaid', 'overpaid', 'late'))
   )`,
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
  ...keep('exchange_invoice', 'invoices are never deleted'),
  `CREATE TRIGGER exchange_invoice_stays BEFORE UPDATE OF id, account_id, root_id, address, script, amount_sats, amount_minor, rate_minor, expires_at_ms ON exchange_invoice FOR EACH ROW
     EXECUTE FUNCTION refuse('an invoice stays what was agreed')`,
  `CREATE TRIGGER exchange_invoice_credits_once BEFORE UPDATE OF status, credited_minor, credited_sats, credited_at_ms, transfer_hash ON exchange_invoice FOR EACH ROW WHEN (old.credited_at_ms IS NOT NULL)
     EXECUTE FUNCTION refuse('an invoice is credited once')`,

  // Every output on the chain that paid to us. invoice_id is null when a shared address got an amount nobody was asked for.
  `CREATE TABLE exchange_output (
     txid ${TEXT} NOT NULL CHECK (length(txid) = 64),
     vout BIGINT NOT NULL CHECK (vout >= 0),
     invoice_id ${TEXT} REFERENCES exchange_invoice (id),
     script ${TEXT} NOT NULL,
     value_sats BIGINT NOT NULL CHECK (value_sats > 0),
     state ${TEXT} NOT NULL CHECK (state IN ('mempool', 'confirmed', 'reorged', 'replaced')),
     block_height BIGINT,
     block_hash ${TEXT},
     first_seen_ms BIGINT NOT NULL,
     is_credited BIGINT NOT NULL DEFAULT 0 CHECK (is_credited IN (0, 1)),
     PRIMARY KEY (txid, vout),
     CHECK ((state = 'confirmed') = (block_height IS NOT NULL)),
     CHECK ((state = 'confirmed') = (block_hash IS NOT NULL))
   )`,
  `CREATE INDEX exchange_output_invoice ON exchange_output (invoice_id)`,
  `CREATE INDEX exchange_output_script ON exchange_output (script)`,
  `CREATE INDEX exchange_output_height ON exchange_output (block_height) WHERE block_height IS NOT NULL`,
  `CREATE INDEX exchange_output_state ON exchange_output (state)`,
  ...keep('exchange_output', 'outputs are never deleted'),
  `CREATE TRIGGER exchange_output_is_credited_once BEFORE UPDATE OF invoice_id, is_credited ON exchange_output FOR EACH ROW WHEN (old.is_credited = 1)
     EXECUTE FUNCTION refuse('an output is credited once')`,

  // The best chain as far as it was looked at: its last blocks, to see by their hashes when some were taken back.
  `CREATE TABLE exchange_block (
     height BIGINT PRIMARY KEY CHECK (height >= 0),
     hash ${TEXT} NOT NULL UNIQUE CHECK (length(hash) = 64)
   )`,
  `CREATE TABLE exchange_cursor (
     id BIGINT PRIMARY KEY CHECK (id = 1),
     height BIGINT NOT NULL CHECK (height >= 0),
     hash ${TEXT} NOT NULL CHECK (length(hash) = 64)
   )`,

  // The local chain of a development installation. A transaction without a block waits in the mempool.
  `CREATE TABLE local_block (
     height BIGINT PRIMARY KEY CHECK (height >= 0),
     hash ${TEXT} NOT NULL UNIQUE,
     header BYTEA NOT NULL CHECK (length(header) = 80),
     time_s BIGINT NOT NULL
   )`,
  `CREATE TABLE local_transaction (
     txid ${TEXT} PRIMARY KEY,
     raw BYTEA NOT NULL,
     fee_sats BIGINT NOT NULL CHECK (fee_sats >= 0),
     height BIGINT REFERENCES local_block (height),
     position BIGINT NOT NULL,
     CHECK (position > 0 OR height IS NOT NULL)
   )`,
  `CREATE INDEX local_transaction_place ON local_transaction (height, position)`,
  `CREATE TABLE local_output (
     txid ${TEXT} NOT NULL REFERENCES local_transaction (txid) ON DELETE CASCADE,
     vout BIGINT NOT NULL,
     script ${TEXT} NOT NULL,
     value_sats BIGINT NOT NULL CHECK (value_sats >= 0),
     spent_by ${TEXT} REFERENCES local_transaction (txid) ON DELETE SET NULL,
     PRIMARY KEY (txid, vout)
   )`,
  `CREATE INDEX local_output_script ON local_output (script)`,
  `CREATE INDEX local_output_spent ON local_output (spent_by) WHERE spent_by IS NOT NULL`,

  // What an account owes because bitcoin that was credited has left the chain again: one row for each time that befell
  // an output. open: not made good yet, and so much cannot be spent. paid: taken from the account and given back to the
  // mint. returned: the output stands in the chain again, and what had been paid was given back.
  `CREATE TABLE exchange_debt (
     id ${TEXT} PRIMARY KEY,
     account BIGINT NOT NULL REFERENCES account (id),
     invoice_id ${TEXT} NOT NULL REFERENCES exchange_invoice (id),
     txid ${TEXT} NOT NULL,
     vout BIGINT NOT NULL,
     value_sats BIGINT NOT NULL CHECK (value_sats > 0),
     amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
     status ${TEXT} NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'returned')),
     opened_at_ms BIGINT NOT NULL,
     closed_at_ms BIGINT,
     transfer_hash ${TEXT},
     FOREIGN KEY (txid, vout) REFERENCES exchange_output (txid, vout),
     CHECK ((status = 'open') = (closed_at_ms IS NULL)),
     CHECK (status <> 'open' OR transfer_hash IS NULL),
     CHECK (status <> 'paid' OR transfer_hash IS NOT NULL)
   )`,
  `CREATE UNIQUE INDEX exchange_debt_output ON exchange_debt (txid, vout) WHERE status <> 'returned'`,
  `CREATE INDEX exchange_debt_open ON exchange_debt (account) WHERE status = 'open'`,
  `CREATE INDEX exchange_debt_status ON exchange_debt (status, id)`,
  `CREATE INDEX exchange_debt_invoice ON exchange_debt (invoice_id)`,
  ...keep('exchange_debt', 'debts are never deleted'),
  `CREATE TRIGGER exchange_debt_stays BEFORE UPDATE OF id, account, invoice_id, txid, vout, value_sats, amount_minor, opened_at_ms ON exchange_debt FOR EACH ROW
     EXECUTE FUNCTION refuse('a debt stays what it was')`,
  `CREATE TRIGGER exchange_debt_goes_on BEFORE UPDATE OF status ON exchange_debt FOR EACH ROW WHEN (old.status || '>' || new.status NOT IN ('open>paid', 'open>returned', 'paid>returned'))
     EXECUTE FUNCTION refuse('a debt is closed once')`,

  ...guard({
    name: 'transfer_to_the_mint_pays_a_debt',
    when: 'BEFORE INSERT ON transfer',
    refuses: `NEW.credit = 1 AND NOT EXISTS (SELECT 1 FROM exchange_debt
       WHERE status = 'open' AND account = NEW.debit AND amount_minor = NEW.amount_minor
         AND NEW.reference = 'debt:' || id)`,
    message: 'only a debt goes back to the mint',
  }),
  // Whoever moves money out of an account, in whatever command: what is owed stays. AFTER, and named to run before
  // transfer_moves: of a statement with several rows each then sees what those before it moved, as on SQLite.
  ...guard({
    name: 'transfer_leaves_what_is_owed',
    when: 'AFTER INSERT ON transfer',
    refuses: `NEW.credit <> 1
       AND EXISTS (SELECT 1 FROM exchange_debt WHERE status = 'open' AND account = NEW.debit)
       AND (SELECT balance_minor FROM account WHERE id = NEW.debit) - NEW.amount_minor <
         (SELECT sum(amount_minor) FROM exchange_debt WHERE status = 'open' AND account = NEW.debit)`,
    message: 'what is owed cannot be spent',
  }),
];

export const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
