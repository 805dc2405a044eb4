import { toParts } from '@aitbc/contracts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decide,
  EVENTS,
  isTerminal,
  next,
  type Outcome,
  proposalPowerMaxMinor,
  STATES,
  type State,
  shareOf,
  statesOf,
  timelockMs,
  toStatus,
  votingPeriodMs,
} from './domain.ts';

describe('the life of a proposal', () => {
  test('every state has an answer to every event, and every answer is a state, ignore or conflict', () => {
    const answers = STATES.flatMap((state) => EVENTS.map((event) => next(state, event)));
    expect(answers).toHaveLength(STATES.length * EVENTS.length);
    for (const answer of answers) expect([...STATES, 'ignore', 'conflict']).toContain(answer);
  });

  test('these moves and no others exist', () => {
    const moves = STATES.flatMap((state) =>
      EVENTS.map((event) => [state, event, next(state, event)] as const),
    ).filter(([, , to]) => to !== 'ignore' && to !== 'conflict');
    expect(moves).toEqual([
      ['active', 'approved', 'passed'],
      ['active', 'refused', 'rejected'],
      ['active', 'cancelled', 'cancelled'],
      ['passed', 'timelock_started', 'queued'],
      ['passed', 'cancelled', 'cancelled'],
      ['queued', 'effect_requested', 'executing'],
      ['queued', 'effect_made', 'executed'],
      ['queued', 'effect_failed', 'execution_failed'],
      ['queued', 'cancelled', 'cancelled'],
      ['executing', 'effect_made', 'executed'],
      ['executing', 'effect_failed', 'execution_failed'],
    ]);
  });

  test('rejected, executed, cancelled and execution_failed are ends', () => {
    expect(STATES.filter(isTerminal)).toEqual(['rejected', 'executed', 'cancelled', 'execution_failed']);
  });

  test('whatever happens, in any order and repeated: one effect, no way back, the same event twice is never a conflict', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...EVENTS), { maxLength: 40 }), (events) => {
        let state: State = 'active';
        const visited: State[] = [state];
        for (const event of events) {
          const outcome: Outcome = next(state, event);
          if (outcome === 'ignore' || outcome === 'conflict') continue;
          state = outcome;
          visited.push(state);
          expect(next(state, event)).toBe('ignore');
        }
        expect(new Set(visited).size).toBe(visited.length);
        expect(visited.filter((each) => isTerminal(each)).length).toBeLessThanOrEqual(1);
        if (visited.includes('executed')) expect(visited.slice(0, 3)).toEqual(['active', 'passed', 'queued']);
      }),
    );
  });

  test('callers see seven states; a running execution is queued to them', () => {
    expect(toStatus('executing')).toBe('queued');
    expect(statesOf('queued')).toEqual(['queued', 'executing']);
    expect(STATES.flatMap((state) => statesOf(toStatus(state)))).toEqual(expect.arrayContaining([...STATES]));
  });
});

describe('the decision', () => {
  const MAX_MINOR = Number.MAX_SAFE_INTEGER;
  const threshold = fc.integer({ min: 10_000, max: 1_000_000 });
  const ceilOf = (whole: number, parts: number) =>
    Number((BigInt(whole) * BigInt(parts) + 999_999n) / 1_000_000n);
  const votes = (for_minor: number, against_minor = 0, abstain_minor = 0) => ({
    for_minor,
    against_minor,
    abstain_minor,
  });

  test('the quorum is reached by the smallest sufficient unit and not by one less', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX_MINOR }), threshold, (supply, parts) => {
        const rules = { voting_supply_minor: supply, quorum_parts: parts, approval_parts: 10_000 };
        const needed = ceilOf(supply, parts);
        expect(decide(votes(needed), rules).quorumReached).toBe(true);
        expect(decide(votes(0, 0, needed), rules).quorumReached).toBe(true);
        expect(decide(votes(needed - 1), rules).quorumReached).toBe(false);
      }),
    );
  });

  test('the approval is reached by the smallest sufficient unit and not by one less', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX_MINOR }), threshold, (voiced, parts) => {
        const rules = { voting_supply_minor: voiced, quorum_parts: 10_000, approval_parts: parts };
        // More for than against, at any threshold.
        const needed = Math.max(ceilOf(voiced, parts), Math.floor(voiced / 2) + 1);
        expect(decide(votes(needed, voiced - needed), rules).approvalReached).toBe(true);
        expect(decide(votes(needed - 1, voiced - needed + 1), rules).approvalReached).toBe(false);
      }),
    );
  });

  test.each([
    // A double cannot tell these apart: 0.1 × 90,071,992,547,409.91 AITBC, and one minor unit less.
    [
      'one unit short of a tenth of the largest supply',
      votes(900_719_925_474_099),
      MAX_MINOR,
      0.1,
      0.5,
      false,
    ],
    ['a tenth of the largest supply', votes(900_719_925_474_100), MAX_MINOR, 0.1, 0.5, true],
    ['a tie at one half', votes(50, 50), 100, 0.1, 0.5, false],
    ['a tie at a hundredth', votes(50, 50), 100, 0.1, 0.01, false],
    ['few for and many against at a hundredth', votes(373, 18_618), 100_000, 0.01, 0.01, false],
    ['one unit more for than against', votes(51, 50), 200, 0.1, 0.5, true],
    ['one against more', votes(50, 51), 200, 0.1, 0.5, false],
    ['two thirds, given with six decimals', votes(666_667, 333_333), 1_000_000, 0.1, 0.666667, true],
    ['everybody, all for', votes(100), 100, 1, 1, true],
    ['everybody, one against', votes(99, 1), 100, 1, 1, false],
    ['abstentions make a quorum and no approval', votes(0, 0, 100), 100, 0.1, 0.01, false],
    ['nobody', votes(0), 100, 0.01, 0.01, false],
  ])('%s', (_name, tally, supply, quorum, approval, expected) => {
    const rules = {
      voting_supply_minor: supply,
      quorum_parts: toParts(quorum),
      approval_parts: toParts(approval),
    };
    expect(decide(tally, rules).hasPassed).toBe(expected);
  });

  test('a share that people see never rounds up to a threshold that was missed', () => {
    expect(shareOf(499_999_999_999, 1_000_000_000_000)).toBe(0.499999);
    expect(shareOf(1, 3)).toBe(0.333333);
    expect(shareOf(0, 0)).toBeNull();
  });
});

test('business time is scaled and never nothing', () => {
  expect(votingPeriodMs(7, 1)).toBe(604_800_000);
  expect(votingPeriodMs(1, 86_400)).toBe(1_000);
  expect(timelockMs(86_400, 1)).toBe(86_400_000);
  expect(timelockMs(3_600, 1_000_000)).toBe(4);
  expect(timelockMs(1, 1_000_000)).toBe(1);
});

test('a proposer never has to hold more than a hundredth of what can vote, and always something', () => {
  expect(proposalPowerMaxMinor(100_000_000_000)).toBe(1_000_000_000);
  expect(proposalPowerMaxMinor(199)).toBe(1);
  expect(proposalPowerMaxMinor(0)).toBe(1);
});
