import { eventually } from '@aitbc/testing';
import { expect, test } from 'vitest';
import { createLog, createMetrics } from './index.ts';
import { occasionally } from './occasionally.ts';
import { startTicker } from './ticker.ts';

test('work that fails again and again is told once a minute, and once when it runs again', async () => {
  const log = createLog('jobs', 'silent');
  const lines: string[] = [];
  log.error = ((_fields: unknown, text: string) => void lines.push(`error: ${text}`)) as never;
  log.info = ((_fields: unknown, text: string) => void lines.push(`info: ${text}`)) as never;
  let runs = 0;
  let isBroken = true;
  const run = () => {
    runs += 1;
    if (isBroken) throw new Error('no room');
  };
  const schedule = [{ name: 'test.work', everyMs: 1, run }];
  const ticker = startTicker({ schedule, leads: () => true, log, metrics: createMetrics('jobs') });
  await eventually(() => runs > 100);
  expect(lines).toEqual(['error: scheduled work failed; it will run again']);
  isBroken = false;
  await eventually(() => lines.length === 2);
  expect(lines[1]).toBe('info: scheduled work runs again');
  isBroken = true;
  const before = runs;
  await eventually(() => runs > before + 100);
  isBroken = false;
  const then = runs;
  await eventually(() => runs > then + 100);
  await ticker.stop();
  expect(lines).toHaveLength(2);
});

test('each key is told after a minute again, with how often it was kept back', () => {
  let nowMs = 0;
  const tell = occasionally({ now: () => nowMs });
  expect(tell('a')).toBe(0);
  nowMs = 59_999;
  expect([tell('a'), tell('a'), tell('b')]).toEqual([undefined, undefined, 0]);
  nowMs = 60_000;
  expect([tell('a'), tell('b')]).toEqual([2, undefined]);
});
