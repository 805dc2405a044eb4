import { type Kysely, sql } from 'kysely';

export const up = async (db: Kysely<unknown>): Promise<void> => {
  const statements = [
    // What speaks for and against an account, fading with time: good and bad as they stood at at_ms. announced is what
    // the last miners.changed told; telling_after is the miner that was told last, while not all have been.
    `CREATE TABLE reputation (
       account_id TEXT PRIMARY KEY,
       good REAL NOT NULL CHECK (good >= 0),
       bad REAL NOT NULL CHECK (bad >= 0),
       at_ms INTEGER NOT NULL,
       announced REAL NOT NULL CHECK (announced BETWEEN 0 AND 1),
       telling_after TEXT
     ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX reputation_telling ON reputation (account_id) WHERE telling_after IS NOT NULL`,
    // How much of it came from one client; the client '' is all strangers together.
    `CREATE TABLE counterparty (
       account_id TEXT NOT NULL,
       client_id TEXT NOT NULL,
       good REAL NOT NULL CHECK (good >= 0),
       bad REAL NOT NULL CHECK (bad >= 0),
       at_ms INTEGER NOT NULL,
       PRIMARY KEY (account_id, client_id)
     ) STRICT, WITHOUT ROWID`,
    `CREATE INDEX counterparty_age ON counterparty (at_ms)`,
    // Nobody knows who paid for what was counted until now: what was earned counts as one client's, what failed as the
    // strangers'.
    `INSERT INTO counterparty (account_id, client_id, good, bad, at_ms)
       SELECT account_id, '', min(10, log2(1 + sum(earned_minor) / 1e7)), min(10, sum(bad)),
         CAST(strftime('%s', 'now') AS INTEGER) * 1000
       FROM miner GROUP BY account_id`,
    `INSERT INTO reputation (account_id, good, bad, at_ms, announced)
       SELECT account_id, good, bad, at_ms, round((10 + good) / (20 + good + bad), 4) FROM counterparty`,
    // A page of an account's miners is read off it, without sorting all of them.
    `CREATE INDEX miner_account ON miner (account_id, id)`,
    `ALTER TABLE miner DROP COLUMN good`,
    `ALTER TABLE miner DROP COLUMN bad`,
    `ALTER TABLE miner DROP COLUMN announced_reputation`,
  ];
  for (const statement of statements) await sql.raw(statement).execute(db);
};
