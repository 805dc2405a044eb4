import { expect, test } from 'vitest';
import { createClock, watchClock } from './clock.ts';
import type { Log } from './log.ts';
import { createMetrics } from './metrics.ts';

const HOUR = 3_600_000;

const stand = () => {
  let wallMs = 1_800_000_000_000;
  let monotonicMs = 5_000;
  const clock = createClock(
    () => wallMs,
    () => monotonicMs,
  );
  return {
    clock,
    wall: () => wallMs,
    jump: (ms: number) => {
      wallMs += ms;
    },
    /** Time passes, and somebody asks every `everyMs`. */
    pass: (ms: number, everyMs = 250) => {
      for (let passed = 0; passed < ms; passed += everyMs) {
        wallMs += everyMs;
        monotonicMs += everyMs;
        clock.nowMs();
      }
    },
  };
};

test('without a jump it is the wall clock', () => {
  const { clock, wall, pass } = stand();
  pass(60_000);
  expect(clock.nowMs()).toBe(wall());
});

test.each([HOUR, -HOUR])(
  'a jump of %i ms moves no deadline: a minute stays a minute within a tenth',
  (ms) => {
    const { clock, jump, pass } = stand();
    const before = clock.nowMs();
    jump(ms);
    expect(clock.nowMs()).toBe(before);
    pass(60_000);
    expect(Math.abs(clock.nowMs() - before - 60_000)).toBeLessThanOrEqual(6_000);
  },
);

test.each([HOUR, -HOUR])('after a jump of %i ms it is the wall clock again within ten hours', (ms) => {
  const { clock, wall, jump, pass } = stand();
  jump(ms);
  pass(9 * HOUR, 1_000);
  expect(clock.nowMs()).not.toBe(wall());
  pass(HOUR, 1_000);
  expect(clock.nowMs()).toBe(wall());
});

test('it never goes back, not for a small correction either', () => {
  const { clock, jump, pass } = stand();
  let last = clock.nowMs();
  for (const ms of [-900, 400, -HOUR, 2 * HOUR, -HOUR, -1]) {
    jump(ms);
    expect(clock.nowMs()).toBeGreaterThanOrEqual(last);
    pass(500);
    expect(clock.nowMs()).toBeGreaterThanOrEqual(last);
    last = clock.nowMs();
  }
});

test('a jump after a long silence is not made good at once', () => {
  const { clock, jump, pass } = stand();
  const before = clock.nowMs();
  pass(HOUR, HOUR);
  jump(HOUR);
  pass(HOUR, HOUR);
  expect(clock.nowMs() - before).toBeLessThan(2 * HOUR + 1_000);
});

test('a start takes the wall clock as it is', () => {
  const { clock, wall, jump } = stand();
  jump(-HOUR);
  clock.anchor();
  expect(clock.nowMs()).toBe(wall());
});

test('a jump is said once in the log, and stands in a metric', async () => {
  const { clock, jump, pass } = stand();
  const said: string[] = [];
  const log = { warn: () => said.push('apart'), info: () => said.push('together') } as unknown as Log;
  const metrics = createMetrics('jobs');
  const watch = watchClock(clock, log, metrics);
  const look = () => watch.run(new AbortController().signal);
  look();
  jump(HOUR);
  look();
  look();
  expect(said).toEqual(['apart']);
  expect(await metrics.registry.metrics()).toMatch(/clock_gap_seconds\{.*\} 3600/);
  pass(10 * HOUR, 1_000);
  look();
  expect(said).toEqual(['apart', 'together']);
});
