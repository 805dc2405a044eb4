import { defineConfig } from 'vitest/config';
import { hasPostgres } from './libs/testing/src/postgres-programs.ts';
import { alone, inPairs, onPostgresToo } from './tests/passes.ts';

/** A pass is a vitest project: they run in their order, one after the other. */
const pass = (order: number, engine: 'sqlite' | 'postgres', files: readonly string[], maxWorkers: 1 | 2) => ({
  test: {
    name: maxWorkers === 1 ? engine : `${engine}, in pairs`,
    include: [...files],
    env: { NODE_ENV: 'test', TEST_ENGINE: engine },
    maxWorkers,
    // A statement on PostgreSQL is a way to a server and back.
    testTimeout: engine === 'sqlite' ? 30_000 : 90_000,
    hookTimeout: engine === 'sqlite' ? 60_000 : 120_000,
    sequence: { groupOrder: order },
  },
});
const whole = (engine: 'sqlite' | 'postgres') => [pass(1, engine, inPairs, 2), pass(2, engine, alone, 1)];

export default defineConfig({
  test: {
    // The second looks, at the end, through what the first gave room to.
    globalSetup: ['libs/testing/src/global-setup.ts', 'tests/no-secret-left.ts'],
    pool: 'forks',
    // In CI a story that lost a race with a busy machine gets a second chance; one that fails three times has failed.
    retry: process.env.CI === undefined ? 0 : 2,
    projects:
      process.env.TEST_ENGINE === 'postgres'
        ? whole('postgres')
        : [...whole('sqlite'), ...(hasPostgres ? [pass(3, 'postgres', onPostgresToo, 1)] : [])],
  },
});
