import { type Kysely, sql } from 'kysely';
import { guard } from './rules.ts';

/** In the order of its bytes, as SQLite has it. */
const TEXT = 'TEXT COLLATE "C"';

const statements = [
  // Which kinds there are is said once, by transfer_follows_the_rules.
  `ALTER TABLE transfer DROP CONSTRAINT transfer_kind_check`,
  `DROP TRIGGER transfer_follows_the_rules ON transfer`,
  `DROP FUNCTION transfer_follows_the_rules()`,
  ...guard({
    name: 'transfer_follows_the_rules',
    when: 'BEFORE INSERT ON transfer',
    refuses: `(SELECT NEW.kind || ':' || d.kind || '>' || c.kind FROM account d, account c
         WHERE d.id = NEW.debit AND c.id = NEW.credit) NOT IN (
       'credit:mint>user', 'credit:mint>treasury', 'exchange:mint>user', 'exchange:user>mint', 'hold:user>escrow',
       'release:escrow>user', 'fee:escrow>platform', 'refund:escrow>user', 'treasury_share:platform>treasury',
       'allocation:treasury>user', 'transfer:user>user')`,
    message: 'money of this kind does not go this way',
  }),
  // What one account wrote to another. Apart from the transfer, which everybody may read.
  `CREATE TABLE transfer_memo (
     reference ${TEXT} PRIMARY KEY,
     memo ${TEXT} NOT NULL CHECK (length(memo) BETWEEN 1 AND 140)
   )`,
  // What each credential gave away on the last day it did, for its daily cap.
  `CREATE TABLE credential_transfer (
     credential_id ${TEXT} PRIMARY KEY,
     day BIGINT NOT NULL,
     moved_minor BIGINT NOT NULL CHECK (moved_minor > 0)
   )`,
];

/** What one account gives another. */
export const create = async (db: Kysely<unknown>): Promise<void> => {
  for (const statement of statements) await sql.raw(statement).execute(db);
};
