import { connectRedis, createLog } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchRedis } from '@aitbc/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dispatchKeys } from './keys.ts';
import { type Capability, kindName, type Requirement } from './match.ts';
import { createPool, type Hint, type Match, type Pool } from './pool.ts';

let redisUrl: string;
let redis: ReturnType<typeof connectRedis>;
let pool: Pool;
const DISPATCH = dispatchKeys('test');
let offer = 0;

const connect = () => connectRedis(redisUrl, createLog('test', 'silent'), { enableOfflineQueue: true });

beforeAll(async () => {
  redisUrl = await scratchRedis();
  redis = connect();
  pool = createPool(redis, DISPATCH);
});
beforeEach(async () => void (await redis.flushdb()));
afterAll(() => redis.disconnect());

const offerAll = async (hints: readonly Hint[]): Promise<Match[]> => (await pool.offer(hints)).matches;

interface JobWish extends Partial<Requirement> {
  id?: string;
  client?: string;
  priority?: number;
  avoid?: string[];
  pays?: number;
}
/** Pays nothing unless it says so; what it pays meets reserve prices up to that. */
const job = (wish: JobWish = {}): Extract<Hint, { name: 'jobs.queued' }> => {
  const { id, client, priority, avoid, pays = 0, ...requirement } = wish;
  return {
    name: 'jobs.queued',
    payload: {
      offer: ++offer,
      job_id: id ?? newId(),
      account_id: client ?? newId(),
      requirement: {
        job_type: 'llm_inference',
        model: 'common',
        gpu_model: null,
        min_vram_gb: null,
        cuda_version_min: null,
        region: null,
        price_minor: pays,
        ...requirement,
      },
      pays_minor: pays,
      priority: priority ?? 5,
      avoid: avoid ?? [],
    },
  };
};
interface PollWish extends Partial<Capability> {
  id?: string;
  miner?: string;
  account?: string;
  slots?: number;
  rank?: number;
  epoch?: number;
  place?: number;
}
const poll = (wish: PollWish = {}): Extract<Hint, { name: 'jobs.capacity_opened' }> => {
  const { id, miner, account, slots, rank, epoch, place, ...changes } = wish;
  const capability: Capability = {
    capabilities: ['llm_inference', 'ocr'],
    gpus: [],
    cuda_version: null,
    models: ['common'],
    region: null,
    price_per_job_minor: 0,
    ...changes,
  };
  return {
    name: 'jobs.capacity_opened',
    payload: {
      offer: ++offer,
      epoch: epoch ?? 1,
      ...(place === undefined ? {} : { place }),
      poll_id: id ?? newId(),
      miner_id: miner ?? newId(),
      account_id: account ?? newId(),
      slots: slots ?? 1,
      kind: kindName(capability),
      capability,
      rank: rank ?? 1,
    },
  };
};
const closed = (id: string): Hint => ({ name: 'jobs.capacity_closed', payload: { poll_id: id } });
const withdrawn = (hint: ReturnType<typeof job>): Hint => {
  const { job_id } = hint.payload;
  return { name: 'jobs.withdrawn', payload: { offer: ++offer, job_id } };
};
const jobsOf = (matches: readonly Match[]): string[] => matches.flatMap((match) => match.job_ids);
/** Takes everything that waits, one job a poll, in the order it is given out. */
const drain = async (wish: PollWish = {}): Promise<string[]> => {
  const order: string[] = [];
  for (;;) {
    const found = jobsOf(await offerAll([poll({ ...wish, slots: 32 })]));
    if (found.length === 0) return order;
    order.push(...found);
  }
};
const idsOf = (hints: readonly ReturnType<typeof job>[]): string[] =>
  hints.map((hint) => hint.payload.job_id);

describe('a match', () => {
  test('is made whichever comes first', async () => {
    const [first, second] = [job(), job()];
    expect(await offerAll([first])).toEqual([]);
    const early = poll();
    expect(await offerAll([early])).toEqual([
      { poll_id: early.payload.poll_id, miner_id: early.payload.miner_id, job_ids: [first.payload.job_id] },
    ]);
    const waiting = poll();
    expect(await offerAll([waiting])).toEqual([]);
    expect(jobsOf(await offerAll([second]))).toEqual([second.payload.job_id]);
    expect(await offerAll([job()])).toEqual([]);
  });

  test('needs a miner that has the model', async () => {
    expect(await offerAll([job({ model: 'a' }), poll({ models: ['b', 'c'] })])).toEqual([]);
    expect(await offerAll([poll({ models: ['c', 'a'] })])).toHaveLength(1);
  });

  test('fills the slots of a poll and no more', async () => {
    const hints = Array.from({ length: 5 }, () => job());
    await offerAll(hints);
    expect(jobsOf(await offerAll([poll({ slots: 3 })]))).toEqual(idsOf(hints).slice(0, 3));
    expect(jobsOf(await offerAll([poll({ slots: 3 })]))).toEqual(idsOf(hints).slice(3));
  });

  test('goes to the better rank, and a batch spreads over equals', async () => {
    const [worse, better, equal] = [
      poll({ rank: 2, slots: 4 }),
      poll({ rank: 1, slots: 4 }),
      poll({ rank: 1, slots: 4 }),
    ];
    await offerAll([worse, better, equal]);
    const matches = await offerAll([job(), job(), job(), job()]);
    const counts = new Map(matches.map((match) => [match.poll_id, match.job_ids.length]));
    expect(counts.get(better.payload.poll_id)).toBe(2);
    expect(counts.get(equal.payload.poll_id)).toBe(2);
    // Both were answered and wait no more.
    expect((await offerAll([job()]))[0]?.poll_id).toBe(worse.payload.poll_id);
  });

  test('is not made with a poll that ended, nor with a job that was withdrawn', async () => {
    const ended = poll();
    await offerAll([ended, closed(ended.payload.poll_id)]);
    const gone = job();
    expect(await offerAll([gone])).toEqual([]);
    await offerAll([withdrawn(gone)]);
    expect(await offerAll([poll()])).toEqual([]);
  });

  test('is not made with what overtook its own end', async () => {
    const [late, lateJob] = [poll(), job()];
    await offerAll([closed(late.payload.poll_id), withdrawn(lateJob)]);
    expect(await offerAll([late, job()])).toEqual([]);
    expect(await offerAll([lateJob])).toEqual([]);
    expect(jobsOf(await offerAll([poll({ slots: 5 })]))).toHaveLength(1);
  });

  test('is not made with a poll of an earlier process', async () => {
    await offerAll([poll({ epoch: 1 })]);
    await redis.set(DISPATCH.epoch, 2);
    expect(await offerAll([job()])).toEqual([]);
    expect(await offerAll([poll({ epoch: 1 })])).toEqual([]);
    expect(await offerAll([poll({ epoch: 2 })])).toHaveLength(1);
  });

  test('says the place of its poll, and is made only while the process there lives', async () => {
    const at = (place: number, epoch: number) => poll({ place, epoch });
    await redis.mset(DISPATCH.epochOf(0), 70, DISPATCH.epochOf(1), 50);
    const [here, there] = [at(0, 70), at(1, 50)];
    const matches = await offerAll([here, there, job(), job()]);
    expect(matches.map(({ poll_id, place }) => [poll_id, place]).sort()).toEqual(
      [
        [here.payload.poll_id, 0],
        [there.payload.poll_id, 1],
      ].sort(),
    );
    // The one at 1 dies with an open poll; that of its sister, opened later, gets the job.
    const [orphan, open] = [at(1, 50), at(0, 70)];
    await offerAll([orphan, open]);
    await redis.del(DISPATCH.epochOf(1));
    expect(await offerAll([job()])).toMatchObject([{ poll_id: open.payload.poll_id, place: 0 }]);
    expect(await offerAll([job()])).toEqual([]);
    // Another takes the place, from a machine whose clock is behind: what the dead one still says is nobody's.
    await redis.set(DISPATCH.epochOf(1), 40);
    expect(await offerAll([at(1, 50)])).toEqual([]);
    expect(await offerAll([at(1, 40)])).toMatchObject([{ place: 1, job_ids: [expect.any(String)] }]);
    const ended = at(1, 40);
    await offerAll([
      ended,
      { name: 'jobs.capacity_closed', payload: { poll_id: ended.payload.poll_id, place: 1 } },
    ]);
    expect(await offerAll([job()])).toEqual([]);
  });

  test('avoids a miner that lost the job, until nobody else is left', async () => {
    const miner = newId();
    const lost = job({ avoid: [newId(), miner] });
    await offerAll([poll({ account: miner })]);
    expect(await offerAll([lost])).toEqual([]);
    // It waits at the head of its queue and does not stop the ones behind it.
    const other = job();
    expect(jobsOf(await offerAll([other]))).toEqual([other.payload.job_id]);
    expect(await offerAll([poll({ account: miner })])).toEqual([]);
    const again = job({ id: lost.payload.job_id, client: lost.payload.account_id, avoid: [] });
    expect(jobsOf(await offerAll([again]))).toEqual([lost.payload.job_id]);
    expect(await offerAll([poll()])).toEqual([]);
  });

  test('passes over the avoided head of a queue', async () => {
    const miner = newId();
    const [lost, next] = [job({ avoid: [miner] }), job()];
    await offerAll([lost, next]);
    expect(jobsOf(await offerAll([poll({ account: miner })]))).toEqual([next.payload.job_id]);
    expect(jobsOf(await offerAll([poll()]))).toEqual([lost.payload.job_id]);
  });
});

describe('an offer that comes twice', () => {
  test('of a job: parking twice is one parking', async () => {
    const hint = job();
    await offerAll([hint, hint]);
    await offerAll([hint]);
    expect(jobsOf(await offerAll([poll({ slots: 5 })]))).toEqual([hint.payload.job_id]);
  });

  test('of a job that was matched: the same match', async () => {
    await offerAll([poll(), poll()]);
    const hint = job();
    const first = await offerAll([hint]);
    expect(await offerAll([hint])).toEqual(first);
    // A newer offer of it says that this match came to nothing.
    const newer = { ...hint, payload: { ...hint.payload, offer: ++offer } };
    const second = await offerAll([newer]);
    expect(second[0]?.poll_id).not.toBe(first[0]?.poll_id);
    expect(await offerAll([hint])).toEqual([]);
  });

  test('of a poll that got work: the same work', async () => {
    await offerAll([job(), job(), job()]);
    const hint = poll({ slots: 2 });
    const first = await offerAll([hint]);
    expect(jobsOf(first)).toHaveLength(2);
    expect(await offerAll([hint])).toEqual(first);
    expect(jobsOf(await offerAll([poll({ slots: 5 })]))).toHaveLength(1);
  });

  test('of a job that a poll took meanwhile: nothing', async () => {
    const hint = job();
    await offerAll([hint]);
    await offerAll([poll()]);
    expect(await offerAll([hint, poll({ slots: 5 })])).toEqual([]);
  });

  test('of a poll of another kind: what it could before counts no more', async () => {
    const hint = poll({ models: ['a', 'b'] });
    await offerAll([hint]);
    await offerAll([poll({ id: hint.payload.poll_id, models: ['b', 'c'] })]);
    expect(await offerAll([job({ model: 'a' })])).toEqual([]);
    expect(await offerAll([job({ model: 'c' })])).toHaveLength(1);
    expect(await offerAll([job({ model: 'b' })])).toEqual([]);
  });
});

describe('the order of turns', () => {
  test("is age among equals, and an account's own priorities above age", async () => {
    const client = newId();
    const hints = [3, 9, 5, 9, 0].map((priority) => job({ priority, client }));
    await offerAll(hints);
    const [low, urgent, normal, urgentToo, last] = idsOf(hints);
    expect(await drain()).toEqual([urgent, urgentToo, normal, low, last]);
  });

  test("no priority passes another account's jobs", async () => {
    const first = job({ priority: 0 });
    await offerAll([first, job({ priority: 9 })]);
    expect((await drain())[0]).toBe(first.payload.job_id);
  });

  test('what is paid goes before what is not, whatever its priority', async () => {
    const heavy = newId();
    await offerAll(Array.from({ length: 250 }, () => job({ client: heavy, priority: 9 })));
    const paid = job({ priority: 0, pays: 2_000_000_000 });
    await offerAll([paid]);
    expect((await drain())[0]).toBe(paid.payload.job_id);
  });

  test('among what is paid, more is preferred and less does not starve', async () => {
    const owner = new Map<string, string>();
    for (const [client, pays] of [
      ['little', 1_000],
      ['much', 100_000_000_000],
    ] as const) {
      const hints = Array.from({ length: 200 }, () => job({ client, pays }));
      for (const id of idsOf(hints)) owner.set(id, client);
      await offerAll(hints);
    }
    const much = (await drain()).slice(0, 100).filter((id) => owner.get(id) === 'much').length;
    expect(much).toBeGreaterThan(55);
    expect(much).toBeLessThan(85);
  });

  test('starves nobody: the unpaid has its turn under an endless stream of paid work', async () => {
    const [unpaid, miner] = [job(), newId()];
    await offerAll([unpaid]);
    let served = 0;
    for (let at = 0; at < 50; at++) {
      await offerAll([job({ pays: 5 }), job({ pays: 5 })]);
      if (jobsOf(await offerAll([poll({ miner })])).includes(unpaid.payload.job_id)) break;
      served += 1;
    }
    expect(served).toBe(16);
  });

  test('a client with 10,000 waiting delays the first of another by about one', async () => {
    const heavy = newId();
    for (let at = 0; at < 100; at++)
      await offerAll(Array.from({ length: 100 }, () => job({ client: heavy })));
    const taken = jobsOf(await offerAll([poll({ slots: 32 })]));
    expect(taken).toHaveLength(32);
    const light = [job(), job()];
    const sameClient = job({ client: light[0]?.payload.account_id as string });
    await offerAll([...light, sameClient]);
    const next = jobsOf(await offerAll([poll({ slots: 8 })]));
    // One of the heavy client's may stand in front; then the others' first; the second of one of them after a turn.
    expect(next.indexOf(light[0]?.payload.job_id as string)).toBeLessThanOrEqual(1);
    expect(next.indexOf(light[1]?.payload.job_id as string)).toBeLessThanOrEqual(2);
    expect(next.indexOf(sameClient.payload.job_id)).toBeGreaterThan(
      next.indexOf(light[1]?.payload.job_id as string),
    );
    expect(next.indexOf(sameClient.payload.job_id)).toBeLessThanOrEqual(5);
  });

  test('gives clients that all have work equal shares', async () => {
    const clients = Array.from({ length: 5 }, () => newId());
    const owner = new Map<string, string>();
    // One after the other, not mixed: the last client's jobs are the youngest.
    for (const client of clients) {
      const hints = Array.from({ length: 100 }, () => job({ client }));
      for (const id of idsOf(hints)) owner.set(id, client);
      await offerAll(hints);
    }
    const first = (await drain()).slice(0, 100);
    const shares = clients.map((client) => first.filter((id) => owner.get(id) === client).length);
    for (const share of shares) expect(share).toBe(20);
  });

  test('clients that pay the same differ by one job at most, whatever they ask for and in whatever order', async () => {
    const load = fc.record({
      clients: fc.integer({ min: 2, max: 10 }),
      each: fc.integer({ min: 3, max: 12 }),
      pays: fc.constantFrom(0, 1_000),
      order: fc.infiniteStream(fc.nat()),
      polls: fc.infiniteStream(fc.integer({ min: 1, max: 4 })),
      inOneCall: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(load, async ({ clients, each, pays, order, polls, inOneCall }) => {
        await redis.flushdb();
        const some = (count: number): number => (order.next().value as number) % count;
        const names = Array.from({ length: clients }, () => newId());
        const hints = names
          .flatMap((client) => Array.from({ length: each }, () => client))
          .map((client) => ({ at: some(1_000_000), client }))
          .sort((a, b) => a.at - b.at)
          .map(({ client }) => job({ client, pays, model: `model-${some(3)}`, priority: some(10) }));
        const owner = new Map(hints.map(({ payload }) => [payload.job_id, payload.account_id]));
        for (let at = 0; at < hints.length; at += 7) await offerAll(hints.slice(at, at + 7));
        const shares = new Map(names.map((name) => [name, 0]));
        const models = ['model-0', 'model-1', 'model-2'];
        for (;;) {
          const open = Array.from({ length: inOneCall ? 5 : 1 }, () =>
            poll({ models, slots: polls.next().value as number }),
          );
          const taken = jobsOf(await offerAll(open));
          if (taken.length === 0) break;
          for (const id of taken) {
            const client = owner.get(id) as string;
            shares.set(client, (shares.get(client) as number) + 1);
            const counts = [...shares.values()];
            expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
          }
        }
        expect([...shares.values()]).toEqual(names.map(() => each));
      }),
      { numRuns: 40 },
    );
  });

  test('starves nobody: the second job of one client under an endless stream of new clients', async () => {
    const client = newId();
    const [first, second] = [job({ client }), job({ client })];
    await offerAll([first, second]);
    let served = 0;
    for (let at = 0; at < 25; at++) {
      await offerAll(Array.from({ length: 100 }, () => job()));
      const taken = jobsOf((await Promise.all([1, 2, 3].map(() => offerAll([poll({ slots: 32 })])))).flat());
      if (taken.includes(second.payload.job_id)) break;
      served += taken.length;
    }
    expect(served).toBeLessThanOrEqual(1_100);
    expect(served).toBeGreaterThan(0);
  });

  test('an idle client does not save up: what was served before does not count', async () => {
    const [early, late] = [newId(), newId()];
    await offerAll(Array.from({ length: 40 }, () => job({ client: early })));
    await offerAll([poll({ slots: 32 })]);
    const hints = Array.from({ length: 40 }, () => job({ client: late }));
    const lateIds = new Set(idsOf(hints));
    await offerAll(hints);
    const next = jobsOf(await offerAll([poll({ slots: 16 })]));
    // Not all of `late` first because it had none before: equal shares from now on.
    expect(next.filter((id) => lateIds.has(id)).length).toBeLessThanOrEqual(9);
    expect(next.filter((id) => lateIds.has(id)).length).toBeGreaterThanOrEqual(7);
  });
});

describe('among queues', () => {
  test("a client's priorities count over its queues", async () => {
    const client = newId();
    const [normal, urgent] = [job({ client, model: 'a' }), job({ client, model: 'b', priority: 8 })];
    await offerAll([normal, urgent]);
    expect(await drain({ models: ['a', 'b'] })).toEqual([urgent.payload.job_id, normal.payload.job_id]);
  });

  test('a client with many queues gains nothing by it', async () => {
    const [many, one] = [newId(), newId()];
    const models = Array.from({ length: 20 }, (_, at) => `model-${at}`);
    for (const model of models)
      await offerAll(Array.from({ length: 10 }, () => job({ client: many, model })));
    const hints = Array.from({ length: 10 }, () => job({ client: one, model: 'model-0' }));
    await offerAll(hints);
    const ids = new Set(idsOf(hints));
    const order: string[] = [];
    for (let at = 0; at < 20; at++) order.push(...jobsOf(await offerAll([poll({ models })])));
    expect(order.filter((id) => ids.has(id)).length).toBeGreaterThanOrEqual(9);
  });

  test('jobs that nobody can run do not hold their client back elsewhere', async () => {
    const client = newId();
    await offerAll(Array.from({ length: 100 }, () => job({ client, model: 'rare' })));
    const mine = job({ client, model: 'common' });
    const others = Array.from({ length: 50 }, () => job({ model: 'common' }));
    await offerAll([mine, ...others]);
    const next = jobsOf(await offerAll([poll({ models: ['common'], slots: 2 })]));
    expect(next).toContain(mine.payload.job_id);
  });
});

describe('the index', () => {
  test('leaves nothing behind but short-lived records once all is done', async () => {
    const hints = Array.from({ length: 50 }, (_, at) =>
      job({ model: `model-${at % 5}`, priority: at % 10, avoid: at % 7 === 0 ? [newId()] : [] }),
    );
    const models = ['model-0', 'model-1', 'model-2', 'model-3', 'model-4'];
    await offerAll(hints);
    expect(await drain({ models })).toHaveLength(50);
    for (const key of await redis.keys(`${DISPATCH.prefix}poll:*`)) {
      await offerAll([closed(key.slice(`${DISPATCH.prefix}poll:`.length))]);
    }
    const kept = await redis.keys(`${DISPATCH.prefix}*`);
    const lasting: string[] = [];
    for (const key of kept) if ((await redis.ttl(key)) < 0) lasting.push(key);
    const fixed = ['epoch', 'served:0', 'time:0'].map((name) => DISPATCH.prefix + name);
    expect(lasting.filter((key) => !fixed.includes(key))).toEqual([]);
    expect(await redis.zcard(`${DISPATCH.prefix}served:0`)).toBeLessThanOrEqual(50);
  });

  test('keeps a kind no longer than a poll of it may need it', async () => {
    await offerAll([poll({ models: ['only-here'], gpus: [{ model: 'NVIDIA H100', vram_gb: 80 }] })]);
    const keys = await redis.keys(`${DISPATCH.prefix}able:*`);
    expect(keys).toHaveLength(3);
    const polls = await redis.keys(`${DISPATCH.prefix}poll:*`);
    const lives = await Promise.all([...keys, ...polls].map((key) => redis.ttl(key)));
    // One account can bring 500 large kinds a minute: what is kept of each for an hour fills the memory of all.
    expect(Math.max(...lives)).toBeLessThanOrEqual(150);
    expect(Math.min(...lives.slice(0, 3))).toBeGreaterThan(lives[3] as number);
    // Of a poll that an earlier process held, or that was offered again, too.
    await redis.flushdb();
    await offerAll([poll({ epoch: 2 }), poll({ epoch: 1, models: ['too-late'] })]);
    const late = await redis.keys(`${DISPATCH.prefix}able:*`);
    expect(late).toHaveLength(6);
    for (const key of late) expect(await redis.ttl(key)).toBeGreaterThan(0);
  });

  test('whatever happens in whatever order: nothing is matched twice, and all that waits is found', async () => {
    type Step = {
      kind: 'job' | 'poll' | 'withdraw' | 'close' | 'again';
      model: number;
      pick: number;
      slots: number;
    };
    const steps = fc.array(
      fc.record<Step>({
        kind: fc.constantFrom('job', 'job', 'job', 'poll', 'poll', 'withdraw', 'close', 'again'),
        model: fc.nat(3),
        pick: fc.nat(1_000),
        slots: fc.integer({ min: 1, max: 4 }),
      }),
      { minLength: 1, maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        await redis.flushdb();
        const seen: Hint[] = [];
        const jobs: ReturnType<typeof job>[] = [];
        const polls: ReturnType<typeof poll>[] = [];
        const withdrawnIds = new Set<string>();
        const holder = new Map<string, string>();
        const given = new Map<string, Set<string>>();
        const run = async (hint: Hint) => {
          seen.push(hint);
          for (const match of await offerAll([hint])) {
            for (const id of match.job_ids) {
              expect(holder.get(id) ?? match.poll_id).toBe(match.poll_id);
              expect(withdrawnIds.has(id)).toBe(false);
              holder.set(id, match.poll_id);
              given.set(match.poll_id, (given.get(match.poll_id) ?? new Set()).add(id));
            }
          }
        };
        for (const step of plan) {
          const model = `model-${step.model}`;
          if (step.kind === 'job') {
            const hint = job({ model, client: `client-${step.pick % 3}`, priority: step.pick % 10 });
            jobs.push(hint);
            await run(hint);
          } else if (step.kind === 'poll') {
            const hint = poll({ models: [model, `model-${(step.model + 1) % 4}`], slots: step.slots });
            polls.push(hint);
            await run(hint);
          } else if (step.kind === 'withdraw') {
            const hint = jobs[step.pick % Math.max(1, jobs.length)];
            if (hint === undefined || holder.has(hint.payload.job_id)) continue;
            withdrawnIds.add(hint.payload.job_id);
            await run(withdrawn(hint));
          } else if (step.kind === 'close') {
            const hint = polls[step.pick % Math.max(1, polls.length)];
            if (hint !== undefined) await run(closed(hint.payload.poll_id));
          } else {
            const hint = seen[step.pick % Math.max(1, seen.length)];
            if (hint !== undefined) await run(hint);
          }
        }
        for (const hint of polls)
          expect(given.get(hint.payload.poll_id)?.size ?? 0).toBeLessThanOrEqual(hint.payload.slots);
        const left = await drain({ models: ['model-0', 'model-1', 'model-2', 'model-3'] });
        const expected = idsOf(jobs).filter((id) => !holder.has(id) && !withdrawnIds.has(id));
        expect([...left].sort()).toEqual([...new Set(expected)].sort());
      }),
      { numRuns: 60 },
    );
  });

  test('two workers at once give each job and each slot once', async () => {
    const other = connect();
    const pools = [pool, createPool(other, DISPATCH)];
    const hints = Array.from({ length: 1_000 }, () => job());
    const polls = Array.from({ length: 250 }, () => poll({ slots: 4 }));
    const batches: Hint[][] = [];
    for (let at = 0; at < 1_000; at += 20)
      batches.push([...hints.slice(at, at + 20), ...polls.slice(at / 4, at / 4 + 5)]);
    const matches = (
      await Promise.all(
        batches.map((batch, at) =>
          (pools[at % 2] as Pool).offer(at % 3 === 0 ? [...batch].reverse() : batch),
        ),
      )
    ).flatMap((outcome) => outcome.matches);
    const found = jobsOf(matches);
    expect(new Set(found).size).toBe(found.length);
    for (const match of matches) expect(match.job_ids.length).toBeLessThanOrEqual(4);
    found.push(...(await drain()));
    expect(new Set(found).size).toBe(1_000);
    expect(found).toHaveLength(1_000);
    other.disconnect();
  });
});
