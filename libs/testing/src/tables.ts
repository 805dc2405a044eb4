import { type Kysely, sql } from 'kysely';

type Up = { up(db: Kysely<unknown>): Promise<void> };

/**
 * Tables that a test makes for a part of its own, on whichever engine is under test.
 * @param statements in SQLite's words: TEXT, INTEGER, BLOB, STRICT
 */
export const tables = (...statements: string[]): Record<'sqlite' | 'postgres', Record<string, Up>> => {
  const inWords = (translate: (text: string) => string) => ({
    '0001-tables': {
      up: async (db: Kysely<unknown>) => {
        for (const statement of statements) await sql.raw(translate(statement)).execute(db);
      },
    },
  });
  return {
    sqlite: inWords((text) => text),
    postgres: inWords((text) =>
      text
        .replace(/\bSTRICT\b/g, '')
        .replace(/\bINTEGER\b/g, 'BIGINT')
        .replace(/\bTEXT\b/g, 'TEXT COLLATE "C"')
        .replace(/\bBLOB\b/g, 'BYTEA'),
    ),
  };
};
