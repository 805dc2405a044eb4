import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { builtOf } from '../libs/testing/src/built.ts';

const root = resolve(import.meta.dirname, '..');

/** The bundle and all parts that it loads. */
const loadedBy = (file: string, seen = new Set<string>()): Set<string> => {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, part] of readFileSync(file, 'utf8').matchAll(/^(?:import|export)\s[^;]*?"(\.[^"]+\.js)"/gm))
    loadedBy(join(dirname(file), part as string), seen);
  return seen;
};

test('every process begins in a bundle', () => {
  const mains = globSync('services/*/src/**/main.ts', { cwd: root }).map((main) => join(root, main));
  expect(mains.length).toBeGreaterThanOrEqual(8);
  for (const main of mains) expect(builtOf(main)).toMatch(/\/dist\/[a-z-]+\.js$/);
});

test.each(['services/jobs/src/dispatcher/main.ts', 'services/gateway/src/webhooks/worker/main.ts'])(
  '%s, which has no file and no routes, loads nothing for them',
  (main) => {
    const text = [...loadedBy(builtOf(join(root, main)))]
      .map((file) => readFileSync(file, 'utf8'))
      .join('\n');
    const loaded = ['bullmq', 'express', 'kysely'].filter((name) =>
      text.includes(`// node_modules/${name}/`),
    );
    expect(loaded).toEqual(['bullmq']);
    expect(text.includes('from "better-sqlite3"')).toBe(false);
  },
);

test('what failed in a bundle is told in lines of the sources', () => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [builtOf(join(root, 'services/market/src/main.ts'))],
    {
      encoding: 'utf8',
      timeout: 60_000,
      env: {
        PATH: process.env.PATH,
        SECRET_KEY: 'a secret of 32 characters or more',
        PORT: '0',
        DATABASE_URL: 'sqlite:////dev/null/market.db',
      },
    },
  );
  expect(status).toBe(1);
  const [, path, line] = /\((\/[^\s:]+\.ts):(\d+):\d+\)/.exec(stderr) ?? [];
  expect(path, stderr).toContain('/libs/chassis/src/');
  const said = readFileSync(path as string, 'utf8').split('\n')[Number(line) - 1];
  expect(said).toMatch(/\(|throw/);
  expect(stderr).not.toContain('/dist/parts/');
});
