import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs, createNotice, parseRetryAfter, pause, retryDelayMs } from './pacing.ts';

const BACKOFF = { baseMs: 250, capMs: 15_000 };

describe('back-off', () => {
  it('doubles from the base to the cap, half of it random', () => {
    const least = [0, 1, 2, 3, 4, 5, 6, 7, 50, 5_000].map((failures) =>
      backoffMs(failures, BACKOFF, () => 0),
    );
    expect(least).toEqual([125, 250, 500, 1000, 2000, 4000, 7500, 7500, 7500, 7500]);
    expect(backoffMs(0, BACKOFF, () => 1)).toBe(250);
    expect(backoffMs(9, BACKOFF, () => 1)).toBe(15_000);
  });

  it('never waits less than the server asked, nor much more', () => {
    fc.assert(
      fc.property(
        fc.nat(100),
        fc.integer({ min: 0, max: 3_600_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (failures, asked, random) => {
          const delay = retryDelayMs(failures, asked, BACKOFF, () => random);
          expect(delay).toBeGreaterThanOrEqual(asked);
          expect(delay).toBeLessThanOrEqual(asked + 1000);
        },
      ),
    );
  });

  it('does not believe a Retry-After of more than an hour', () => {
    expect(retryDelayMs(0, 10 ** 12, BACKOFF, () => 0)).toBe(3_600_000);
  });
});

describe('Retry-After', () => {
  const now = Date.parse('2026-11-24T09:30:00Z');
  it.each([
    ['7', 7000],
    ['0', 0],
    ['Tue, 24 Nov 2026 09:30:05 GMT', 5000],
    ['Tue, 24 Nov 2026 09:29:00 GMT', 0],
    ['soon', null],
    [null, null],
  ])('%s', (value, expected) => {
    expect(parseRetryAfter(value, now)).toBe(expected);
  });
});

describe('waiting', () => {
  it('ends early with its signal, and at once with one that has fired', async () => {
    const controller = new AbortController();
    const at = performance.now();
    setTimeout(() => controller.abort(), 5);
    await Promise.all([pause(60_000, controller.signal), createNotice().wait(controller.signal, 60_000)]);
    await pause(60_000, controller.signal);
    await createNotice().wait(controller.signal);
    expect(performance.now() - at).toBeLessThan(5_000);
  });

  it('a notice wakes all that wait, and only those', async () => {
    const notice = createNotice();
    const { signal } = new AbortController();
    notice.raise();
    let woken = 0;
    const waits = [1, 2].map(() => notice.wait(signal).then(() => (woken += 1)));
    await Promise.resolve();
    expect(woken).toBe(0);
    notice.raise();
    await Promise.all(waits);
    expect(woken).toBe(2);
  });
});
