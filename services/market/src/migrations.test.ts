import { join } from 'node:path';
import { builder, openStore } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchDirectory, sqliteOnly } from '@aitbc/testing';
import { sql } from 'kysely';
import { expect } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { shownRating } from './domain/rating.ts';
import { modelPricing } from './pricing.ts';
import { findGpu } from './store/gpu.ts';
import { findStats } from './store/stats.ts';
import type { Gpu, Tables } from './tables.ts';

const { test } = sqliteOnly('files of releases that knew SQLite alone');

const db = builder<Tables>();

test('reviews of the release before count by what their bookings paid', async () => {
  const url = `sqlite:///${join(scratchDirectory(), 'market.db')}`;
  const first = migrations.sqlite['0001-market'] as NonNullable<(typeof migrations.sqlite)[string]>;
  const old = await openStore({
    url,
    service: 'market',
    migrations: { '0001-market': first },
  });
  const run = (statement: ReturnType<typeof sql>) =>
    old.transact('test', (trx) => trx.run({ compile: () => statement.compile(db) as never }));
  const gpu = async (owner: string): Promise<string> => {
    const id = newId();
    await run(sql`INSERT INTO gpu (id, owner_id, model, memory_gb, region, capabilities, pricing, base_minor, price_minor,
        is_offered, is_available, created_at_ms, updated_at_ms)
      VALUES (${id}, ${owner}, 'M', 8, 'eu', '[]', 'fixed', 100, 100, 1, 1, 1, 1)`);
    return id;
  };
  const review = async (
    [gpuId, owner]: readonly [string, string],
    reviewer: string,
    rating: number,
    paid: number,
  ) => {
    const order = newId();
    await run(sql`INSERT INTO orders (id, gpu_id, model, booker_id, owner_id, status, reason, price_minor, minutes,
        amount_minor, start_at_ms, end_at_ms, hold_until_ms, payment_id, used_minutes, pay_minor, created_at_ms,
        updated_at_ms, ended_at_ms, settled_at_ms)
      VALUES (${order}, ${gpuId}, 'M', ${reviewer}, ${owner}, 'settled', 'COMPLETED', 1, 1, 1000000000, 1, 2, 1, ${newId()},
        1, ${paid}, 1, 1, 2, 2)`);
    await run(sql`INSERT INTO review (id, gpu_id, order_id, reviewer_id, rating, created_at_ms)
      VALUES (${newId()}, ${gpuId}, ${order}, ${reviewer}, ${rating}, 1)`);
    await run(sql`UPDATE gpu SET rating_sum = rating_sum + ${rating}, rating_count = rating_count + 1,
      rating = CAST(rating_sum + ${rating} AS REAL) / (rating_count + 1) WHERE id = ${gpuId}`);
  };
  const offer = async (account = newId()) => {
    await run(sql`INSERT INTO owner (account_id, offers) VALUES (${account}, 1) ON CONFLICT DO NOTHING`);
    return [await gpu(account), account] as const;
  };
  const [dusty, paid, silent] = [await offer(), await offer(), await offer()];
  const beside = await offer(paid[1]);
  for (let index = 0; index < 20; index += 1) await review(dusty, newId(), 5, 1);
  const regular = newId();
  await review(paid, regular, 2, 100_000_000);
  await review(beside, regular, 5, 200_000_000);
  await review(paid, newId(), 1, 100_000_000);
  await old.close();

  const store = await openStore({
    url,
    service: 'market',
    migrations,
  });
  const now = async ([id]: readonly [string, string]) => (await findGpu(store.read, id)) as Gpu;
  expect(shownRating(await now(dusty))).toBeNull();
  expect(shownRating(await now(silent))).toBeNull();
  expect(await now(silent)).toMatchObject({ rating: 3, reviewer_count: 0 });
  // 5 × 3, once 5 stars for 3 AITBC (weight 2), of two GPUs of one owner, once 1 star for 1 AITBC (weight 1).
  for (const each of [paid, beside])
    expect(await now(each)).toMatchObject({ rating: 26 / 8, reviewer_count: 2 });
  await store.close();
});

test('cards whose names shared a key get their own, and their own counters', async () => {
  const url = `sqlite:///${join(scratchDirectory(), 'market.db')}`;
  const { '0004-card-names-of-any-script': _, ...before } = migrations.sqlite;
  const old = await openStore({ url, service: 'market', migrations: before });
  const run = (statement: ReturnType<typeof sql>) =>
    old.transact('test', (trx) => trx.run({ compile: () => statement.compile(db) as never }));
  const owner = newId();
  await run(sql`INSERT INTO owner (account_id, offers) VALUES (${owner}, 4)`);
  const gpu = (model: string, key: string, price: number, withdrawn: number | null = null) =>
    run(sql`INSERT INTO gpu (id, owner_id, model, model_key, memory_gb, region, capabilities, pricing, base_minor,
        price_minor, is_offered, is_available, created_at_ms, updated_at_ms, withdrawn_at_ms, rating_weighted,
        rating_weight, rating)
      VALUES (${newId()}, ${owner}, ${model}, ${key}, 8, 'eu', '[]', 'fixed', ${price}, ${price}, 1,
        ${withdrawn === null ? 1 : 0}, 1, 1, ${withdrawn}, 15000000, 5000000, 3)`);
  const stats = (key: string, total: number, whole: number, minor: number) =>
    run(sql`INSERT INTO model_stats VALUES (${key}, ${total}, ${total}, 0, ${whole}, ${minor}, 5, 7, 9)`);
  await gpu('显卡甲', '', 250_000_000);
  await gpu('显卡乙', '', 300_000_000);
  await gpu('显卡乙', '', 100_000_000);
  await gpu('显卡乙', '', 900_000_000, 5);
  await gpu('RTX-4090', 'rtx 4090', 100_000_000);
  await stats('', 3, 6, 50_000_000);
  await run(sql`INSERT INTO model_hour VALUES ('', 3, 0, 3, 1, 1)`);
  await stats('rtx 4090', 1, 1, 0);
  await old.close();

  const store = await openStore({
    url,
    service: 'market',
    migrations,
  });
  const clock = { now: 10, scale: 1 };
  const now = async (model: string) => {
    const found = await modelPricing(store.read, model, clock);
    return found && [found.total, found.available, found.min_price, found.average_price];
  };
  expect(await now('显卡甲')).toEqual([1, 1, 2.5, 2.5]);
  expect(await now('显卡乙')).toEqual([2, 2, 1, 2]);
  expect(await now('显卡丙')).toBeNull();
  expect(await findStats(store.read, '')).toBeUndefined();
  // What kept its key keeps its counters with their history.
  expect(await findStats(store.read, 'rtx 4090')).toMatchObject({
    total: 1,
    rented_gpu_ms: 5,
    accrued_at_ms: 9,
  });
  await store.close();
});
