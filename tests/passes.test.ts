import { hasPostgres } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { every, onPostgresToo } from './passes.ts';

// That each of these ran on PostgreSQL is in the report of the run; where there is none, this names what was skipped.
test.skipIf(!hasPostgres).each(onPostgresToo)('%s runs on PostgreSQL too', (file) => {
  expect(every).toContain(file);
});
