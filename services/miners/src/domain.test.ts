import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  ATTEMPT,
  type AttemptEvent,
  type AttemptState,
  directiveFor,
  idleReason,
  isNoticeable,
  nextHeartbeatSeconds,
  type Outcome,
  reputation,
  type Score,
  scoreAfter,
} from './domain.ts';

const OUTCOMES: Outcome[] = ['completed', 'failed', 'timed_out', 'lost', 'cancelled', 'expired', 'returned'];
const after = (outcomes: Outcome[], from: Score = { good: 0, bad: 0 }) => outcomes.reduce(scoreAfter, from);
const times = (count: number, outcome: Outcome) => Array<Outcome>(count).fill(outcome);

test('reputation stays within 0 and 1, and one outcome moves it by 0.03 at most', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...OUTCOMES), { maxLength: 300 }),
      fc.constantFrom(...OUTCOMES),
      (history, next) => {
        const score = after(history);
        const before = reputation(score);
        const now = reputation(scoreAfter(score, next));
        expect(before).toBeGreaterThanOrEqual(0);
        expect(before).toBeLessThanOrEqual(1);
        expect(Math.abs(now - before)).toBeLessThanOrEqual(0.031);
        if (next === 'completed') expect(now).toBeGreaterThanOrEqual(before);
        else expect(now).toBeLessThanOrEqual(before + (next === 'failed' ? 0.001 : 0.0001));
      },
    ),
  );
});

test('reputation: the newcomer, the good, the bad, the reformed', () => {
  expect(reputation(after([]))).toBe(0.8);
  expect(reputation(after(times(1_000, 'completed')))).toBeGreaterThan(0.95);
  expect(reputation(after(times(1_000, 'lost')))).toBeLessThan(0.15);
  expect(reputation(after(times(500, 'completed'), after(times(500, 'lost'))))).toBeGreaterThan(0.8);
  expect(after(['cancelled', 'expired', 'returned'])).toEqual({ good: 0, bad: 0 });
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
    fc.property(fc.integer({ min: 10, max: 600 }), (timeout) => {
      expect(2 * nextHeartbeatSeconds(timeout)).toBeLessThan(timeout);
      expect(nextHeartbeatSeconds(timeout)).toBeGreaterThan(0);
    }),
  );
});
