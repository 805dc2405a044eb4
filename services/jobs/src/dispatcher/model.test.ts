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

/** One client, whose jobs all pay the same: then it is known for every offer which job goes to which poll. */
test('many offers in one call are as if each were made on its own', async () => {
  const step = fc.record({
    kind: fc.constantFrom('job', 'job', 'job', 'job', 'poll', 'poll', 'again', 'withdraw', 'close'),
    model: fc.constantFrom(null, 'a', 'b'),
    models: fc.constantFrom<string[]>([], ['a'], ['a', 'b']),
    priority: fc.constantFrom(5, 5, 5, 0, 9),
    slots: fc.constantFrom(1, 2, 5, 32),
    rank: fc.constantFrom(1, 1, 1.01, 1.02, 2),
    isAvoided: fc.nat(30).map((value) => value === 0),
    miner: fc.nat(2),
    pick: fc.nat(1_000),
    times: fc.constantFrom(1, 1, 1, 4, 20),
  });
  const calls = fc.array(fc.array(step, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(calls, fc.constantFrom(0, 5), async (plan, pays_minor) => {
      await redis.flushdb();
      const [account_id, avoided] = [newId(), newId()];
      type Queued = Extract<Hint, { name: 'jobs.queued' }>['payload'];
      type Opened = Extract<Hint, { name: 'jobs.capacity_opened' }>['payload'];
      const waiting = new Map<string, Queued>();
      const free = new Map<string, Opened>();
      const fit = (poll: Opened, { requirement: { model }, avoid }: Queued): boolean =>
        !avoid.includes(poll.miner_id) &&
        (model === null || poll.capability?.models.length === 0 || !!poll.capability?.models.includes(model));
      const bySize = (a: string, b: string): number => (a < b ? -1 : 1);
      for (const steps of plan) {
        const hints: Hint[] = [];
        const expected = new Map<string, string[]>();
        const give = (poll_id: string, job_id: string): void => {
          waiting.delete(job_id);
          expected.set(poll_id, [...(expected.get(poll_id) ?? []), job_id]);
        };
        const queue = (payload: Queued): void => {
          hints.push({ name: 'jobs.queued', payload });
          const best = [...free.values()]
            .filter((poll) => fit(poll, payload))
            .sort((a, b) => a.rank - b.rank || bySize(a.poll_id, b.poll_id))[0];
          if (best === undefined) return void waiting.set(payload.job_id, payload);
          give(best.poll_id, payload.job_id);
          if (best.slots === 1) free.delete(best.poll_id);
          else free.set(best.poll_id, { ...best, slots: best.slots - 1, rank: best.rank + 0.01 });
        };
        for (const { kind, times, pick, ...wish } of steps) {
          if (kind === 'job')
            for (let at = 0; at < times; at++) {
              const { payload } = queuedHint(newId(), {
                job_type: 'custom',
                model: wish.model,
                constraints: {},
                pays_minor,
              }) as Extract<Hint, { name: 'jobs.queued' }>;
              const isAvoiding =
                wish.isAvoided && [...waiting.values()].filter(({ avoid }) => avoid.length > 0).length < 3;
              queue({
                ...payload,
                account_id,
                priority: wish.priority,
                avoid: isAvoiding ? [avoided] : [],
              });
            }
          else if (kind === 'poll') {
            if (free.size > 20) continue;
            const { payload } = openedHint(newId(), {
              capabilities: ['custom'],
              gpus: [],
              cuda_version: null,
              models: wish.models,
              region: null,
              price_per_job_minor: 0,
            }) as Extract<Hint, { name: 'jobs.capacity_opened' }>;
            const miner_id = wish.miner === 0 ? avoided : newId();
            const poll = { ...payload, miner_id, slots: wish.slots, rank: wish.rank };
            hints.push({ name: 'jobs.capacity_opened', payload: poll });
            const taken = [...waiting.values()]
              .filter((job) => fit(poll, job))
              .sort((a, b) => b.priority - a.priority || bySize(a.job_id, b.job_id))
              .slice(0, poll.slots);
            for (const job of taken) give(poll.poll_id, job.job_id);
            if (taken.length === 0) free.set(poll.poll_id, poll);
          } else if (kind === 'close') {
            const poll_id = [...free.keys()][pick % Math.max(1, free.size)];
            if (poll_id === undefined) continue;
            hints.push({ name: 'jobs.capacity_closed', payload: { poll_id } });
            free.delete(poll_id);
          } else {
            const job = [...waiting.values()][pick % Math.max(1, waiting.size)];
            if (job === undefined) continue;
            if (kind === 'again') {
              queue({ ...job, offer: ++offer, priority: wish.priority });
              continue;
            }
            hints.push({ name: 'jobs.withdrawn', payload: { offer: ++offer, job_id: job.job_id } });
            waiting.delete(job.job_id);
          }
        }
        const { matches } = await pool.offer(hints);
        expect(new Map(matches.map(({ poll_id, job_ids }) => [poll_id, job_ids]))).toEqual(expected);
        // Whoever got something is answered.
        for (const poll_id of expected.keys()) free.delete(poll_id);
        const lines = await redis.keys('test:dispatch:own:*|custom|*');
        const found = new Set((await Promise.all(lines.map((key) => redis.zrange(key, '0', '-1')))).flat());
        expect([...found].sort()).toEqual([...waiting.keys()].sort());
        expect(await redis.zcard('test:dispatch:idle:near')).toBe(free.size);
      }
    }),
    { numRuns: 150 },
  );
});

test('finds the one job that fits behind others of its client that came in the same call', async () => {
  await redis.flushdb();
  const account_id = newId();
  const asking = (min_vram_gb: number): Hint => {
    const hint = queuedHint(newId(), {
      job_type: 'custom',
      model: null,
      constraints: { min_vram_gb },
      pays_minor: 0,
    });
    return { ...hint, payload: { ...hint.payload, account_id } } as Hint;
  };
  const miner = openedHint(newId(), {
    capabilities: ['custom'],
    gpus: [{ model: 'RTX 4090', vram_gb: 23.99 }],
    cuda_version: null,
    models: [],
    region: null,
    price_per_job_minor: 0,
  });
  const { matches } = await pool.offer([...Array.from({ length: 50 }, () => asking(24)), asking(22), miner]);
  expect(matches).toHaveLength(1);
});
