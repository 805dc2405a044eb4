import { join } from 'node:path';
import { openStore } from '@aitbc/chassis';
import { scratchDirectory, sqliteOnly } from '@aitbc/testing';
import { expect } from 'vitest';
import { migrations } from '../../migrations/index.ts';
import { findStats } from './stats.ts';

const { test } = sqliteOnly('files of releases that knew SQLite alone');

test('a file from before finds its offers under the one form of their names, and counts spellings together', async () => {
  const url = join(scratchDirectory(), 'market.db');
  const { '0001-market': first } = migrations.sqlite;
  if (first === undefined) throw new Error('no first migration');
  const old = await openStore({
    url,
    service: 'market',
    migrations: { '0001-market': first },
  });
  const statements = [
    `INSERT INTO owner (account_id, offers) VALUES ('o', 4)`,
    ...[
      ['a', 'RTX 4090', 1],
      ['b', 'rtx-4090', 0],
      ['c', 'RTX 4090', 1],
      ['d', 'H100', 1],
    ].map(
      ([id, model, available]) =>
        `INSERT INTO gpu (id, owner_id, model, memory_gb, region, capabilities, pricing, base_minor, price_minor,
           is_offered, is_available, created_at_ms, updated_at_ms)
         VALUES ('${id}', 'o', '${model}', 24, 'eu', '[]', 'fixed', 100, 100, ${available}, ${available}, 1, 1)`,
    ),
    `INSERT INTO model_stats VALUES ('RTX 4090', 2, 2, 0, 0, 200, 10, 20, 1000), ('rtx-4090', 1, 0, 0, 0, 100, 1, 2, 500),
       ('H100', 1, 1, 0, 0, 100, 5, 6, 700)`,
    `INSERT INTO model_hour VALUES ('RTX 4090', 0, 0, 2, 0, 0), ('H100', 0, 0, 1, 0, 0)`,
  ];
  for (const statement of statements)
    await old.transact('seed', (trx) =>
      trx.run({ compile: () => ({ sql: statement, parameters: [] }) as never }),
    );
  await old.close();

  const store = await openStore({
    url,
    service: 'market',
    migrations,
  });
  expect(await findStats(store.read, 'rtx 4090')).toMatchObject({
    total: 3,
    available: 2,
    price_sum_minor: 300,
    rented_gpu_ms: 11,
    offered_gpu_ms: 22,
    accrued_at_ms: 1000,
  });
  expect(await findStats(store.read, 'h 100')).toMatchObject({ total: 1, offered_gpu_ms: 6 });
  expect(await findStats(store.read, 'RTX 4090')).toBeUndefined();
  await store.close();
});
