import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { scratchDirectory } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { traced } from './traces.ts';

/** A bundle of two lines: the first is line 10 of `ours.ts`, the second is a library's, which has no map. */
const bundle = () => {
  const folder = join(scratchDirectory(), 'dist');
  mkdirSync(folder);
  const file = join(folder, 'service.js');
  const map = { version: 3, sources: ['../src/ours.ts'], names: [], mappings: 'AASA' };
  writeFileSync(`${file}.map`, JSON.stringify(map));
  return { file, source: join(folder, '../src/ours.ts') };
};
const failed = (stack: string, cause?: Error): Error =>
  Object.assign(new Error('no', cause === undefined ? {} : { cause }), { stack });

test('a line of ours is told as it stands in its source, a line of a library as it stands in the bundle', () => {
  const { file, source } = bundle();
  const stack = `Error: no\n    at ours (file://${file}:1:7)\n    at theirs (${file}:2:3)`;
  const { stack: told } = traced(failed(stack));
  expect(told).toBe(`Error: no\n    at ours (${source}:10:1)\n    at theirs (${file}:2:3)`);
});

test('causes are told so, too; what has no map stays as it is', () => {
  const { file, source } = bundle();
  const error = failed('Error: no\n    at x (/somewhere/dist/other.js:1:1)', failed(`at ours (${file}:1:1)`));
  const told = traced(error);
  expect(told.stack).toContain('/somewhere/dist/other.js:1:1');
  expect((told.cause as Error).stack).toBe(`at ours (${source}:10:1)`);
  const many = traced(new AggregateError([failed(`at ours (${file}:1:1)`)], 'all failed'));
  expect(many.errors[0].stack).toBe(`at ours (${source}:10:1)`);
  expect(traced('no error at all')).toBe('no error at all');
});
