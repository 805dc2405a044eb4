import { globSync } from 'node:fs';
import { join } from 'node:path';

// Which test file runs where and when. A run is a few passes, one after the other.

const root = join(import.meta.dirname, '..');
export const every = globSync('{libs,services,clients,tests,scripts,bench}/**/*.test.ts', {
  cwd: root,
  exclude: (path) => path.includes('node_modules'),
}).sort();

/**
 * Alone on the machine: the stories, and what measures time or memory, fills the machine, or holds connections open to
 * the second. Two of them on two cores starve each other's timers. All others wait on conditions, most of the time for
 * the start of a process or for a timer, and three of them fill two cores.
 */
const ALONE = [
  /^(tests|scripts|bench)\//,
  /storm|ledger-model|swarm|scale|cost|race|disk|stopping|on-cluster|fairness/,
  /^services\/gateway\/src\/(connections|raw|rate-limits|uploads)\./,
  /^libs\/chassis\/src\/(http|ticker)\./,
];
/** Stories that mostly wait: for a container, a process that starts, a period that ends, a page. None of them measures. */
const PATIENT = new RegExp(
  `^tests/(${[
    'agent-and-model-servers',
    'authorization/',
    'backup',
    'browser/',
    'clients/',
    'compose',
    'governance',
    'legacy/',
    'main-job',
    'market-and-ledger',
    'move',
    'openai-clients',
    'parameter-bounds',
    'redis-fail-over',
    'refunds',
    'secrecy',
    'webhooks',
  ].join('|')})`,
);
const isAlone = (file: string): boolean => !PATIENT.test(file) && ALONE.some((form) => form.test(file));

/**
 * Where an engine can break what the other keeps: store, commands, money, a story. Those that are about PostgreSQL itself
 * (processes of a service, moves, a killed server) run on it in any case. All others: `TEST_ENGINE=postgres`.
 */
export const onPostgresToo: readonly string[] = [
  'libs/chassis/src/parameters.test.ts',
  'services/jobs/src/store.test.ts',
  'services/market/src/store/store.test.ts',
  'services/governance/src/store/blocks.test.ts',

  'services/jobs/src/commands/lifecycle.test.ts',
  'services/market/src/commands/called-off.test.ts',
  'services/payments/src/exchange/commands/refresh.test.ts',

  'services/payments/src/batches.test.ts',
  'services/payments/src/payments.test.ts',
  'services/payments/src/money.test.ts',
  'services/payments/src/exchange/debts.test.ts',

  'tests/paid-job.test.ts',
];

/** Side by side, and alone. */
export const inPasses = (files: readonly string[]): [string[], string[]] => [
  files.filter((file) => !isAlone(file)),
  files.filter(isAlone),
];
