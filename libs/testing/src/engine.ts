import { describe, test } from 'vitest';

/** Where the stores of the tests are: each run, or pass of one, has one engine for all of them. */
export const testEngine = process.env.TEST_ENGINE === 'postgres' ? 'postgres' : 'sqlite';

/**
 * `test` and `describe` for what is by nature about SQLite's files; on another engine they are skipped by name. Each
 * reason stands in docs/tests-on-two-engines.md.
 */
export const sqliteOnly = (_reason: string) => ({
  test: test.skipIf(testEngine !== 'sqlite'),
  describe: describe.skipIf(testEngine !== 'sqlite'),
});
