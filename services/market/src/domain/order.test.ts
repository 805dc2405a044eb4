import { OrderStatus } from '@aitbc/contracts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { afterEvent, charge, minutesToPay, type OrderEvent, toMinutes, windowMs } from './order.ts';

const EVENTS: OrderEvent[] = ['held', 'refused', 'unanswered', 'released', 'due', 'absent', 'settled'];

describe('the states of an order', () => {
  it('answer every event', () => {
    for (const status of OrderStatus.options)
      for (const event of EVENTS)
        expect([...OrderStatus.options, 'ignore', 'conflict']).toContain(afterEvent(status, event));
  });

  it('only go forward, and settled and cancelled are final', () => {
    const rank = { pending_payment: 0, active: 1, ended: 2, settled: 3, cancelled: 3 };
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...EVENTS), { maxLength: 30 }), (events) => {
        let status: OrderStatus = 'pending_payment';
        for (const event of events) {
          const outcome = afterEvent(status, event);
          if (outcome === 'ignore' || outcome === 'conflict') continue;
          expect(rank[outcome]).toBeGreaterThanOrEqual(rank[status]);
          if (rank[status] === 3) expect(outcome).toBe(status);
          status = outcome;
        }
      }),
    );
  });

  it('take the same event twice without going further', () => {
    for (const status of OrderStatus.options)
      for (const event of ['held', 'refused', 'unanswered', 'due', 'absent', 'settled'] as const) {
        const first = afterEvent(status, event);
        if (first === 'ignore' || first === 'conflict') continue;
        expect(['ignore', first]).toContain(afterEvent(first, event));
      }
  });
});

describe('the charge', () => {
  const price = fc.integer({ min: 1, max: 10_000_000 * 100_000_000 });
  const minutes = fc.integer({ min: 1, max: 43_200 });

  it('is the exact price, rounded up to a minor unit', () => {
    fc.assert(
      fc.property(price, minutes, (priceMinor, count) => {
        fc.pre(BigInt(priceMinor) * BigInt(count) < 60n * 2n ** 53n);
        const exact60 = BigInt(priceMinor) * BigInt(count);
        const charged60 = BigInt(charge(priceMinor, count)) * 60n;
        expect(charged60 >= exact60 && charged60 - exact60 < 60n).toBe(true);
      }),
    );
    expect(charge(1, 1)).toBe(1);
    expect(charge(60_000_000, 90)).toBe(90_000_000);
  });

  it('for a part is never above the charge for the whole', () => {
    fc.assert(
      fc.property(price, minutes, minutes, (priceMinor, a, b) => {
        expect(charge(priceMinor, Math.min(a, b))).toBeLessThanOrEqual(charge(priceMinor, Math.max(a, b)));
      }),
    );
  });
});

describe('the minutes to pay', () => {
  const hour = { minutes: 60, start_at_ms: 1_000_000, end_at_ms: 1_000_000 + 3_600_000 };
  const after = (ms: number) => hour.start_at_ms + ms;

  it('are started ones for the booker, at least one, and none before the window began', () => {
    const cases = [
      [-86_400_000, 0],
      [-1, 0],
      [0, 1],
      [1, 1],
      [60_000, 1],
      [60_001, 2],
      [3_599_999, 60],
    ] as const;
    for (const [ms, expected] of cases)
      expect(minutesToPay(hour, 'RELEASED_BY_BOOKER', after(ms))).toBe(expected);
  });

  it('are whole ones when the owner or its miner broke it off', () => {
    const cases = [
      [-5_000, 0],
      [0, 0],
      [59_999, 0],
      [60_000, 1],
      [119_999, 1],
      [3_599_999, 59],
    ] as const;
    for (const [ms, expected] of cases) {
      expect(minutesToPay(hour, 'RELEASED_BY_OWNER', after(ms))).toBe(expected);
      expect(minutesToPay(hour, 'MINER_ABSENT', after(ms))).toBe(expected);
    }
  });

  it('are all of them when the time is up, however late that is seen', () => {
    expect(minutesToPay(hour, 'COMPLETED', after(3_600_000 + 1))).toBe(60);
  });

  it('do not depend on how fast business time runs', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 43_200 }),
        fc.constantFrom(1, 60),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (count, scale, share) => {
          const length = windowMs(count, scale);
          const agreed = { minutes: count, start_at_ms: 0, end_at_ms: length };
          const used = minutesToPay(agreed, 'RELEASED_BY_BOOKER', Math.floor(length * share));
          expect(Math.abs(used - Math.ceil(count * share))).toBeLessThanOrEqual(1);
          expect(used).toBeLessThanOrEqual(count);
        },
      ),
    );
    expect(windowMs(60, 3_600)).toBe(1_000);
    expect(windowMs(1, 1_000_000)).toBe(1);
    expect(toMinutes(1 / 60)).toBe(1);
  });
});
