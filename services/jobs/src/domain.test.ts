import type { JobStatus } from '@aitbc/contracts';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decide,
  hasAttemptsLeft,
  isFaultProven,
  isTerminal,
  JOB_EVENTS,
  type JobEventName,
  judgeRefund,
  judgeReport,
} from './domain.ts';

const STATES: JobStatus[] = ['pending', 'running', 'completed', 'failed', 'cancelled', 'expired'];

/** Written out, cell by cell, so that a change of the table is a change of this test. `a/b`: when it may be tried again/may not. */
const EXPECTED: Record<JobEventName, [pending: string, running: string, ended: string]> = {
  start: ['running', 'ignore', 'ignore'],
  complete: ['STALE_LEASE', 'completed', 'JOB_ALREADY_ENDED'],
  fail: ['STALE_LEASE', 'pending/failed', 'JOB_ALREADY_ENDED'],
  fail_retryable: ['STALE_LEASE', 'pending/failed', 'JOB_ALREADY_ENDED'],
  lose_miner: ['ignore', 'pending/failed', 'ignore'],
  time_out: ['ignore', 'pending/expired', 'ignore'],
  give_back: ['ignore', 'pending', 'ignore'],
  cancel: ['cancelled', 'cancelled', 'JOB_ALREADY_ENDED'],
  expire: ['expired', 'ignore', 'ignore'],
  refuse_funds: ['failed', 'ignore', 'ignore'],
  refund: ['failed', 'failed', 'ignore'],
};

const name = (status: JobStatus, event: JobEventName, attemptsLeft: boolean): string => {
  const decision = decide(status, event, attemptsLeft);
  if (decision.kind === 'apply') return decision.to;
  return decision.kind === 'ignore' ? 'ignore' : decision.code;
};

describe('the life of a job', () => {
  for (const event of JOB_EVENTS) {
    for (const status of STATES) {
      const column = status === 'pending' ? 0 : status === 'running' ? 1 : 2;
      const cell = EXPECTED[event][column];
      const [withAttempts, without = withAttempts] = cell.split('/');
      test(`${status} + ${event} is ${cell}`, () => {
        expect(name(status, event, true)).toBe(withAttempts);
        expect(name(status, event, false)).toBe(without);
      });
    }
  }

  test('whatever happens: an end is final, attempts are bounded, a result comes from a running attempt', () => {
    const events = fc.array(fc.constantFrom(...JOB_EVENTS), { maxLength: 60 });
    fc.assert(
      fc.property(events, fc.integer({ min: 1, max: 10 }), (happenings, maxAttempts) => {
        let status: JobStatus = 'pending';
        const job = { attempt: 0, undelivered: 0, max_attempts: maxAttempts };
        for (const event of happenings) {
          const decision = decide(status, event, hasAttemptsLeft(job));
          if (decision.kind !== 'apply') continue;
          expect(isTerminal(status)).toBe(false);
          if (decision.to === 'completed') expect(status).toBe('running');
          if (decision.to === 'running') job.attempt += 1;
          if (event === 'give_back') job.undelivered += 1;
          status = decision.to;
        }
        expect(job.attempt - job.undelivered).toBeLessThanOrEqual(maxAttempts);
      }),
    );
  });
});

describe('what a report is worth', () => {
  const job = (
    status: JobStatus,
    attempt: number,
    report_attempt: number | null = null,
    report_sha256: string | null = null,
  ) => ({ status, attempt, report_attempt, report_sha256 });

  test.each([
    ['the current attempt of a running job', job('running', 2), 2, 'r', 'accept'],
    ['an attempt before it', job('running', 2), 1, 'r', 'STALE_LEASE'],
    ['the last attempt of a job that waits again', job('pending', 1), 1, 'r', 'STALE_LEASE'],
    ['the same result again', job('completed', 2, 2, 'r'), 2, 'r', 'repeat'],
    ['another result after one', job('completed', 2, 2, 'r'), 2, 'other', 'RESULT_CONFLICT'],
    ['a lost attempt after another completed', job('completed', 2, 2, 'r'), 1, 'r', 'STALE_LEASE'],
    ['the same retryable failure again', job('pending', 1, 1, 'f'), 1, 'f', 'repeat'],
    ['a result after the same lease failed', job('pending', 1, 1, 'f'), 1, 'r', 'RESULT_CONFLICT'],
    ['a failed attempt while the next one runs', job('running', 2, 1, 'f'), 1, 'f', 'repeat'],
    ['the next attempt after a failed one', job('running', 2, 1, 'f'), 2, 'f', 'accept'],
    ['a job cancelled under it', job('cancelled', 1), 1, 'r', 'JOB_ALREADY_ENDED'],
    ['a job expired under it', job('expired', 1), 1, 'r', 'JOB_ALREADY_ENDED'],
    ['a job that failed without a word of it', job('failed', 1), 1, 'r', 'JOB_ALREADY_ENDED'],
    ['progress while it runs', job('running', 1), 1, null, 'accept'],
    ['progress after the result', job('completed', 1, 1, 'r'), 1, null, 'JOB_ALREADY_ENDED'],
    ['progress of a lost attempt', job('running', 2), 1, null, 'STALE_LEASE'],
  ] as const)('%s: %#', (_, state, attempt, sha256, verdict) => {
    expect(judgeReport(state, attempt, sha256)).toBe(verdict);
  });

  test('at most one report of any attempt is ever accepted', () => {
    const step = fc.record({ attempt: fc.integer({ min: 1, max: 4 }), sha: fc.constantFrom('a', 'b') });
    fc.assert(
      fc.property(fc.array(step), (reports) => {
        const state = job('running', 1);
        const accepted = new Set<number>();
        for (const { attempt, sha } of reports) {
          if (judgeReport(state, attempt, sha) !== 'accept') continue;
          expect(accepted.has(attempt)).toBe(false);
          accepted.add(attempt);
          // As a retryable failure would: the next attempt runs.
          Object.assign(state, { report_attempt: attempt, report_sha256: sha, attempt: attempt + 1 });
        }
      }),
    );
  });
});

describe('a wish to have the money of a job back', () => {
  const job = (changes: object = {}) => ({
    status: 'pending' as JobStatus,
    attempt: 0,
    undelivered: 0,
    lease_payment_id: null as string | null,
    miner_account_id: null as string | null,
    ...changes,
  });
  const running = job({ status: 'running', attempt: 1, lease_payment_id: 'pay', miner_account_id: 'miner' });
  const verdict = (
    of: ReturnType<typeof job>,
    actor: 'payer' | 'payee' | 'operator' | 'deadline',
    account_id = 'miner',
  ): string => {
    const said = judgeRefund(of, { payment_id: 'pay', actor, account_id });
    return said.kind === 'end' ? said.status : said.kind === 'ended' ? 'ended' : said.code;
  };
  const columns = ['payer', 'payee', 'operator', 'deadline'] as const;

  test.each([
    ['waits', job(), ['cancelled', 'STALE_LEASE', 'cancelled', 'expired']],
    [
      'waits, its first lease never reached its miner',
      job({ attempt: 1, undelivered: 1 }),
      ['cancelled', 'STALE_LEASE', 'cancelled', 'expired'],
    ],
    ['waits again', job({ attempt: 1 }), ['cancelled', 'STALE_LEASE', 'cancelled', 'JOB_RUNNING']],
    ['runs', running, ['JOB_RUNNING', 'failed', 'cancelled', 'JOB_RUNNING']],
    [
      'runs in other hands',
      { ...running, miner_account_id: 'other' },
      ['JOB_RUNNING', 'STALE_LEASE', 'cancelled', 'JOB_RUNNING'],
    ],
    [
      'runs unpaid',
      { ...running, lease_payment_id: null },
      ['JOB_RUNNING', 'STALE_LEASE', 'cancelled', 'JOB_RUNNING'],
    ],
    ['has completed', { ...running, status: 'completed' as const }, Array(4).fill('JOB_COMPLETED')],
    [
      'has completed unpaid',
      { ...running, status: 'completed' as const, lease_payment_id: null },
      Array(4).fill('ended'),
    ],
    ['has failed', { ...running, status: 'failed' as const }, Array(4).fill('ended')],
    ['is cancelled', job({ status: 'cancelled' }), Array(4).fill('ended')],
    ['has expired', job({ status: 'expired' }), Array(4).fill('ended')],
  ])('that %s', (_, of, expected) => {
    expect(columns.map((actor) => verdict(of, actor))).toEqual(expected);
  });
});

test('a failure is the job\u2019s own by a second account\u2019s word, or when nobody else is there', () => {
  expect(isFaultProven([], 'a', true)).toBe(false);
  expect(isFaultProven(['a', 'a'], 'a', true)).toBe(false);
  expect(isFaultProven(['b'], 'a', true)).toBe(true);
  expect(isFaultProven([], 'a', false)).toBe(true);
});
