import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const statements = [
  // What an account owes because bitcoin that was credited has left the chain again: one row for each time that befell
  // an output. open: not made good yet, and so much cannot be spent. paid: taken from the account and given back to the
  // mint. returned: the output stands in the chain again, and what had been paid was given back.
  `CREATE TABLE exchange_debt (
     id TEXT PRIMARY KEY,
     account INTEGER NOT NULL REFERENCES account (id),
     invoice_id TEXT NOT NULL REFERENCES exchange_invoice (id),
     txid TEXT NOT NULL,
     vout INTEGER NOT NULL,
     value_sats INTEGER NOT NULL CHECK (value_sats > 0),
     amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
     status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'returned')),
     opened_at_ms INTEGER NOT NULL,
     closed_at_ms INTEGER,
     transfer_hash TEXT,
     FOREIGN KEY (txid, vout) REFERENCES exchange_output (txid, vout),
     CHECK ((status = 'open') = (closed_at_ms IS NULL)),
     CHECK (status <> 'open' OR transfer_hash IS NULL),
     CHECK (status <> 'paid' OR transfer_hash IS NOT NULL)
   ) STRICT, WITHOUT ROWID`,
  `CREATE UNIQUE INDEX exchange_debt_output ON exchange_debt (txid, vout) WHERE status <> 'returned'`,
  `CREATE INDEX exchange_debt_open ON exchange_debt (account) WHERE status = 'open'`,
  `CREATE INDEX exchange_debt_status ON exchange_debt (status, id)`,
  `CREATE INDEX exchange_debt_invoice ON exchange_debt (invoice_id)`,
  `CREATE TRIGGER exchange_debt_is_kept BEFORE DELETE ON exchange_debt
     BEGIN SELECT RAISE(ABORT, 'debts are never deleted'); END`,
  `CREATE TRIGGER exchange_debt_stays
     BEFORE UPDATE OF id, account, invoice_id, txid, vout, value_sats, amount_minor, opened_at_ms ON exchange_debt
     BEGIN SELECT RAISE(ABORT, 'a debt stays what it was'); END`,
  `CREATE TRIGGER exchange_debt_goes_on BEFORE UPDATE OF status ON exchange_debt
     WHEN old.status || '>' || new.status NOT IN ('open>paid', 'open>returned', 'paid>returned')
     BEGIN SELECT RAISE(ABORT, 'a debt is closed once'); END`,

  // The ways of 0001, and one more: bitcoin that was taken back takes its AITBC back to the mint.
  `DROP TRIGGER transfer_follows_the_rules`,
  `CREATE TRIGGER transfer_follows_the_rules BEFORE INSERT ON transfer
     WHEN (SELECT new.kind || ':' || d.kind || '>' || c.kind FROM account d, account c
           WHERE d.id = new.debit AND c.id = new.credit) NOT IN (
       'credit:mint>user', 'credit:mint>treasury', 'exchange:mint>user', 'exchange:user>mint', 'hold:user>escrow',
       'release:escrow>user', 'fee:escrow>platform', 'refund:escrow>user', 'treasury_share:platform>treasury',
       'allocation:treasury>user')
     BEGIN SELECT RAISE(ABORT, 'money of this kind does not go this way'); END`,
  `CREATE TRIGGER transfer_to_the_mint_pays_a_debt BEFORE INSERT ON transfer
     WHEN new.credit = 1 AND NOT EXISTS (SELECT 1 FROM exchange_debt
       WHERE status = 'open' AND account = new.debit AND amount_minor = new.amount_minor AND new.reference = 'debt:' || id)
     BEGIN SELECT RAISE(ABORT, 'only a debt goes back to the mint'); END`,
  // Whoever moves money out of an account, in whatever command: what is owed stays.
  `CREATE TRIGGER transfer_leaves_what_is_owed BEFORE INSERT ON transfer
     WHEN new.credit <> 1
       AND EXISTS (SELECT 1 FROM exchange_debt WHERE status = 'open' AND account = new.debit)
       AND (SELECT balance_minor FROM account WHERE id = new.debit) - new.amount_minor <
         (SELECT sum(amount_minor) FROM exchange_debt WHERE status = 'open' AND account = new.debit)
     BEGIN SELECT RAISE(ABORT, 'what is owed cannot be spent'); END`,
];

export const debts: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    for (const statement of statements) await sql.raw(statement).execute(db);
  },
};
