import { MAX_AMOUNT, SATOSHI_PER_BTC, toMinor } from '@aitbc/contracts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { btcText, inverseRate, priceOfSats, quote, RATE_MAX, satsFor } from './amounts.ts';

const rates = fc.integer({ min: 1, max: toMinor(RATE_MAX) });
const sats = fc.integer({ min: 1, max: 21_000_000 * SATOSHI_PER_BTC });
const minors = fc.integer({ min: 1, max: toMinor(MAX_AMOUNT) });

describe('rates', () => {
  test('at 100,000 AITBC for 1 BTC, 1 satoshi is 0.001 AITBC and 1.25 AITBC are 1,250 satoshis', () => {
    const rate = toMinor(100_000);
    expect(priceOfSats(1, rate)).toBe(toMinor(0.001));
    expect(satsFor(toMinor(1.25), rate)).toBe(1_250);
    expect(inverseRate(rate)).toBe(0.00001);
  });

  test('an amount is never sold for less than it costs, nor for a satoshi more than needed', () => {
    fc.assert(
      fc.property(minors, rates, (minor, rate) => {
        const needed = satsFor(minor, rate);
        fc.pre(needed < Number.MAX_SAFE_INTEGER);
        // Exact, against arithmetic that cannot round.
        expect(BigInt(needed) * BigInt(rate)).toBeGreaterThanOrEqual(BigInt(minor) * 100_000_000n);
        expect(BigInt(needed - 1) * BigInt(rate)).toBeLessThan(BigInt(minor) * 100_000_000n);
        expect(priceOfSats(needed, rate)).toBeGreaterThanOrEqual(minor);
      }),
    );
  });

  test('what satoshis buy is exact, rounded down, and more satoshis never buy less', () => {
    fc.assert(
      fc.property(sats, sats, rates, (a, b, rate) => {
        const exact = (BigInt(a) * BigInt(rate)) / 100_000_000n;
        fc.pre(exact <= BigInt(Number.MAX_SAFE_INTEGER));
        expect(BigInt(priceOfSats(a, rate))).toBe(exact);
        expect(priceOfSats(Math.max(a, b), rate)).toBeGreaterThanOrEqual(priceOfSats(Math.min(a, b), rate));
      }),
    );
  });

  test('beyond every amount that can exist the answer stays an exact number', () => {
    expect(priceOfSats(21_000_000 * SATOSHI_PER_BTC, toMinor(RATE_MAX))).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe('a quote', () => {
  test('both amounts agree within one satoshi, and not within two', () => {
    fc.assert(
      fc.property(minors, rates, fc.integer({ min: -5, max: 5 }), (aitbc_minor, rate, off) => {
        const needed = satsFor(aitbc_minor, rate);
        fc.pre(needed < Number.MAX_SAFE_INTEGER - 10 && needed + off > 0);
        const found = quote({ aitbc_minor, btc_sats: needed + off }, rate);
        expect(found).toEqual(
          Math.abs(off) <= 1
            ? { ok: true, amount_sats: needed, amount_minor: aitbc_minor }
            : { ok: false, reason: 'mismatch', expected_sats: needed },
        );
      }),
    );
  });

  test('asked for in bitcoin, exactly those satoshis are asked', () => {
    fc.assert(
      fc.property(sats, rates, (btc_sats, rate) => {
        expect(quote({ aitbc_minor: undefined, btc_sats }, rate)).toEqual({
          ok: true,
          amount_sats: btc_sats,
          amount_minor: priceOfSats(btc_sats, rate),
        });
      }),
    );
  });

  test('BIP 21 writes no exponent and loses nothing', () => {
    expect(btcText(1)).toBe('0.00000001');
    expect(btcText(100_000_000)).toBe('1');
    fc.assert(
      fc.property(sats, (amount) => {
        const text = btcText(amount);
        expect(text).toMatch(/^\d+(\.\d{1,8})?$/);
        const [whole = '', fraction = ''] = text.split('.');
        expect(Number(whole + fraction.padEnd(8, '0'))).toBe(amount);
      }),
    );
  });
});
