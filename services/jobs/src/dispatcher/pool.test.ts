import { connectRedis, createLog } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchRedis } from '@aitbc/testing';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dispatchKeys } from './keys.ts';
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

interface JobWish {
  id?: string;
  client?: string;
  lane?: string;
  priority?: number;
  avoid?: string[];
}
const job = (wish: JobWish = {}): Extract<Hint, { name: 'jobs.queued' }> => ({
  name: 'jobs.queued',
  payload: {
    offer: ++offer,
    job_id: wish.id ?? newId(),
    account_id: wish.client ?? newId(),
    lane: wish.lane ?? 'lane',
    priority: wish.priority ?? 5,
    avoid: wish.avoid ?? [],
  },
});
interface PollWish {
  id?: string;
  miner?: string;
  slots?: number;
  lanes?: string[];
  rank?: number;
  epoch?: number;
}
const poll = (wish: PollWish = {}): Extract<Hint, { name: 'jobs.capacity_opened' }> => ({
  name: 'jobs.capacity_opened',
  payload: {
    offer: ++offer,
    epoch: wish.epoch ?? 1,
    poll_id: wish.id ?? newId(),
    miner_id: wish.miner ?? newId(),
    slots: wish.slots ?? 1,
    lanes: wish.lanes ?? ['lane'],
    rank: wish.rank ?? 1,
  },
});
const closed = (id: string): Hint => ({ name: 'jobs.capacity_closed', payload: { poll_id: id } });
const withdrawn = (hint: ReturnType<typeof job>): Hint => {
  const { job_id, account_id, lane } = hint.payload;
  return { name: 'jobs.withdrawn', payload: { offer: ++offer, job_id, account_id, lane } };
};
const jobsOf = (matches: readonly Match[]): string[] => matches.flatMap((match) => match.job_ids);
/** Takes everything that waits, one job a poll, in the order it is given out. */
const drain = async (wish: PollWish = {}): Promise<string[]> => {
  const order: string[] = [];
  for (;;) {
    const found = jobsOf(await pool.offer([poll({ ...wish, slots: 32 })]));
    if (found.length === 0) return order;
    order.push(...found);
  }
};
const idsOf = (hints: readonly ReturnType<typeof job>[]): string[] =>
  hints.map((hint) => hint.payload.job_id);

describe('a match', () => {
  test('is made whichever comes first', async () => {
    const [first, second] = [job(), job()];
    expect(await pool.offer([first])).toEqual([]);
    const early = poll();
    expect(await pool.offer([early])).toEqual([
      { poll_id: early.payload.poll_id, miner_id: early.payload.miner_id, job_ids: [first.payload.job_id] },
    ]);
    const waiting = poll();
    expect(await pool.offer([waiting])).toEqual([]);
    expect(jobsOf(await pool.offer([second]))).toEqual([second.payload.job_id]);
    expect(await pool.offer([job()])).toEqual([]);
  });

  test('needs a common lane', async () => {
    expect(await pool.offer([job({ lane: 'a' }), poll({ lanes: ['b', 'c'] })])).toEqual([]);
    expect(await pool.offer([poll({ lanes: ['c', 'a'] })])).toHaveLength(1);
  });

  test('fills the slots of a poll and no more', async () => {
    const hints = Array.from({ length: 5 }, () => job());
    await pool.offer(hints);
    expect(jobsOf(await pool.offer([poll({ slots: 3 })]))).toEqual(idsOf(hints).slice(0, 3));
    expect(jobsOf(await pool.offer([poll({ slots: 3 })]))).toEqual(idsOf(hints).slice(3));
  });

  test('goes to the better rank, and a batch spreads over equals', async () => {
    const [worse, better, equal] = [
      poll({ rank: 2, slots: 4 }),
      poll({ rank: 1, slots: 4 }),
      poll({ rank: 1, slots: 4 }),
    ];
    await pool.offer([worse, better, equal]);
    const matches = await pool.offer([job(), job(), job(), job()]);
    const counts = new Map(matches.map((match) => [match.poll_id, match.job_ids.length]));
    expect(counts.get(better.payload.poll_id)).toBe(2);
    expect(counts.get(equal.payload.poll_id)).toBe(2);
    // Both were answered and wait no more.
    expect((await pool.offer([job()]))[0]?.poll_id).toBe(worse.payload.poll_id);
  });

  test('is not made with a poll that ended, nor with a job that was withdrawn', async () => {
    const ended = poll();
    await pool.offer([ended, closed(ended.payload.poll_id)]);
    const gone = job();
    expect(await pool.offer([gone])).toEqual([]);
    await pool.offer([withdrawn(gone)]);
    expect(await pool.offer([poll()])).toEqual([]);
  });

  test('is not made with what overtook its own end', async () => {
    const [late, lateJob] = [poll(), job()];
    await pool.offer([closed(late.payload.poll_id), withdrawn(lateJob)]);
    expect(await pool.offer([late, job()])).toEqual([]);
    expect(await pool.offer([lateJob])).toEqual([]);
    expect(jobsOf(await pool.offer([poll({ slots: 5 })]))).toHaveLength(1);
  });

  test('is not made with a poll of an earlier process', async () => {
    await pool.offer([poll({ epoch: 1 })]);
    await redis.set(DISPATCH.epoch, 2);
    expect(await pool.offer([job()])).toEqual([]);
    expect(await pool.offer([poll({ epoch: 1 })])).toEqual([]);
    expect(await pool.offer([poll({ epoch: 2 })])).toHaveLength(1);
  });

  test('avoids a miner that lost the job, until nobody else is left', async () => {
    const miner = newId();
    const lost = job({ avoid: [newId(), miner] });
    await pool.offer([poll({ miner })]);
    expect(await pool.offer([lost])).toEqual([]);
    // It waits at the head of the lane and does not stop the ones behind it.
    const other = job();
    expect(jobsOf(await pool.offer([other]))).toEqual([other.payload.job_id]);
    expect(await pool.offer([poll({ miner })])).toEqual([]);
    const again = job({ id: lost.payload.job_id, client: lost.payload.account_id, avoid: [] });
    expect(jobsOf(await pool.offer([again]))).toEqual([lost.payload.job_id]);
    expect(await pool.offer([poll()])).toEqual([]);
  });

  test('passes over the avoided head of a lane', async () => {
    const miner = newId();
    const [lost, next] = [job({ avoid: [miner] }), job()];
    await pool.offer([lost, next]);
    expect(jobsOf(await pool.offer([poll({ miner })]))).toEqual([next.payload.job_id]);
    expect(jobsOf(await pool.offer([poll()]))).toEqual([lost.payload.job_id]);
  });
});

describe('an offer that comes twice', () => {
  test('of a job: parking twice is one parking', async () => {
    const hint = job();
    await pool.offer([hint, hint]);
    await pool.offer([hint]);
    expect(jobsOf(await pool.offer([poll({ slots: 5 })]))).toEqual([hint.payload.job_id]);
  });

  test('of a job that was matched: the same match', async () => {
    await pool.offer([poll(), poll()]);
    const hint = job();
    const first = await pool.offer([hint]);
    expect(await pool.offer([hint])).toEqual(first);
    // A newer offer of it says that this match came to nothing.
    const newer = { ...hint, payload: { ...hint.payload, offer: ++offer } };
    const second = await pool.offer([newer]);
    expect(second[0]?.poll_id).not.toBe(first[0]?.poll_id);
    expect(await pool.offer([hint])).toEqual([]);
  });

  test('of a poll that got work: the same work', async () => {
    await pool.offer([job(), job(), job()]);
    const hint = poll({ slots: 2 });
    const first = await pool.offer([hint]);
    expect(jobsOf(first)).toHaveLength(2);
    expect(await pool.offer([hint])).toEqual(first);
    expect(jobsOf(await pool.offer([poll({ slots: 5 })]))).toHaveLength(1);
  });

  test('of a job that a poll took meanwhile: nothing', async () => {
    const hint = job();
    await pool.offer([hint]);
    await pool.offer([poll()]);
    expect(await pool.offer([hint, poll({ slots: 5 })])).toEqual([]);
  });

  test('of a poll with other lanes: the old ones are left', async () => {
    const hint = poll({ lanes: ['a', 'b'] });
    await pool.offer([hint]);
    await pool.offer([{ ...hint, payload: { ...hint.payload, offer: ++offer, lanes: ['b', 'c'] } }]);
    expect(await pool.offer([job({ lane: 'a' })])).toEqual([]);
    expect(await pool.offer([job({ lane: 'c' })])).toHaveLength(1);
    expect(await pool.offer([job({ lane: 'b' })])).toEqual([]);
  });
});

describe('the order of a lane', () => {
  test('is age among equals, priority above age', async () => {
    const hints = [3, 9, 5, 9, 0].map((priority) => job({ priority, client: newId() }));
    await pool.offer(hints);
    const [low, urgent, normal, urgentToo, last] = idsOf(hints);
    expect(await drain()).toEqual([urgent, urgentToo, normal, low, last]);
  });

  test('a client with 10,000 waiting delays the first of another by about one', async () => {
    const heavy = newId();
    for (let at = 0; at < 100; at++)
      await pool.offer(Array.from({ length: 100 }, () => job({ client: heavy })));
    const taken = jobsOf(await pool.offer([poll({ slots: 32 })]));
    expect(taken).toHaveLength(32);
    const light = [job(), job()];
    const sameClient = job({ client: light[0]?.payload.account_id as string });
    await pool.offer([...light, sameClient]);
    const next = jobsOf(await pool.offer([poll({ slots: 8 })]));
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
      await pool.offer(hints);
    }
    const first = (await drain()).slice(0, 100);
    const shares = clients.map((client) => first.filter((id) => owner.get(id) === client).length);
    for (const share of shares) expect(share).toBe(20);
  });

  test('starves nobody: the lowest priority gets its turn under an endless stream of the highest', async () => {
    const low = job({ priority: 0 });
    await pool.offer([low]);
    let served = 0;
    for (let at = 0; at < 300; at++) {
      // Always more urgent work than slots, each from a client never seen before.
      await pool.offer([job({ priority: 9 }), job({ priority: 9 })]);
      if (jobsOf(await pool.offer([poll()])).includes(low.payload.job_id)) break;
      served += 1;
    }
    // One job of sixteen goes to a level in turn, at or below it: ten turns are the worst case.
    expect(served).toBeLessThanOrEqual(160);
    expect(served).toBeGreaterThanOrEqual(15);
  });

  test('starves nobody: the second job of one client under an endless stream of new clients', async () => {
    const client = newId();
    const second = job({ client });
    await pool.offer([job({ client }), second]);
    let served = 0;
    for (let at = 0; at < 25; at++) {
      await pool.offer(Array.from({ length: 100 }, () => job()));
      const taken = jobsOf(
        (await Promise.all([1, 2, 3].map(() => pool.offer([poll({ slots: 32 })])))).flat(),
      );
      if (taken.includes(second.payload.job_id)) break;
      served += taken.length;
    }
    expect(served).toBeLessThanOrEqual(1_100);
    expect(served).toBeGreaterThan(0);
  });

  test('an idle client does not save up: what was served before does not count', async () => {
    const [early, late] = [newId(), newId()];
    await pool.offer(Array.from({ length: 40 }, () => job({ client: early })));
    await pool.offer([poll({ slots: 32 })]);
    const hints = Array.from({ length: 40 }, () => job({ client: late }));
    const lateIds = new Set(idsOf(hints));
    await pool.offer(hints);
    const next = jobsOf(await pool.offer([poll({ slots: 16 })]));
    // Not all of `late` first because it had none before: equal shares from now on.
    expect(next.filter((id) => lateIds.has(id)).length).toBeLessThanOrEqual(9);
    expect(next.filter((id) => lateIds.has(id)).length).toBeGreaterThanOrEqual(7);
  });
});

describe('among lanes', () => {
  test('priority counts over lanes', async () => {
    const [normal, urgent] = [job({ lane: 'a' }), job({ lane: 'b', priority: 8 })];
    await pool.offer([normal, urgent]);
    expect(await drain({ lanes: ['a', 'b'] })).toEqual([urgent.payload.job_id, normal.payload.job_id]);
  });

  test('a client with many lanes gains nothing by it', async () => {
    const [many, one] = [newId(), newId()];
    const lanes = Array.from({ length: 20 }, (_, at) => `lane-${at}`);
    for (const lane of lanes) await pool.offer(Array.from({ length: 10 }, () => job({ client: many, lane })));
    const hints = Array.from({ length: 10 }, () => job({ client: one, lane: 'lane-0' }));
    await pool.offer(hints);
    const ids = new Set(idsOf(hints));
    const order: string[] = [];
    for (let at = 0; at < 20; at++) order.push(...jobsOf(await pool.offer([poll({ lanes })])));
    expect(order.filter((id) => ids.has(id)).length).toBeGreaterThanOrEqual(9);
  });

  test('jobs stuck in a lane nobody serves do not hold their client back elsewhere', async () => {
    const client = newId();
    await pool.offer(Array.from({ length: 100 }, () => job({ client, lane: 'rare' })));
    const mine = job({ client, lane: 'common' });
    const others = Array.from({ length: 50 }, () => job({ lane: 'common' }));
    await pool.offer([mine, ...others]);
    const next = jobsOf(await pool.offer([poll({ lanes: ['common'], slots: 2 })]));
    expect(next).toContain(mine.payload.job_id);
  });
});

describe('the index', () => {
  test('leaves nothing behind but short-lived records once all is done', async () => {
    const hints = Array.from({ length: 50 }, (_, at) =>
      job({ lane: `lane-${at % 5}`, priority: at % 10, avoid: at % 7 === 0 ? [newId()] : [] }),
    );
    const lanes = ['lane-0', 'lane-1', 'lane-2', 'lane-3', 'lane-4'];
    await pool.offer(hints);
    expect(await drain({ lanes })).toHaveLength(50);
    for (const key of await redis.keys(`${DISPATCH.prefix}poll:*`)) {
      await pool.offer([closed(key.slice(`${DISPATCH.prefix}poll:`.length))]);
    }
    const kept = await redis.keys(`${DISPATCH.prefix}*`);
    const lasting: string[] = [];
    for (const key of kept) if ((await redis.ttl(key)) < 0) lasting.push(key);
    const fixed = ['epoch', 'served', 'time'].map((name) => DISPATCH.prefix + name);
    expect(lasting.filter((key) => !fixed.includes(key))).toEqual([]);
    expect(await redis.zcard(`${DISPATCH.prefix}served`)).toBeLessThanOrEqual(50);
  });

  test('whatever happens in whatever order: nothing is matched twice, and all that waits is found', async () => {
    type Step = {
      kind: 'job' | 'poll' | 'withdraw' | 'close' | 'again';
      lane: number;
      pick: number;
      slots: number;
    };
    const steps = fc.array(
      fc.record<Step>({
        kind: fc.constantFrom('job', 'job', 'job', 'poll', 'poll', 'withdraw', 'close', 'again'),
        lane: fc.nat(3),
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
          for (const match of await pool.offer([hint])) {
            for (const id of match.job_ids) {
              expect(holder.get(id) ?? match.poll_id).toBe(match.poll_id);
              expect(withdrawnIds.has(id)).toBe(false);
              holder.set(id, match.poll_id);
              given.set(match.poll_id, (given.get(match.poll_id) ?? new Set()).add(id));
            }
          }
        };
        for (const step of plan) {
          const lane = `lane-${step.lane}`;
          if (step.kind === 'job') {
            const hint = job({ lane, client: `client-${step.pick % 3}`, priority: step.pick % 10 });
            jobs.push(hint);
            await run(hint);
          } else if (step.kind === 'poll') {
            const hint = poll({ lanes: [lane, `lane-${(step.lane + 1) % 4}`], slots: step.slots });
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
        const left = await drain({ lanes: ['lane-0', 'lane-1', 'lane-2', 'lane-3'] });
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
    ).flat();
    const found = jobsOf(matches);
    expect(new Set(found).size).toBe(found.length);
    for (const match of matches) expect(match.job_ids.length).toBeLessThanOrEqual(4);
    found.push(...(await drain()));
    expect(new Set(found).size).toBe(1_000);
    expect(found).toHaveLength(1_000);
    other.disconnect();
  });
});
