import { SYSTEM_ADDRESSES } from '@aitbc/contracts';
import { type Kysely, sql } from 'kysely';

const statements = [
  // balance_minor is a projection of transfer, moved by transfer_moves alone; sealed_minor is what it was at the last
  // sealed block, moved by the sealer. The mint's balance is minus the supply, 60,000,000 AITBC at most: below 2^26,
  // where doubles stand closer than 10^-8, every balance is exact as a JSON number with 8 decimals.
  `CREATE TABLE account (
     id INTEGER PRIMARY KEY,
     address TEXT NOT NULL UNIQUE,
     account_id TEXT UNIQUE,
     kind TEXT NOT NULL CHECK (kind IN ('user', 'escrow', 'mint', 'platform', 'treasury')),
     balance_minor INTEGER NOT NULL DEFAULT 0,
     sealed_minor INTEGER NOT NULL DEFAULT 0,
     held_minor INTEGER NOT NULL DEFAULT 0 CHECK (held_minor >= 0),
     tx_count INTEGER NOT NULL DEFAULT 0,
     first_seen_ms INTEGER NOT NULL,
     last_seen_ms INTEGER NOT NULL,
     CHECK ((kind = 'user') = (account_id IS NOT NULL)),
     CHECK (balance_minor >= 0 OR kind = 'mint'),
     CHECK (sealed_minor >= 0 OR kind = 'mint'),
     CHECK (balance_minor BETWEEN -6000000000000000 AND 6000000000000000)
   ) STRICT`,
  `CREATE INDEX account_kind ON account (kind, id)`,
  `CREATE TRIGGER account_is_kept BEFORE DELETE ON account
     BEGIN SELECT RAISE(ABORT, 'accounts are never deleted'); END`,
  `CREATE TRIGGER account_stays BEFORE UPDATE OF id, address, account_id, kind ON account
     BEGIN SELECT RAISE(ABORT, 'an account stays who it is'); END`,

  // Double entry: one row is both legs, so they are equal. seq has no gaps (nothing is ever deleted), so that a block
  // is a range of it and sealing touches no transfer.
  `CREATE TABLE transfer (
     seq INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
     debit INTEGER NOT NULL REFERENCES account (id),
     credit INTEGER NOT NULL REFERENCES account (id),
     amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
     kind TEXT NOT NULL CHECK (kind IN
       ('credit', 'exchange', 'hold', 'release', 'fee', 'refund', 'treasury_share', 'allocation')),
     reference TEXT NOT NULL CHECK (length(reference) BETWEEN 1 AND 100 AND instr(reference, char(10)) = 0),
     created_at_ms INTEGER NOT NULL,
     CHECK (debit <> credit)
   ) STRICT`,
  `CREATE INDEX transfer_debit ON transfer (debit, seq)`,
  `CREATE INDEX transfer_credit ON transfer (credit, seq)`,
  `CREATE TRIGGER transfer_is_kept BEFORE DELETE ON transfer
     BEGIN SELECT RAISE(ABORT, 'transfers are never deleted'); END`,
  `CREATE TRIGGER transfer_stays BEFORE UPDATE ON transfer
     BEGIN SELECT RAISE(ABORT, 'transfers are never changed'); END`,

  `CREATE TABLE job (
     id TEXT PRIMARY KEY,
     owner_account_id TEXT,
     started_attempt INTEGER NOT NULL DEFAULT 0,
     miner_id TEXT,
     miner_account_id TEXT,
     deadline_at_ms INTEGER,
     ended_status TEXT CHECK (ended_status IN ('completed', 'failed', 'cancelled', 'expired')),
     ended_at_ms INTEGER
   ) STRICT, WITHOUT ROWID`,
  // What market said of an order; its end may be heard before its beginning.
  `CREATE TABLE booking (
     order_id TEXT PRIMARY KEY,
     owner_account_id TEXT,
     end_pay_minor INTEGER CHECK (end_pay_minor >= 0),
     end_reason TEXT
   ) STRICT, WITHOUT ROWID`,

  `CREATE TABLE payment (
     id TEXT PRIMARY KEY,
     job_id TEXT UNIQUE REFERENCES job (id),
     order_id TEXT UNIQUE REFERENCES booking (order_id),
     payer INTEGER NOT NULL REFERENCES account (id),
     escrow INTEGER UNIQUE REFERENCES account (id),
     credential_id TEXT,
     amount_minor INTEGER NOT NULL CHECK (amount_minor BETWEEN 1 AND 1000000000000000),
     fee_basis_points INTEGER NOT NULL CHECK (fee_basis_points BETWEEN 0 AND 10000),
     status TEXT NOT NULL CHECK (status IN ('escrowed', 'released', 'refunded', 'failed')),
     failure_code TEXT,
     failure_message TEXT,
     created_at_ms INTEGER NOT NULL,
     updated_at_ms INTEGER NOT NULL,
     expires_at_ms INTEGER,
     CHECK ((job_id IS NULL) <> (order_id IS NULL)),
     CHECK ((status = 'failed') = (escrow IS NULL)),
     CHECK ((status = 'failed') = (failure_code IS NOT NULL))
   ) STRICT`,
  `CREATE INDEX payment_held ON payment (expires_at_ms) WHERE status = 'escrowed'`,
  `CREATE INDEX payment_held_of ON payment (payer, amount_minor) WHERE status = 'escrowed'`,
  `CREATE TRIGGER payment_is_kept BEFORE DELETE ON payment
     BEGIN SELECT RAISE(ABORT, 'payments are never deleted'); END`,
  `CREATE TRIGGER payment_stays BEFORE UPDATE OF id, job_id, order_id, payer, escrow, amount_minor, fee_basis_points ON payment
     BEGIN SELECT RAISE(ABORT, 'a payment stays what was agreed'); END`,

  // The decision, once a payment: release XOR refund. settled_at_ms is null until its transfers are made. A booking that
  // ended early is a release with a part that goes back.
  `CREATE TABLE resolution (
     payment_id TEXT PRIMARY KEY REFERENCES payment (id),
     amount_minor INTEGER NOT NULL,
     kind TEXT NOT NULL CHECK (kind IN ('release', 'refund')),
     payee_account_id TEXT,
     miner_id TEXT,
     earned_minor INTEGER NOT NULL CHECK (earned_minor >= 0),
     fee_minor INTEGER NOT NULL CHECK (fee_minor >= 0),
     refunded_minor INTEGER NOT NULL CHECK (refunded_minor >= 0),
     reason TEXT NOT NULL,
     decided_by TEXT,
     decided_at_ms INTEGER NOT NULL,
     due_at_ms INTEGER NOT NULL,
     settled_at_ms INTEGER,
     CHECK (earned_minor + fee_minor + refunded_minor = amount_minor),
     CHECK (kind = 'refund' OR payee_account_id IS NOT NULL),
     CHECK (kind = 'release' OR refunded_minor = amount_minor)
   ) STRICT, WITHOUT ROWID`,
  `CREATE INDEX resolution_due ON resolution (due_at_ms) WHERE settled_at_ms IS NULL`,
  `CREATE TRIGGER resolution_is_kept BEFORE DELETE ON resolution
     BEGIN SELECT RAISE(ABORT, 'resolutions are never deleted'); END`,
  `CREATE TRIGGER resolution_stays
     BEFORE UPDATE OF payment_id, amount_minor, kind, payee_account_id, earned_minor, fee_minor, refunded_minor ON resolution
     BEGIN SELECT RAISE(ABORT, 'a decision stays'); END`,
  `CREATE TRIGGER resolution_settles_once BEFORE UPDATE OF settled_at_ms ON resolution
     WHEN old.settled_at_ms IS NOT NULL
     BEGIN SELECT RAISE(ABORT, 'settled once'); END`,
  `CREATE TRIGGER resolution_needs_funds BEFORE INSERT ON resolution
     WHEN NOT EXISTS (SELECT 1 FROM payment
       WHERE id = new.payment_id AND status = 'escrowed' AND amount_minor = new.amount_minor)
     BEGIN SELECT RAISE(ABORT, 'only what is held can be resolved'); END`,
  `CREATE TRIGGER payment_resolves BEFORE UPDATE OF status ON payment
     WHEN old.status <> 'escrowed' OR NOT EXISTS (SELECT 1 FROM resolution
       WHERE payment_id = new.id AND settled_at_ms IS NOT NULL
         AND new.status = CASE kind WHEN 'release' THEN 'released' ELSE 'refunded' END)
     BEGIN SELECT RAISE(ABORT, 'a payment ends once, as it was decided'); END`,
  `CREATE TRIGGER payment_holds AFTER INSERT ON payment WHEN new.status = 'escrowed'
     BEGIN UPDATE account SET held_minor = held_minor + new.amount_minor WHERE id = new.payer; END`,
  `CREATE TRIGGER payment_lets_go AFTER UPDATE OF status ON payment
     BEGIN UPDATE account SET held_minor = held_minor - new.amount_minor WHERE id = new.payer; END`,

  // Which way each kind may go, and that escrow opens by a decision only.
  `CREATE TRIGGER transfer_follows_the_rules BEFORE INSERT ON transfer
     WHEN (SELECT new.kind || ':' || d.kind || '>' || c.kind FROM account d, account c
           WHERE d.id = new.debit AND c.id = new.credit) NOT IN (
       'credit:mint>user', 'credit:mint>treasury', 'exchange:mint>user', 'hold:user>escrow', 'release:escrow>user',
       'fee:escrow>platform', 'refund:escrow>user', 'treasury_share:platform>treasury', 'allocation:treasury>user')
     BEGIN SELECT RAISE(ABORT, 'money of this kind does not go this way'); END`,
  `CREATE TRIGGER transfer_leaves_escrow_by_decision BEFORE INSERT ON transfer
     WHEN new.kind IN ('release', 'fee', 'refund') AND NOT EXISTS (SELECT 1 FROM resolution
       JOIN payment ON payment.id = resolution.payment_id
       WHERE payment_id = new.reference AND payment.escrow = new.debit AND new.amount_minor = CASE new.kind
         WHEN 'release' THEN earned_minor WHEN 'fee' THEN fee_minor ELSE refunded_minor END)
     BEGIN SELECT RAISE(ABORT, 'escrow opens by a decision only'); END`,
  `CREATE TRIGGER transfer_moves AFTER INSERT ON transfer
     BEGIN
       UPDATE account SET balance_minor = balance_minor - new.amount_minor, tx_count = tx_count + 1,
         first_seen_ms = iif(tx_count = 0, new.created_at_ms, first_seen_ms), last_seen_ms = new.created_at_ms
         WHERE id = new.debit;
       UPDATE account SET balance_minor = balance_minor + new.amount_minor, tx_count = tx_count + 1,
         first_seen_ms = iif(tx_count = 0, new.created_at_ms, first_seen_ms), last_seen_ms = new.created_at_ms
         WHERE id = new.credit;
     END`,

  // What each credential has spent and not got back, for its cap.
  `CREATE TABLE credential_spend (
     credential_id TEXT PRIMARY KEY,
     spent_minor INTEGER NOT NULL CHECK (spent_minor >= 0)
   ) STRICT, WITHOUT ROWID`,

  // Why the mint credited, and who said so.
  `CREATE TABLE credit (
     id TEXT PRIMARY KEY,
     account INTEGER NOT NULL REFERENCES account (id),
     amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
     reason TEXT NOT NULL CHECK (length(reason) > 0),
     credited_by TEXT NOT NULL,
     created_at_ms INTEGER NOT NULL
   ) STRICT`,
  `CREATE TABLE allocation (
     proposal_id TEXT PRIMARY KEY,
     recipient_account_id TEXT NOT NULL,
     amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
     failure TEXT,
     created_at_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,

  `CREATE TABLE block (
     height INTEGER PRIMARY KEY CHECK (height >= 0),
     hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
     previous_hash TEXT NOT NULL UNIQUE CHECK (length(previous_hash) = 64),
     merkle_root TEXT NOT NULL CHECK (length(merkle_root) = 64),
     first_seq INTEGER NOT NULL REFERENCES transfer (seq),
     last_seq INTEGER NOT NULL UNIQUE REFERENCES transfer (seq),
     tx_count INTEGER NOT NULL CHECK (tx_count > 0),
     sealed_at_ms INTEGER NOT NULL,
     proposer TEXT NOT NULL REFERENCES signing_key (kid),
     signature TEXT NOT NULL,
     CHECK (tx_count = last_seq - first_seq + 1)
   ) STRICT`,
  `CREATE TRIGGER block_is_kept BEFORE DELETE ON block
     BEGIN SELECT RAISE(ABORT, 'blocks are never deleted'); END`,
  `CREATE TRIGGER block_stays BEFORE UPDATE ON block
     BEGIN SELECT RAISE(ABORT, 'blocks are never changed'); END`,
  `CREATE TRIGGER block_follows BEFORE INSERT ON block
     WHEN NOT (
       (new.height = 0 AND new.first_seq = 1 AND new.previous_hash = printf('%.64d', 0)
         AND NOT EXISTS (SELECT 1 FROM block))
       OR EXISTS (SELECT 1 FROM block WHERE height = new.height - 1 AND hash = new.previous_hash
         AND last_seq = new.first_seq - 1 AND sealed_at_ms <= new.sealed_at_ms)
     )
     BEGIN SELECT RAISE(ABORT, 'a block follows the one before it'); END`,

  // private_pkcs8 stays null when the key comes from the environment, as it must in production.
  `CREATE TABLE signing_key (
     kid TEXT PRIMARY KEY,
     x TEXT NOT NULL UNIQUE,
     private_pkcs8 TEXT,
     created_at_ms INTEGER NOT NULL
   ) STRICT`,
];

const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
  const system = [
    [1, 'mint'],
    [2, 'platform'],
    [3, 'treasury'],
  ] as const;
  for (const [id, kind] of system) {
    await sql`INSERT INTO account (id, address, kind, first_seen_ms, last_seen_ms)
      VALUES (${id}, ${SYSTEM_ADDRESSES[kind]}, ${kind}, ${Date.now()}, ${Date.now()})`.execute(db);
  }
};

export const ledger = { up: create };
