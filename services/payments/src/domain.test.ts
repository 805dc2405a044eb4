import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decisionOfJob,
  type Event,
  nextDeadline,
  type Outcome,
  PAYMENT,
  refuseHold,
  type State,
  splitFee,
} from './domain.ts';

const states = Object.keys(PAYMENT) as State[];
const events: Event[] = ['hold', 'refuse', 'release', 'refund', 'settle'];

describe('the table of a payment', () => {
  it('is total', () => {
    for (const state of states)
      for (const event of events) {
        const outcome = PAYMENT[state][event];
        expect(outcome === 'ignore' || outcome === 'conflict' || states.includes(outcome)).toBe(true);
      }
  });

  it('lets a payment be funded once and end once, whatever is fired at it', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...events), { maxLength: 40 }), (fired) => {
        let state: State = 'none';
        const visited: State[] = [];
        for (const event of fired) {
          const outcome: Outcome = PAYMENT[state][event];
          if (outcome === 'ignore' || outcome === 'conflict') continue;
          state = outcome;
          visited.push(state);
        }
        const count = (...which: State[]) => visited.filter((one) => which.includes(one)).length;
        expect(count('escrowed', 'failed')).toBeLessThanOrEqual(1);
        expect(count('releasing', 'refunding')).toBeLessThanOrEqual(1);
        expect(count('released', 'refunded', 'failed')).toBeLessThanOrEqual(1);
        if (count('released') > 0) expect(count('releasing')).toBe(1);
        if (count('refunded') > 0) expect(count('refunding')).toBe(1);
      }),
    );
  });
});

describe('the fee', () => {
  it('and the rest are the whole, to the last unit', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000_000_000_000_000 }),
        fc.integer({ min: 0, max: 3_000 }),
        (amount, points) => {
          const { earned, fee } = splitFee(amount, points);
          expect(earned + fee).toBe(amount);
          expect(earned).toBeGreaterThanOrEqual(0);
          const exact = (BigInt(amount) * BigInt(points)) / 10_000n;
          expect(BigInt(fee)).toBe(exact);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    [100, 250, 98, 2],
    [1, 250, 1, 0],
    [39, 250, 39, 0],
    [40, 250, 39, 1],
    [1, 10_000, 0, 1],
    [1, 0, 1, 0],
    [1_000_000_000_000_000, 3_000, 700_000_000_000_000, 300_000_000_000_000],
  ])('of %i at %i is split into %i and %i', (amount, points, earned, fee) => {
    expect(splitFee(amount, points)).toEqual({ earned, fee });
  });
});

describe('a hold', () => {
  const base = { amountMinor: 10, availableMinor: 10, spentMinor: 0, capMinor: null };
  it.each([
    [{}, null],
    [{ availableMinor: 9 }, 'INSUFFICIENT_FUNDS'],
    [{ capMinor: 10 }, null],
    [{ capMinor: 9 }, 'SPEND_CAP_EXCEEDED'],
    [{ capMinor: 20, spentMinor: 10 }, null],
    [{ capMinor: 20, spentMinor: 11 }, 'SPEND_CAP_EXCEEDED'],
    [{ capMinor: 0 }, 'SPEND_CAP_EXCEEDED'],
  ])('%o: %s', (change, code) => {
    expect(refuseHold({ ...base, ...change })?.code ?? null).toBe(code);
  });

  it('is told in amounts that people read', () => {
    const refused = refuseHold({ ...base, amountMinor: 81, availableMinor: 79, capMinor: null });
    expect(refused?.message).toBe('0.00000079 AITBC are available, and 0.00000081 are needed.');
  });
});

describe('a job', () => {
  it('decides when it has ended, and only then', () => {
    expect(decisionOfJob({ ended_status: null, ended_payment_id: null }, 'ours')).toBeNull();
    expect(decisionOfJob({ ended_status: 'completed', ended_payment_id: 'ours' }, 'ours')).toBe('release');
    for (const ended_status of ['failed', 'cancelled', 'expired'] as const)
      expect(decisionOfJob({ ended_status, ended_payment_id: null }, 'ours')).toBe('refund');
  });

  it('that completed pays with the payment that its receipt names, and no other', () => {
    for (const ended_payment_id of [null, 'another'])
      expect(decisionOfJob({ ended_status: 'completed', ended_payment_id }, 'ours')).toBe('refund');
  });

  it('moves the deadline past the attempt that runs', () => {
    expect(nextDeadline(1_000, null)).toBe(61_000);
    expect(nextDeadline(1_000, 5_000)).toBe(65_000);
    expect(nextDeadline(9_000, 5_000)).toBe(69_000);
  });
});
