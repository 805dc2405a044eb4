import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { messages } from '@aitbc/contracts';
import { expect, test } from 'vitest';
import { configShape as gateway } from '../services/gateway/src/config.ts';
import { webhookWorkerConfigShape as webhooks } from '../services/gateway/src/webhooks/worker/config.ts';
import { configShape as governance } from '../services/governance/src/config.ts';
import { configShape as jobs } from '../services/jobs/src/config.ts';
import { dispatcherConfigShape as dispatcher } from '../services/jobs/src/dispatcher/config.ts';
import { configShape as market } from '../services/market/src/config.ts';
import { configShape as miners } from '../services/miners/src/config.ts';
import { configShape as payments } from '../services/payments/src/config.ts';
import { every } from './passes.ts';

// What is written for people is held against the sources where that can be done.

const root = resolve(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Setting {
  safeParse(value: unknown): { success: boolean; data?: unknown };
}
const shapes: Record<string, Setting>[] = [
  gateway,
  governance,
  jobs,
  dispatcher,
  webhooks,
  market,
  miners,
  payments,
];
const settings = new Map(shapes.flatMap((shape) => Object.entries(shape)));
const example = new Map(
  [...read('.env.example').matchAll(/^#?([A-Z][A-Z0-9_]+)=(.*)$/gm)].map(([, name, value]) => [
    name as string,
    value as string,
  ]),
);

test('.env.example names every setting that a process reads', () => {
  expect(settings.size).toBeGreaterThan(20);
  expect([...settings.keys()].filter((name) => !example.has(name))).toEqual([]);
});

test('.env.example names no setting that nothing reads', () => {
  const others = [
    'docker-compose.yml',
    'docker-compose.postgres.yml',
    'deploy/compose/development/miner.env',
    'scripts/start.ts',
  ]
    .map(read)
    .join('\n');
  expect(
    [...example.keys()].filter((name) => !settings.has(name) && !new RegExp(`\\b${name}\\b`).test(others)),
  ).toEqual([]);
});

test('.env.example shows the defaults', () => {
  for (const [name, value] of example) {
    const fallback = settings.get(name)?.safeParse(undefined);
    if (value === '' || fallback?.success !== true || fallback.data === undefined) continue;
    expect({ [name]: settings.get(name)?.safeParse(value).data }).toEqual({ [name]: fallback.data });
  }
});

test('the catalogue in docs/architecture.md is the catalogue', () => {
  const rows = [...read('docs/architecture.md').matchAll(/^\| `([a-z]+\.[a-z_]+)` \| ([a-z, ]+) \|$/gm)];
  const written = Object.fromEntries(rows.map(([, name, to]) => [name, (to as string).split(', ')]));
  expect(written).toEqual(
    Object.fromEntries(Object.entries(messages).map(([name, message]) => [name, [...message.to]])),
  );
});

test('every decision is in the list', () => {
  const list = read('docs/decisions/README.md');
  const files = readdirSync(join(root, 'docs/decisions')).filter((file) => /^\d{4}-.*\.md$/.test(file));
  expect(files.length).toBeGreaterThan(0);
  expect(files.filter((file) => !list.includes(`(${file})`))).toEqual([]);
});

const pages = (folder: string): string[] =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory())
      return ['node_modules', '.git', '.data', 'data'].includes(entry.name) ? [] : pages(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });

test('no page points to a file that is not there', () => {
  const dead = pages('.').flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target]) => target as string)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => !existsSync(resolve(root, dirname(page), target)))
      .map((target) => `${relative(root, page)} → ${target}`),
  );
  expect(dead).toEqual([]);
});

test('every command that CONTRIBUTING.md and README.md name exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = ['CONTRIBUTING.md', 'README.md', 'deploy/README.md'].flatMap((page) =>
    [...read(page).matchAll(/\bnpm run ([a-z:]+)/g)].map(([, script]) => script as string),
  );
  expect(named.filter((script) => !(script in scripts))).toEqual([]);
});

test('docs/tests-on-two-engines.md lists why a test is for SQLite alone, and nothing else', () => {
  const given = new Set(
    every.flatMap((file) => [...read(file).matchAll(/\bsqliteOnly\('([^']+)'/g)].map(([, reason]) => reason)),
  );
  const listed = [...read('docs/tests-on-two-engines.md').matchAll(/^\| ([^|]+) \|/gm)]
    .map(([, reason]) => reason)
    .filter((reason) => !/^reason$/.test(reason as string));
  expect(listed.sort()).toEqual([...given].sort());
});
