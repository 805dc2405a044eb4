import { setTimeout as sleep } from 'node:timers/promises';
import { routes, toMinor } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { expect } from 'vitest';
import { verifyLedger } from '../scripts/verify.ts';
import { every, nothingPlayed, persist, playMiner, repeated } from './careful.ts';
import { accountOf, type Coordinator, must, passes, registerMiner } from './coordinator.ts';

// Jobs run through a system that is struck again and again; in the end all is as if nothing had been.

/** Striking stops after this share of the time. */
const KILLING_SHARE = 0.4;
const MINERS = 12;
const JOBS_PER_POLL = 8;
/** Every fourth job is paid for. */
const PAID_EVERY = 4;
const PRICE = 0.25;

const { jobs, payments } = routes;

/** mulberry32: small, seeded, good enough to choose victims. */
const randomFrom = (seed: number) => {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
};

/** Each victim once in some order, then whoever comes, 1–2.5 s apart: a victim stays away longer each time it is hit. */
const planFor = (
  victims: readonly string[],
  seconds: number,
  seed: number,
): { atMs: number; victim: string }[] => {
  const random = randomFrom(seed);
  const first = [...victims]
    .map((victim) => ({ victim, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ victim }) => victim);
  const plan: { atMs: number; victim: string }[] = [];
  for (let atMs = 1_000; atMs < seconds * 1_000; atMs += 1_000 + random() * 1_500) {
    const anyone = victims[Math.floor(random() * victims.length)] as string;
    plan.push({ atMs: Math.round(atMs), victim: first.shift() ?? anyone });
  }
  return plan;
};

export interface Chaos {
  readonly jobs: number;
  /** All of it: jobs, strikes, and the time after the last one in which everything has to come to its end. */
  readonly seconds: number;
  /** The same seed makes the same schedule; what the processes make of it still depends on the machine. */
  readonly seed: number;
  readonly victims: readonly string[];
  readonly strike: (victim: string) => Promise<void>;
}

/** None is lost, each is completed once with one receipt, and every paid one is paid once. @throws when not */
export const surviveChaos = async (coordinator: Coordinator, options: Chaos): Promise<void> => {
  const { anyone, admin, client } = coordinator;
  const { seconds, jobs: jobCount, seed } = options;
  const account_id = await accountOf(client);
  const paidJobs = Math.ceil(jobCount / PAID_EVERY);
  const funds = paidJobs * PRICE + 10;
  await eventually(async () =>
    must(
      await admin.call(payments.credit, {
        params: { account_id },
        body: { amount: funds, reason: 'to pay with' },
        idempotencyKey: 'funds',
      }),
    ),
  );
  const fleet = await Promise.all(
    Array.from({ length: MINERS }, async (_, index) => {
      const name = `miner-${index}`;
      return (await registerMiner(coordinator.miner, { name, concurrency: JOBS_PER_POLL })).id;
    }),
  );

  const startedAt = performance.now();
  const elapsed = () => performance.now() - startedAt;
  const leaving = new AbortController();
  const played = nothingPlayed();
  const playing = Promise.all(
    fleet.map((minerId) =>
      playMiner({
        caller: coordinator.miner,
        minerId,
        maxJobs: JOBS_PER_POLL,
        played,
        leaving: leaving.signal,
        work: async (items) => {
          await sleep(Math.random() * 50);
          return items.map(({ id, parameters }) => ({ id, parameters }));
        },
      }),
    ),
  );

  const plan = planFor(options.victims, seconds * KILLING_SHARE, seed);
  const killing = (async () => {
    for (const { atMs, victim } of plan) {
      await sleep(Math.max(0, atMs - elapsed()));
      await options.strike(victim);
    }
  })();

  // Spread over the time of the killing, so that something of everything is always on its way.
  const submitted = new Map<number, string>();
  let next = 0;
  const submitter = async () => {
    for (let n = next++; n < jobCount; n = next++) {
      const dueMs = (n / jobCount) * seconds * KILLING_SHARE * 1_000;
      await sleep(Math.max(0, dueMs - elapsed()));
      const body = {
        job_type: 'custom',
        parameters: { input: { n } },
        labels: [`n-${n}`],
        // What is lost on the way to a miner comes back after this.
        timeout_seconds: 8,
        max_attempts: 10,
        ttl_seconds: 86_400,
        ...(n % PAID_EVERY === 0 ? { payment_amount: PRICE } : {}),
      };
      const answer = await persist((signal) =>
        client.call(jobs.submit, { body, signal, idempotencyKey: `chaos-${seed}-${n}` }),
      );
      submitted.set(n, must(answer).id);
    }
  };
  await Promise.all([...Array.from({ length: 16 }, submitter), killing]);
  const killedUntil = elapsed();

  const left = async (status: 'pending' | 'running') => {
    const query = { status, limit: 500 };
    return must(await persist((signal) => client.call(jobs.list, { query, signal }))).items;
  };
  // A strike that waits for a new master takes longer than planned; what comes after it needs its time all the same.
  const withinMs = Math.max(40_000, seconds * 1_000 - elapsed());
  await passes(
    async () => {
      const open = [...(await left('pending')), ...(await left('running'))];
      expect(open.map(({ id, status, attempt, error }) => ({ id, status, attempt, error }))).toEqual([]);
    },
    { withinMs, everyMs: 250 },
  );
  const endedAfter = elapsed();
  leaving.abort();
  await playing;

  const all = await every(async (cursor) =>
    must(await persist(() => client.call(jobs.list, { query: { limit: 500, ...cursor } }))),
  );
  // Each submit made one job, however often it was tried.
  expect(submitted.size).toBe(jobCount);
  expect(all.map(({ id }) => id).sort()).toEqual([...submitted.values()].sort());
  for (const { id, status, error, result, parameters } of all)
    expect({ id, status, error, result }).toEqual({
      id,
      status: 'completed',
      error: null,
      result: { id, parameters },
    });

  const receipts = await every(async (cursor) =>
    must(await persist(() => anyone.call(jobs.publicReceipts, { query: { limit: 500, ...cursor } }))),
  );
  expect(repeated(receipts.map(({ job_id }) => job_id))).toEqual([]);
  expect(receipts.map(({ job_id }) => job_id).sort()).toEqual([...submitted.values()].sort());
  expect([...played.accepted.values()].filter((leases) => leases.size !== 1)).toEqual([]);
  expect(played.accepted.size).toBe(jobCount);

  await moneyIsRight(coordinator, account_id, { funds, spent: paidJobs * PRICE });
  const restarts = coordinator.stack.processes.reduce((sum, process) => sum + process.restarts, 0);
  const repeatedJobs = all.filter(({ attempt }) => attempt > 1).length;
  console.log(
    `chaos: CHAOS_SEED=${seed}, ${plan.length} strikes in ${(killedUntil / 1_000).toFixed(1)} s ` +
      `(${restarts} restarts), ${jobCount} jobs completed after ${(endedAfter / 1_000).toFixed(1)} s, ` +
      `${repeatedJobs} of them not in their first attempt, ` +
      `results refused: ${JSON.stringify(Object.fromEntries(played.refused))}`,
  );
  expect(restarts).toBeGreaterThan(0);
};

/** Every paid job was paid once, nothing is held, and the chain that says so is whole. */
const moneyIsRight = async (
  { url, client, anyone }: Coordinator,
  user_id: string,
  { funds, spent }: { funds: number; spent: number },
): Promise<void> => {
  await passes(
    async () => {
      const balance = must(await persist(() => client.call(payments.balance, { params: { user_id } })));
      expect(balance).toMatchObject({ held: 0, available: funds - spent, balance: funds - spent });
    },
    { withinMs: 20_000, everyMs: 250 },
  );
  const transfers = await every(async (cursor) =>
    must(await persist(() => anyone.call(payments.transactions, { query: { limit: 500, ...cursor } }))),
  );
  const sum = (kinds: string[]) =>
    transfers
      .filter(({ kind }) => kinds.includes(kind))
      .reduce((total, { value }) => total + toMinor(value), 0);
  expect(sum(['hold'])).toBe(toMinor(spent));
  expect(sum(['release', 'fee'])).toBe(toMinor(spent));
  expect(sum(['refund'])).toBe(0);
  expect((await verifyLedger({ url, from: 0 })).wrong).toBeNull();
};
