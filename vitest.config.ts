import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{libs,services,clients,tests,scripts,bench}/**/*.test.ts'],
    globalSetup: 'libs/testing/src/global-setup.ts',
    pool: 'forks',
    // Two cores run two files; more only make timers late.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    env: { NODE_ENV: 'test' },
  },
});
