import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{libs,services,clients,tests,scripts,bench}/**/*.test.ts'],
    // The second looks, at the end, through what the first gave room to.
    globalSetup: ['libs/testing/src/global-setup.ts', 'tests/no-secret-left.ts'],
    pool: 'forks',
    // A file at a time: the stories start the whole system, and two of them on two cores starve each other's timers.
    maxWorkers: 1,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    env: { NODE_ENV: 'test' },
    // In CI a story that lost a race with a busy machine gets a second chance; one that fails three times has failed.
    retry: process.env.CI === undefined ? 0 : 2,
  },
});
