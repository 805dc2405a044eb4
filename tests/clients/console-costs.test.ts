import type { Order } from '@aitbc/sdk';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { costOf, returnOf, toMinutes } from '../../clients/console/src/pages/market/cost.ts';
import {
  charge,
  minutesToPay,
  toMinutes as serviceMinutes,
  windowMs,
} from '../../services/market/src/domain/order.ts';

// The console says what a booking costs before it is sent, by the rules that the API states. They are written twice, so
// they are held against each other here.

const MINOR = 1e8;
const price = fc.integer({ min: 1, max: 10_000 * MINOR });
const minutes = fc.integer({ min: 1, max: 43_200 });

test('what the console says a booking costs is what the market takes', () => {
  fc.assert(
    fc.property(price, minutes, (priceMinor, count) => {
      // More is no payment, and a number no longer exact.
      fc.pre(BigInt(priceMinor) * BigInt(count) < 60n * 10n ** 15n);
      expect(Math.round(costOf(priceMinor / MINOR, count) * MINOR)).toBe(charge(priceMinor, count));
    }),
  );
  fc.assert(
    fc.property(fc.double({ min: 0.02, max: 720, noNaN: true }), (hours) => {
      expect(toMinutes(hours)).toBe(serviceMinutes(hours));
    }),
  );
});

test('and what it says comes back is what comes back, at any speed of business time', () => {
  const start = Date.parse('2026-11-29T10:00:00.000Z');
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 * MINOR }),
      minutes,
      fc.constantFrom(1, 3_600, 10_800),
      fc.double({ min: -0.2, max: 1.2, noNaN: true }),
      fc.boolean(),
      (priceMinor, count, scale, share, byOwner) => {
        const end = start + windowMs(count, scale);
        const now = Math.round(start + (end - start) * share);
        const order = {
          start_time: new Date(start).toISOString(),
          end_time: new Date(end).toISOString(),
          duration_hours: count / 60,
          price_per_hour: priceMinor / MINOR,
          amount: charge(priceMinor, count) / MINOR,
        } as Order;
        const agreed = { minutes: count, start_at_ms: start, end_at_ms: end };
        const used = minutesToPay(agreed, byOwner ? 'RELEASED_BY_OWNER' : 'RELEASED_BY_BOOKER', now);
        const said = returnOf(order, byOwner, now);
        expect(said.minutes).toBe(used);
        expect(Math.round(said.paid * MINOR)).toBe(charge(priceMinor, used));
        expect(Math.round((said.paid + said.back) * MINOR)).toBe(charge(priceMinor, count));
      },
    ),
  );
});
