import { createLog } from '@aitbc/chassis';
import { eventually, scratchRedis } from '@aitbc/testing';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRateLimits, type RateLimits } from './rate-limits.ts';

const LIMIT = 1_600;
/** As rate-blocks.ts says: a sixteenth. */
const BLOCK_MAX = 100;
const budget = { name: 'client', principal: 'somebody', limit: LIMIT };
const KEY = 'test:rate:client:somebody';

let url: string;
let redis: Redis;
let gateways: RateLimits[];
beforeEach(async () => {
  url = await scratchRedis();
  redis = new Redis(url);
  gateways = [0, 1].map(() =>
    createRateLimits({ redisUrl: url, redisPrefix: 'test', log: createLog('test', 'silent') }),
  );
  for (const gateway of gateways) await gateway.start();
});
afterEach(() => {
  for (const gateway of gateways) gateway.stop();
  redis.disconnect();
});

const used = async () => Number((await redis.hget(KEY, 'n')) ?? 0);
/** One after the other. @returns how many went on */
const takeMany = async (gateway: RateLimits, count: number): Promise<number> => {
  let taken = 0;
  for (let one = 0; one < count; one += 1) if (!(await gateway.take(budget)).refused) taken += 1;
  return taken;
};
/** Takes at a pace until a request is answered from what is in hand: Redis has counted more than was asked for. */
const makeBusy = async (gateway: RateLimits): Promise<number> => {
  let taken = 0;
  await eventually(
    async () => {
      taken += await takeMany(gateway, 10);
      return (await used()) > taken;
    },
    { everyMs: 100 },
  );
  return taken;
};

test('a busy caller takes many units with one round trip, and what it does not use is given back', async () => {
  const [gateway] = gateways as [RateLimits];
  const taken = await makeBusy(gateway);
  const { remaining } = await gateway.take(budget);
  expect(remaining).toBe(LIMIT - taken - 1);
  // Nobody asks any more: the count is exact again.
  await eventually(async () => (await used()) === taken + 1);
});

test('near the limit each request is counted by itself, over all gateways', async () => {
  const [one, other] = gateways as [RateLimits, RateLimits];
  let admitted = (await makeBusy(one)) + (await makeBusy(other));
  await eventually(
    async () => {
      admitted += (await takeMany(one, 50)) + (await takeMany(other, 50));
      return admitted >= LIMIT;
    },
    { withinMs: 20_000, everyMs: 1 },
  );
  admitted += (await takeMany(one, 50)) + (await takeMany(other, 50));
  expect(admitted).toBe(LIMIT);
});

test('a minute later a gateway has no more in hand than a block', async () => {
  const [one, other] = gateways as [RateLimits, RateLimits];
  await makeBusy(one);
  // All that was counted leaves the window; what is in hand stays.
  await redis.del(KEY);
  let admitted = 0;
  for (let turn = 0; turn < LIMIT / 50 + 4; turn += 1)
    admitted += (await takeMany(one, 50)) + (await takeMany(other, 50));
  expect(admitted).toBeGreaterThanOrEqual(LIMIT);
  expect(admitted).toBeLessThanOrEqual(LIMIT + BLOCK_MAX);
});
