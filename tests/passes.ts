import { globSync } from 'node:fs';
import { join } from 'node:path';

// Which test file runs where and when. A run is a few passes, one after the other.

const root = join(import.meta.dirname, '..');
export const every = globSync('{libs,services,clients,tests,scripts,bench}/**/*.test.ts', {
  cwd: root,
  exclude: (path) => path.includes('node_modules'),
}).sort();

/**
 * Alone on the machine: the stories, and what starts processes, kills them, measures time or memory, or fills the
 * machine. Two of them on two cores starve each other's timers.
 */
const ALONE = [
  /^(tests|scripts|bench)\//,
  /crash|storm|ledger-model|swarm|scale|cost|restarts|resilience|race|faults|full-disk|stopping|fail-over|redis-loss|on-cluster/,
  /^services\/gateway\/src\/(connections|raw|rate-limits|tls|uploads)\./,
  /^services\/jobs\/src\/(matching|work)\./,
  /^services\/miners\/src\/miners\./,
  /^libs\/chassis\/src\/(http|ticker|redis\/)/,
  /^libs\/testing\//,
];
export const alone = every.filter((file) => ALONE.some((form) => form.test(file)));
export const inPairs = every.filter((file) => !alone.includes(file));

/** Where an engine can break what the other keeps: store, commands, money, crashes, and the stories. */
export const onPostgresToo: readonly string[] = [];
