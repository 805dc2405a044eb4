import { defineConfig } from 'vitest/config';
import { hasPostgres } from './libs/testing/src/postgres-programs.ts';
import { every, inPasses, onPostgresToo } from './tests/passes.ts';

type Engine = 'sqlite' | 'postgres';

/** A pass is a vitest project: they run in their order, one after the other. */
const pass = (order: number, engine: Engine, files: readonly string[], maxWorkers: 1 | 3) => ({
  test: {
    name: maxWorkers === 1 ? engine : `${engine}, side by side`,
    include: [...files],
    env: { NODE_ENV: 'test', TEST_ENGINE: engine },
    maxWorkers,
    // A statement on PostgreSQL is a way to a server and back.
    testTimeout: engine === 'sqlite' ? 30_000 : 90_000,
    hookTimeout: engine === 'sqlite' ? 60_000 : 120_000,
    sequence: { groupOrder: order },
  },
});
/** Three files at a time, then those that need the machine for themselves. */
const passes = (engine: Engine, first: number, files: readonly string[]) => {
  const [sideBySide, alone] = inPasses(files);
  return [pass(first, engine, sideBySide, 3), pass(first + 1, engine, alone, 1)];
};

export default defineConfig({
  test: {
    // They end in the reverse order: PostgreSQL leaves its tables, the second looks through all that was left in the
    // folder of the run, the first takes it away.
    globalSetup: [
      'libs/testing/src/global-setup.ts',
      'tests/bundled-services.ts',
      'tests/no-secret-left.ts',
      'libs/testing/src/postgres-setup.ts',
    ],
    pool: 'forks',
    // In CI a story that lost a race with a busy machine gets a second chance; one that fails three times has failed.
    retry: process.env.CI === undefined ? 0 : 2,
    projects:
      process.env.TEST_ENGINE === 'postgres'
        ? passes('postgres', 1, every)
        : [...passes('sqlite', 1, every), ...(hasPostgres ? passes('postgres', 3, onPostgresToo) : [])],
  },
});
