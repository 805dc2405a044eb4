import { join } from 'node:path';
import { builder, openStore } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchDirectory, sqliteOnly } from '@aitbc/testing';
import { sql } from 'kysely';
import { expect } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { reputation } from './domain.ts';
import { findReputation } from './store.ts';
import type { Tables } from './tables.ts';

const { test } = sqliteOnly('files of releases that knew SQLite alone');

const db = builder<Tables>();

test('a file of the release before keeps what speaks for and against an account', async () => {
  const url = `sqlite:///${join(scratchDirectory(), 'miners.db')}`;
  const first = migrations.sqlite['0001-miners'] as NonNullable<(typeof migrations.sqlite)[string]>;
  const old = await openStore({
    url,
    service: 'miners',
    migrations: { '0001-miners': first },
  });
  const [good, bad] = [newId(), newId()];
  const run = (statement: ReturnType<typeof sql>) =>
    old.transact('test', (trx) => trx.run({ compile: () => statement.compile(db) as never }));
  const add = (account: string, name: string, counts: { earned: number; good: number; bad: number }) =>
    run(sql`INSERT INTO miner (id, account_id, name, address, capabilities, gpus, models, price_per_job_minor,
        concurrency, status, revision, seen_at_ms, good, bad, announced_reputation, earned_minor, created_at_ms)
      VALUES (${newId()}, ${account}, ${name}, 'a', '[]', '[]', '[]', 0, 1, 'active', 1, 1,
        ${counts.good}, ${counts.bad}, 0.8, ${counts.earned}, 1)`);
  await add(good, 'a', { earned: 70_000_000, good: 150, bad: 0 });
  await add(bad, 'a', { earned: 0, good: 150, bad: 3 });
  await add(bad, 'b', { earned: 0, good: 0, bad: 30 });
  await old.close();

  const store = await openStore({
    url,
    service: 'miners',
    migrations,
  });
  const known = (account: string) => findReputation(store.read, account);
  // 0.7 AITBC earned: log2(8). Jobs that nobody paid for say nothing any more.
  expect(await known(good)).toMatchObject({ good: 3, bad: 0, announced: reputation({ good: 3, bad: 0 }) });
  expect(await known(bad)).toMatchObject({ good: 0, bad: 10, announced: reputation({ good: 0, bad: 10 }) });
  await store.close();
});
