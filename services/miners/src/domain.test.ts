import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  ATTEMPT,
  type AttemptEvent,
  type AttemptState,
  directiveFor,
  faded,
  idleReason,
  isNoticeable,
  NO_WORDS,
  nextHeartbeatSeconds,
  type Outcome,
  reputation,
  type Words,
  wordAgainst,
  wordFor,
} from './domain.ts';

const OUTCOMES: Outcome[] = ['completed', 'failed', 'timed_out', 'lost', 'cancelled', 'expired', 'returned'];
const AITBC = 100_000_000;
const DAY_MS = 24 * 3_600_000;

/** An account that clients speak of, as the commands do it. */
const createAccount = () => {
  const clients = new Map<string, Words>();
  let words: Words = NO_WORDS;
  const of = (client: string, nowMs: number) => faded(clients.get(client) ?? NO_WORDS, nowMs);
  const add = (client: string, nowMs: number, good: number, bad: number) => {
    const before = of(client, nowMs);
    clients.set(client, { good: before.good + good, bad: before.bad + bad, at_ms: nowMs });
    const all = faded(words, nowMs);
    words = { good: all.good + good, bad: all.bad + bad, at_ms: nowMs };
  };
  return {
    paid: (client: string, earnedMinor: number, nowMs = 0) =>
      add(client, nowMs, wordFor(of(client, nowMs), earnedMinor), 0),
    ended: (client: string, outcome: Outcome, nowMs = 0) => {
      const { bad, asStranger } = wordAgainst(of(client, nowMs), of('', nowMs), outcome);
      if (asStranger > 0) {
        const strangers = of('', nowMs);
        clients.set('', { ...strangers, bad: strangers.bad + asStranger });
      }
      add(client, nowMs, 0, bad);
    },
    reputation: (nowMs = 0) => reputation(faded(words, nowMs)),
  };
};

test('reputation stays within 0 and 1, whoever says what', () => {
  const event = fc.record({
    client: fc.constantFrom('a', 'b', 'c', 'd'),
    minor: fc.integer({ min: 1, max: 1_000_000_000_000_000 }),
    outcome: fc.constantFrom(...OUTCOMES),
    isPaid: fc.boolean(),
    afterMs: fc.integer({ min: -DAY_MS, max: 40 * DAY_MS }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), (events) => {
      const account = createAccount();
      let nowMs = 0;
      for (const { client, minor, outcome, isPaid, afterMs } of events) {
        nowMs += afterMs;
        const before = account.reputation(nowMs);
        if (isPaid) account.paid(client, minor, nowMs);
        else account.ended(client, outcome, nowMs);
        const now = account.reputation(nowMs);
        expect(now).toBeGreaterThanOrEqual(0);
        expect(now).toBeLessThanOrEqual(1);
        if (isPaid) expect(now).toBeGreaterThanOrEqual(before);
        else expect(now).toBeLessThanOrEqual(before);
      }
    }),
  );
});

test('reputation comes from distinct clients that pay, and dust is nothing', () => {
  const account = createAccount();
  expect(account.reputation()).toBe(0.5);
  for (let job = 0; job < 1_000; job += 1) account.paid('one', 1);
  expect(account.reputation()).toBe(0.5);
  for (let job = 0; job < 1_000; job += 1) account.paid('one', AITBC);
  const byOne = account.reputation();
  expect(byOne).toBeLessThan(0.67);
  for (const client of ['two', 'three', 'four', 'five', 'six', 'seven'])
    for (let job = 0; job < 10; job += 1) account.paid(client, AITBC);
  expect(account.reputation()).toBeGreaterThan(0.88);
});

test('one client cannot destroy a reputation, nor can all who never paid, however many they are', () => {
  const known = createAccount();
  for (const client of ['a', 'b', 'c', 'd', 'e'])
    for (let job = 0; job < 10; job += 1) known.paid(client, AITBC);
  const before = known.reputation();
  for (let job = 0; job < 1_000; job += 1) known.ended('a', 'lost');
  expect(known.reputation()).toBeGreaterThan(before - 0.06);
  for (let stranger = 0; stranger < 1_000; stranger += 1) known.ended(`stranger ${stranger}`, 'lost');
  expect(known.reputation()).toBeGreaterThan(0.7);
  // Dust buys no voice: they are strangers still.
  const dusty = createAccount();
  for (let client = 0; client < 1_000; client += 1) {
    dusty.paid(`c${client}`, 1);
    for (let job = 0; job < 10; job += 1) dusty.ended(`c${client}`, 'lost');
  }
  expect(dusty.reputation()).toBeGreaterThanOrEqual(0.33);
});

test('a miner that loses the jobs of those who paid it goes down, and time heals', () => {
  const account = createAccount();
  for (let client = 0; client < 30; client += 1) {
    account.paid(`c${client}`, AITBC);
    for (let job = 0; job < 5; job += 1) account.ended(`c${client}`, 'lost');
  }
  expect(account.reputation()).toBeLessThan(0.52);
  const failing = createAccount();
  for (let job = 0; job < 20; job += 1) failing.ended(`c${job}`, 'lost');
  expect(failing.reputation()).toBeLessThan(0.34);
  expect(failing.reputation(90 * DAY_MS)).toBeGreaterThan(0.46);
  failing.ended('c', 'cancelled');
  failing.ended('c', 'expired');
  failing.ended('c', 'returned');
  expect(failing.reputation()).toBeLessThan(0.34);
  expect(isNoticeable(0.8, 0.81)).toBe(false);
  expect(isNoticeable(0.8, 0.77)).toBe(true);
});

test('the same events in any order leave an attempt in the same state', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.constantFrom<AttemptEvent>('started', 'ended'), { minLength: 2 }),
      fc.array(fc.constantFrom<AttemptEvent>('started', 'overtaken', 'ended'), { maxLength: 5 }),
      (all, repeated) => {
        let state: AttemptState | 'unknown' = 'unknown';
        for (const event of [...all, ...repeated]) {
          const next: AttemptState | 'ignore' = ATTEMPT[state][event];
          if (next !== 'ignore') state = next;
        }
        expect(state).toBe('ended');
      },
    ),
  );
});

test('what an agent is told of a job that it names', () => {
  const known = (attempt: number, miner_id: string, outcome: Outcome | null) => ({
    attempt,
    miner_id,
    outcome,
  });
  expect(directiveFor([], 'me')).toBeNull();
  expect(directiveFor([known(1, 'me', null)], 'me')).toBeNull();
  expect(directiveFor([known(1, 'me', 'completed')], 'me')).toBeNull();
  expect(directiveFor([known(1, 'me', 'failed')], 'me')).toBeNull();
  expect(directiveFor([known(1, 'me', 'lost')], 'me')).toBe('drop');
  expect(directiveFor([known(1, 'me', 'timed_out')], 'me')).toBe('drop');
  expect(directiveFor([known(1, 'me', 'cancelled')], 'me')).toBe('cancel');
  expect(directiveFor([known(1, 'me', 'expired')], 'me')).toBe('cancel');
  // Moved; moved and then cancelled; moved and back again; known of others alone.
  expect(directiveFor([known(2, 'other', null), known(1, 'me', null)], 'me')).toBe('drop');
  expect(directiveFor([known(1, 'me', 'lost'), known(2, 'other', 'cancelled')], 'me')).toBe('cancel');
  expect(
    directiveFor([known(3, 'me', null), known(2, 'other', 'lost'), known(1, 'me', 'lost')], 'me'),
  ).toBeNull();
  expect(directiveFor([known(1, 'other', 'lost')], 'me')).toBeNull();
  // The agent says which attempt it runs.
  const wandered = [known(1, 'me', 'lost'), known(2, 'other', null), known(4, 'me', null)];
  expect([1, 2, 3, 4, 5].map((held) => directiveFor(wandered, 'me', held))).toEqual([
    'drop',
    'drop',
    'drop',
    null,
    null,
  ]);
  expect(directiveFor([known(1, 'me', 'lost')], 'me', 1)).toBe('drop');
  expect(directiveFor([known(1, 'me', 'lost')], 'me', 2)).toBeNull();
  expect(directiveFor([known(1, 'me', 'cancelled')], 'me', 2)).toBe('cancel');
  expect(directiveFor([known(1, 'other', 'cancelled')], 'me', 1)).toBeNull();
});

test('why no work, and how often to beat', () => {
  const busy = { status: 'active' as const, inflight: 1, concurrency: 2, isOffering: true };
  expect(idleReason(busy)).toBeNull();
  expect(idleReason({ ...busy, inflight: 2 })).toBe('at_capacity');
  expect(idleReason({ ...busy, inflight: 0 })).toBe('no_matching_jobs');
  expect(idleReason({ ...busy, isOffering: false })).toBeNull();
  expect(idleReason({ ...busy, isOffering: false, inflight: 0 })).toBe('nothing_offered');
  expect(idleReason({ ...busy, status: 'inactive' })).toBe('inactive');
  fc.assert(
    fc.property(
      fc.integer({ min: 10, max: 600 }),
      fc.record({ inflight: fc.nat(3), isMissing: fc.boolean(), fleet: fc.integer({ min: 1, max: 40 }) }),
      (timeout, miner) => {
        expect(2 * nextHeartbeatSeconds(timeout, miner)).toBeLessThan(timeout);
        expect(nextHeartbeatSeconds(timeout, miner)).toBeGreaterThan(0);
      },
    ),
  );
  const next = (changes: object) =>
    nextHeartbeatSeconds(30, { inflight: 0, isMissing: false, fleet: 1, ...changes });
  expect(next({})).toBe(13);
  expect(next({ inflight: 1 })).toBe(5);
  // A large fleet's beats must fit into its account's budget.
  expect(next({ inflight: 1, fleet: 1_000 })).toBe(13);
  expect(next({ isMissing: true, fleet: 1_000 })).toBe(5);
});
