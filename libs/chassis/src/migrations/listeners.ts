import { type Kysely, sql } from 'kysely';

/** Accounts that have a webhook. @param words of the engine: a text, a number, and what ends a table */
const listeners =
  (text: string, number: string, end: string) =>
  async (db: Kysely<unknown>): Promise<void> => {
    await sql
      .raw(
        `CREATE TABLE listener (
           account_id ${text} PRIMARY KEY,
           revision ${number} NOT NULL CHECK (revision > 0),
           listens ${number} NOT NULL CHECK (listens IN (0, 1))
         )${end}`,
      )
      .execute(db);
  };

export const listenersOnSqlite = listeners('TEXT', 'INTEGER', ' STRICT, WITHOUT ROWID');
export const listenersOnPostgres = listeners('TEXT COLLATE "C"', 'BIGINT', '');
