import type { PublicReceipt } from '@aitbc/sdk';
import { expect, test } from 'vitest';
import { recentOf } from './recent.ts';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const done = (secondsAgo: number, price = 0): PublicReceipt =>
  ({
    started_at: new Date(NOW - secondsAgo * 1_000 - 200).toISOString(),
    completed_at: new Date(NOW - secondsAgo * 1_000).toISOString(),
    price,
  }) as PublicReceipt;

test('of a quiet network the whole hour is shown, minute by minute', () => {
  const hour = recentOf([done(5, 0.1), done(30, 0.2), done(600), done(7_200)], false, NOW);
  expect(hour).toMatchObject({ isWholeHour: true, binSeconds: 60, completed: 3, paid: 0.3, medianMs: 200 });
  expect(hour.done).toHaveLength(60);
  expect([hour.done.at(-1), hour.done.at(-10)]).toEqual([2, 1]);
  expect(recentOf([], false, NOW)).toMatchObject({ completed: 0, medianMs: null });
});

test('what is older than those that are known but not than an hour is never drawn as if nothing was done', () => {
  const busy = Array.from({ length: 500 }, (_, n) => done(n / 100 + 0.005));
  const seconds = recentOf(busy, true, NOW);
  expect(seconds).toMatchObject({ isWholeHour: false, binSeconds: 1, completed: 500 });
  expect(seconds.done).toEqual([100, 100, 100, 100, 100]);
  expect(seconds.perMinute).toBeCloseTo(6_000, -2);

  const minutes = recentOf([done(1), done(200), done(260)], true, NOW);
  expect(minutes).toMatchObject({ isWholeHour: false, binSeconds: 5 });
  expect(minutes.at[0]).toBe(NOW / 1_000 - 260);
});

test('a list that goes on, but beyond the hour, is the whole hour', () => {
  expect(recentOf([done(1), done(3_700)], true, NOW)).toMatchObject({ isWholeHour: true, completed: 1 });
});
