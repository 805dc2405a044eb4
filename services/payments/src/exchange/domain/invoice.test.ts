import { isDeepStrictEqual } from 'node:util';
import { CONFIRMATIONS, toSats } from '@aitbc/contracts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Amounts,
  CASES,
  EVENTS,
  type InvoiceEvent,
  type Outcome,
  outcomeOf,
  RATE,
  RATE_AFTER,
} from '../testing/events.ts';
import { assess, confirmationsRequired, type Facts, type OutputFact } from './invoice.ts';
import {
  isLive,
  OUTPUT,
  OUTPUT_EVENTS,
  OUTPUT_STATES,
  type OutputEvent,
  type OutputState,
} from './output.ts';

const SATOSHI = 100_000_000;
const EXPIRES_AT = 1_000_000;

/** An invoice as the domain has it. */
interface Played {
  readonly first: OutputFact;
  readonly second: OutputFact;
  readonly isExpired: boolean;
  readonly credits: number;
  readonly outcome: Outcome;
}

const BEFORE: OutputFact = {
  state: 'unseen',
  value_sats: 0,
  confirmations: 0,
  first_seen_ms: Number.POSITIVE_INFINITY,
};
const begin = (amounts: Amounts): Played => ({
  first: { ...BEFORE, value_sats: amounts.first },
  second: { ...BEFORE, value_sats: amounts.second },
  isExpired: false,
  credits: 0,
  outcome: { status: 'pending', credited_sats: null, credited_minor: null },
});

const take = (output: OutputFact, event: OutputEvent, isExpired: boolean): OutputFact => {
  const next = OUTPUT[output.state][event];
  if (next === 'ignore') return output;
  return {
    ...output,
    state: next,
    confirmations: next === 'confirmed' ? 1 : 0,
    first_seen_ms: Math.min(output.first_seen_ms, isExpired ? EXPIRES_AT + 1 : EXPIRES_AT),
  };
};

const step = (played: Played, event: InvoiceEvent, amounts: Amounts): Played => {
  const isExpired = played.isExpired || event === 'expired';
  const first =
    event === 'expired' || event === 'second' ? played.first : take(played.first, event, isExpired);
  const second = event === 'second' ? take(played.second, 'confirmed', isExpired) : played.second;
  const facts = {
    terms: {
      amount_sats: amounts.asked,
      amount_minor: amounts.asked * RATE,
      rate_minor: RATE * SATOSHI,
      expires_at_ms: EXPIRES_AT,
    },
    credited_as: played.credits > 0 ? played.outcome.status : null,
    is_expired: isExpired,
    outputs: [first, second],
    elsewhere_sats: 0,
    rate_now_minor: RATE_AFTER * SATOSHI,
  };
  const { due, status } = assess(facts);
  const next = { first, second, isExpired };
  if (due === null) return { ...next, credits: played.credits, outcome: { ...played.outcome, status } };
  return {
    ...next,
    credits: played.credits + 1,
    outcome: {
      status: assess({ ...facts, credited_as: due.status }).status,
      credited_sats: due.sats,
      credited_minor: due.amount_minor,
    },
  };
};

describe('an output', () => {
  test('has an answer to every event in every state, and a repeated event changes nothing', () => {
    for (const state of OUTPUT_STATES) {
      for (const event of OUTPUT_EVENTS) {
        const next = OUTPUT[state][event];
        expect([...OUTPUT_STATES, 'ignore']).toContain(next);
        if (next === 'ignore') continue;
        const again = OUTPUT[next][event];
        expect(again === 'ignore' || again === next).toBe(true);
      }
    }
  });

  test('leaves a block only when the block leaves the chain', () => {
    const leaving = OUTPUT_EVENTS.filter(
      (event) => !['ignore', 'confirmed'].includes(OUTPUT.confirmed[event]),
    );
    expect(leaving).toEqual(['reorged_out']);
  });

  test('the latest news stands, wherever it was before', () => {
    for (const state of OUTPUT_STATES) {
      const next = OUTPUT[state].confirmed;
      expect(next).toBe('confirmed');
      const out = OUTPUT[OUTPUT[state].confirmed as OutputState].reorged_out;
      expect(out !== 'ignore' && isLive(out)).toBe(false);
    }
  });
});

describe.each(Object.entries(CASES))('an invoice %s', (_, amounts) => {
  test('stands where the contract says after every sequence of up to six events, credited at most once', () => {
    let count = 0;
    const walk = (played: Played, events: readonly InvoiceEvent[]): void => {
      count += 1;
      const expected = outcomeOf(events, amounts);
      // An assertion for each of 56,000 would be all that this test does.
      if (played.credits > 1 || !isDeepStrictEqual(played.outcome, expected))
        expect({ events, credits: played.credits, ...played.outcome }).toEqual({
          events,
          credits: 1,
          ...expected,
        });
      if (events.length === 6) return;
      for (const event of EVENTS) walk(step(played, event, amounts), [...events, event]);
    };
    walk(begin(amounts), []);
    expect(count).toBe((EVENTS.length ** 7 - 1) / (EVENTS.length - 1));
  });
});

describe('an assessment', () => {
  const output = fc.record({
    state: fc.constantFrom(...OUTPUT_STATES),
    value_sats: fc.integer({ min: 1, max: 1_000_000_000 }),
    confirmations: fc.integer({ min: 0, max: 8 }),
    first_seen_ms: fc.integer({ min: 0, max: 2_000 }),
  });
  const facts: fc.Arbitrary<Facts> = fc.record({
    terms: fc.record({
      amount_sats: fc.integer({ min: 0, max: 1_000_000_000 }),
      amount_minor: fc.integer({ min: 0, max: 1_000_000_000 }),
      rate_minor: fc.integer({ min: 1, max: 1_000_000_000_000 }),
      expires_at_ms: fc.integer({ min: 0, max: 2_000 }),
    }),
    credited_as: fc.constant(null),
    is_expired: fc.boolean(),
    outputs: fc.array(output, { maxLength: 5 }),
    elsewhere_sats: fc.integer({ min: 0, max: 1_000_000_000 }),
    rate_now_minor: fc.integer({ min: 1, max: 1_000_000_000_000 }),
  });

  test('never credits what has too few confirmations, nor more than came', () => {
    fc.assert(
      fc.property(facts, (each) => {
        const { due, confirmations_required, received_sats } = assess(each);
        const deep = each.outputs
          .filter(
            ({ state, confirmations }) => state === 'confirmed' && confirmations >= confirmations_required,
          )
          .reduce((sum, { value_sats }) => sum + value_sats, 0);
        expect(received_sats).toBeGreaterThanOrEqual(deep);
        if (due === null) return;
        expect(due.sats).toBe(deep);
        expect(due.sats).toBeGreaterThan(0);
        expect(due.amount_minor).toBeGreaterThan(0);
      }),
    );
  });

  test('once credited, nothing moves it and nothing more is due', () => {
    fc.assert(
      fc.property(
        facts,
        fc.constantFrom('confirmed', 'overpaid', 'late', 'underpaid'),
        (each, credited_as) => {
          expect(assess({ ...each, credited_as })).toMatchObject({ status: credited_as, due: null });
        },
      ),
    );
  });
});

test('confirmations follow the table, at its edges too', () => {
  expect(CONFIRMATIONS.map(({ below_btc }) => below_btc)).toEqual([0.01, 0.1, 1, null]);
  const at = (btc: number, off = 0) => confirmationsRequired(toSats(btc) + off);
  expect([
    at(0.00001),
    at(0.01, -1),
    at(0.01),
    at(0.1, -1),
    at(0.1),
    at(1, -1),
    at(1),
    at(21_000_000),
  ]).toEqual([1, 1, 2, 2, 3, 3, 6, 6]);
});
