import { connectRedis, createLog } from '@aitbc/chassis';
import { type JobType, newId } from '@aitbc/contracts';
import { scratchRedis } from '@aitbc/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dispatchKeys } from './keys.ts';
import { abilityOf, type Capability, kindName, requirementOf, satisfies } from './match.ts';
import { createPool, type Hint, type Pool } from './pool.ts';

let redis: ReturnType<typeof connectRedis>;
let pool: Pool;
let offer = 0;
beforeAll(async () => {
  redis = connectRedis(await scratchRedis(), createLog('test', 'silent'), { enableOfflineQueue: true });
  pool = createPool(redis, dispatchKeys('test'));
});
afterAll(() => redis.disconnect());

const TYPES: JobType[] = ['llm_inference', 'ocr', 'custom'];
const type = fc.constantFrom(...TYPES);
const model = fc.constantFrom('a', 'b:latest', 'B', 'c:1b');
const card = fc.constantFrom('RTX 4080', 'RTX 4080 SUPER', 'NVIDIA A100-SXM4-80GB', 'A100', 'rtx');
const region = fc.constantFrom('eu', 'US', 'us');
const minor = fc.constantFrom(0, 1, 9, 10, 11, 99, 12_500_000, 12_500_001);
const gigabytes = fc.constantFrom(8, 15.2, 16, 23.99, 24, 80);
/** Jobs name the first two. */
const MINERS = [newId(), newId(), newId()] as const;
const name = fc.constantFrom(MINERS[0], MINERS[1]);
const cuda = fc.constantFrom('11.8', '12', '12.4', '12.10', '13.0');

const miner = fc.record({
  capabilities: fc.uniqueArray(type, { minLength: 1 }),
  gpus: fc.array(fc.record({ model: card, vram_gb: gigabytes }), { maxLength: 2 }),
  cuda_version: fc.option(cuda),
  models: fc.uniqueArray(model, { maxLength: 3 }),
  region: fc.option(region),
  miner_id: fc.constantFrom(...MINERS, undefined),
  price_per_job_minor: minor,
});
/** What the index is told of a miner that no job names is what it has in common with its equals. */
const asKind = (capability: Capability): Capability =>
  capability.miner_id === MINERS[0] || capability.miner_id === MINERS[1]
    ? capability
    : { ...capability, miner_id: undefined };
const canDo = (capability: Capability) => abilityOf(capability, capability.miner_id ?? newId());
const job = fc.record({
  job_type: type,
  model: fc.option(model),
  constraints: fc.record(
    {
      gpu_model: card,
      min_vram_gb: gigabytes,
      cuda_version_min: cuda,
      region,
      miner_id: name,
      max_price: minor.map((value) => value / 1e8),
    },
    { requiredKeys: [] },
  ),
  pays_minor: minor,
});

type JobWish = Parameters<typeof requirementOf>[0];
const queuedHint = (id: string, wish: JobWish): Hint => ({
  name: 'jobs.queued',
  payload: {
    offer: ++offer,
    job_id: id,
    account_id: newId(),
    requirement: requirementOf(wish),
    pays_minor: wish.pays_minor,
    priority: 5,
    avoid: [],
  },
});
const openedHint = (id: string, capability: Capability): Hint => ({
  name: 'jobs.capacity_opened',
  payload: {
    offer: ++offer,
    epoch: 1,
    poll_id: id,
    miner_id: capability.miner_id ?? newId(),
    account_id: newId(),
    slots: 1,
    kind: kindName(asKind(capability)),
    capability: asKind(capability),
    rank: 1,
  },
});

/** Polls of another trade that wait already: beyond so many, polls are found by what their miners have. */
test.each([0, 32])('agrees with a matcher that looks at every pair, behind %i idle polls', async (idle) => {
  const elsewhere = (): Hint =>
    openedHint(newId(), {
      capabilities: ['embedding'],
      gpus: [],
      cuda_version: null,
      models: [],
      region: null,
      price_per_job_minor: 0,
    });
  const happenings = fc.array(fc.oneof(fc.record({ miner }), fc.record({ job })), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(happenings, async (plan) => {
      await redis.flushdb();
      await pool.offer(Array.from({ length: idle }, elsewhere));
      const free = new Map<string, Capability>();
      const waiting = new Map<string, JobWish>();
      for (const happening of plan) {
        const id = newId();
        if ('job' in happening) waiting.set(id, happening.job);
        else free.set(id, happening.miner);
        const { matches } = await pool.offer([
          'job' in happening ? queuedHint(id, happening.job) : openedHint(id, happening.miner),
        ]);
        for (const match of matches)
          for (const jobId of match.job_ids) {
            const pair = [free.get(match.poll_id), waiting.get(jobId)] as [Capability, JobWish];
            expect(satisfies(canDo(pair[0]), requirementOf(pair[1]))).toBe(true);
            free.delete(match.poll_id);
            waiting.delete(jobId);
          }
        // At rest no job waits that some free miner fits.
        for (const capability of free.values())
          for (const wish of waiting.values())
            expect(satisfies(canDo(capability), requirementOf(wish))).toBe(false);
      }
    }),
    { numRuns: 150 },
  );
});

test('finds the one job that fits behind a thousand of the same classes that do not', async () => {
  await redis.flushdb();
  const wish = (changes: Partial<JobWish>): JobWish => ({
    job_type: 'custom',
    model: null,
    constraints: {},
    pays_minor: 0,
    ...changes,
  });
  const capability: Capability = {
    capabilities: ['custom'],
    gpus: [{ model: 'RTX 4090', vram_gb: 23.99 }],
    cuda_version: '12.4',
    models: [],
    region: null,
    price_per_job_minor: 12_500_000,
  };
  const others = Array.from({ length: 1_000 }, (_, at) =>
    queuedHint(newId(), wish({ pays_minor: 10_000_000 + at, constraints: { min_vram_gb: 24 } })),
  );
  for (let at = 0; at < 1_000; at += 100) await pool.offer(others.slice(at, at + 100));
  for (let at = 0; at < 1_000; at += 100)
    await pool.offer(
      Array.from({ length: 100 }, (_, i) => queuedHint(newId(), wish({ pays_minor: 10_000_000 + at + i }))),
    );
  const id = newId();
  await pool.offer([queuedHint(id, wish({ pays_minor: 12_500_000 }))]);
  const { matches } = await pool.offer([openedHint(newId(), capability)]);
  expect(matches.map((match) => match.job_ids)).toEqual([[id]]);
});
