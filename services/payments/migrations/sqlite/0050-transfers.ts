import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

interface Piece {
  type: 'table' | 'index' | 'trigger';
  tbl_name: string;
  name: string;
  sql: string;
}

// Which kinds there are is said once, by transfer_follows_the_rules; a list of them in a CHECK as well would ask for a
// copy of the whole ledger with each new kind, as it does here for the last time.
const transfer = `CREATE TABLE transfer_2 (
     seq INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
     debit INTEGER NOT NULL REFERENCES account (id),
     credit INTEGER NOT NULL REFERENCES account (id),
     amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
     kind TEXT NOT NULL,
     reference TEXT NOT NULL CHECK (length(reference) BETWEEN 1 AND 100 AND instr(reference, char(10)) = 0),
     created_at_ms INTEGER NOT NULL,
     CHECK (debit <> credit)
   ) STRICT`;

const rules = `CREATE TRIGGER transfer_follows_the_rules BEFORE INSERT ON transfer
     WHEN (SELECT new.kind || ':' || d.kind || '>' || c.kind FROM account d, account c
           WHERE d.id = new.debit AND c.id = new.credit) NOT IN (
       'credit:mint>user', 'credit:mint>treasury', 'exchange:mint>user', 'exchange:user>mint', 'hold:user>escrow',
       'release:escrow>user', 'fee:escrow>platform', 'refund:escrow>user', 'treasury_share:platform>treasury',
       'allocation:treasury>user', 'transfer:user>user')
     BEGIN SELECT RAISE(ABORT, 'money of this kind does not go this way'); END`;

const tables = [
  // What one account wrote to another. Apart from the transfer, which everybody may read.
  `CREATE TABLE transfer_memo (
     reference TEXT PRIMARY KEY,
     memo TEXT NOT NULL CHECK (length(memo) BETWEEN 1 AND 140)
   ) STRICT, WITHOUT ROWID`,
  // What each credential gave away on the last day it did, for its daily cap.
  `CREATE TABLE credential_transfer (
     credential_id TEXT PRIMARY KEY,
     day INTEGER NOT NULL,
     moved_minor INTEGER NOT NULL CHECK (moved_minor > 0)
   ) STRICT, WITHOUT ROWID`,
];

export const transfers: Migration = {
  up: async (db: Kysely<unknown>): Promise<void> => {
    const run = (statement: string) => sql.raw(statement).execute(db);
    const { rows: pieces } = await sql<Piece>`SELECT type, tbl_name, name, sql FROM sqlite_schema
      WHERE tbl_name IN ('transfer', 'block') AND sql IS NOT NULL`.execute(db);
    const again = async (type: Piece['type'], table: string) => {
      for (const piece of pieces)
        if (piece.type === type && piece.tbl_name === table && piece.name !== 'transfer_follows_the_rules')
          await run(piece.sql);
    };
    // Blocks refer to transfers, so they step aside while the table of these is made anew.
    await run('CREATE TABLE block_aside AS SELECT * FROM block');
    await run('DROP TABLE block');
    await run(transfer);
    await run('INSERT INTO transfer_2 SELECT * FROM transfer ORDER BY seq');
    await run('DROP TABLE transfer');
    await run('ALTER TABLE transfer_2 RENAME TO transfer');
    await again('index', 'transfer');
    await again('trigger', 'transfer');
    await run(rules);
    await again('table', 'block');
    await run('INSERT INTO block SELECT * FROM block_aside ORDER BY height');
    await run('DROP TABLE block_aside');
    await again('index', 'block');
    await again('trigger', 'block');
    for (const statement of tables) await run(statement);
  },
};
