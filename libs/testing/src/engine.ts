import { describe, test } from 'vitest';

/** Where the stores of the tests are: each run, or pass of one, has one engine for all of them. */
export const testEngine = process.env.TEST_ENGINE === 'postgres' ? 'postgres' : 'sqlite';

/** So often a property is tried: on PostgreSQL a statement is a way to a server and back, ten times that of SQLite. */
export const propertyRuns = (onSqlite: number): number =>
  testEngine === 'sqlite' ? onSqlite : Math.ceil(onSqlite / 10);

/** How long something may take that has so long on SQLite; a bound, never a wait. */
export const timeLimit = (onSqliteMs: number): number =>
  testEngine === 'sqlite' ? onSqliteMs : onSqliteMs * 3;

/**
 * `test`, `it` and `describe` for what is by nature about SQLite's files; on another engine they are skipped by name.
 * @param _reason one that stands in docs/tests-on-two-engines.md
 * @param isPossible whether this machine can do what the test needs
 */
export const sqliteOnly = (_reason: string, isPossible = true) => {
  const isSkipped = testEngine !== 'sqlite' || !isPossible;
  const only = test.skipIf(isSkipped);
  return { test: only, it: only, describe: describe.skipIf(isSkipped) };
};
