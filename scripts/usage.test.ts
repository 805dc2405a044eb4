import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

test('the list of commands has a column for what each does', () => {
  const run = resolve(import.meta.dirname, '../run.mjs');
  const { stdout } = spawnSync(process.execPath, [run, '--help'], { encoding: 'utf8' });
  const lines = stdout.split('\n').filter((line) => line.startsWith('  '));
  expect(lines.length).toBeGreaterThan(10);
  for (const line of lines) expect(line).toMatch(/^ {2}[a-z]+ {2,}[a-z]/);
});
