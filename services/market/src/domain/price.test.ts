import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { priceStep } from './price.ts';

const MINOR_MAX = 10_000_000 * 100_000_000;

/** A base, and a price that could have come from it. */
const prices = fc.integer({ min: 1, max: MINOR_MAX }).chain((baseMinor) =>
  fc.record({
    baseMinor: fc.constant(baseMinor),
    previousMinor: fc.integer({ min: Math.ceil(baseMinor / 2), max: baseMinor * 2 }),
  }),
);
const competition = fc.integer({ min: 0, max: 100_000 }).chain((competingOffers) =>
  fc.record({
    competingOffers: fc.constant(competingOffers),
    competingAvailable: fc.integer({ min: 0, max: competingOffers }),
  }),
);
const utilization = fc.double({ min: 0, max: 1, noNaN: true });
const inputs = fc
  .tuple(prices, competition, utilization)
  .map(([price, others, used]) => ({ ...price, ...others, utilization: used }));

describe('the dynamic price', () => {
  it('stays between half and twice the base', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const { priceMinor } = priceStep(input);
        expect(Number.isSafeInteger(priceMinor)).toBe(true);
        expect(priceMinor * 2).toBeGreaterThanOrEqual(input.baseMinor);
        expect(priceMinor).toBeLessThanOrEqual(input.baseMinor * 2);
      }),
      { numRuns: 2_000 },
    );
  });

  it('moves by a tenth at most in one step', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const moved = BigInt(Math.abs(priceStep(input).priceMinor - input.previousMinor));
        expect(moved * 10n <= BigInt(input.previousMinor)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('never falls when utilisation rises, nor when fewer competing GPUs are free', () => {
    fc.assert(
      fc.property(inputs, utilization, (input, other) => {
        const [low, high] = [Math.min(input.utilization, other), Math.max(input.utilization, other)];
        expect(priceStep({ ...input, utilization: low }).priceMinor).toBeLessThanOrEqual(
          priceStep({ ...input, utilization: high }).priceMinor,
        );
        if (input.competingAvailable > 0) {
          const scarcer = { ...input, competingAvailable: input.competingAvailable - 1 };
          expect(priceStep(input).priceMinor).toBeLessThanOrEqual(priceStep(scarcer).priceMinor);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('is reproduced by its published factors alone', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const step = priceStep(input);
        // Written from the words of the contract, not from the code.
        const demand = step.utilization <= 0.5 ? 0.5 + step.utilization : 2 * step.utilization;
        const rivalry =
          step.competingOffers === 0 ? 1 : 1.25 - (0.5 * step.competingAvailable) / step.competingOffers;
        expect(step.demandFactor).toBeCloseTo(demand, 12);
        expect(step.competitionFactor).toBeCloseTo(rivalry, 12);
        const multiplier = Math.min(2, Math.max(0.5, demand * rivalry));
        expect(step.multiplier).toBeCloseTo(multiplier, 12);
        const price = Math.min(
          step.previousMinor * 1.1,
          Math.max(step.previousMinor * 0.9, step.baseMinor * multiplier),
        );
        // To the minor unit, or what a double can hold of so large a number.
        expect(Math.abs(step.priceMinor - price)).toBeLessThanOrEqual(Math.max(1, price * 1e-12));
      }),
      { numRuns: 2_000 },
    );
  });

  it('reaches both bounds, and its base at half use among equals', () => {
    const settle = (used: number, free: number) => {
      let previousMinor = 1_000_000;
      for (let step = 0; step < 100; step += 1) {
        previousMinor = priceStep({
          baseMinor: 1_000_000,
          previousMinor,
          utilization: used,
          competingOffers: 10,
          competingAvailable: free,
        }).priceMinor;
      }
      return previousMinor;
    };
    expect(settle(1, 0)).toBe(2_000_000);
    expect(settle(0, 10)).toBe(500_000);
    expect(settle(0.5, 5)).toBe(1_000_000);
  });
});
