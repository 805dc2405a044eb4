import type { BodyIn, JOB_TYPES, ParamsIn, QueryIn, ReplyOf, routes } from '@aitbc/contracts';
import { expect, test } from 'vitest';
import type { z } from 'zod';
import type { JobParameters, Operations } from './contract.ts';
import { operations } from './contract.ts';

// The compiler is the test: what stands in contract.ts is what zod says of the routes, and takes what zod takes.

type Both<A, B> = [A] extends [B]
  ? [B] extends [A]
    ? true
    : 'the contract is narrower'
  : 'the contract is wider';
type Fits<A, B> = [A] extends [B] ? true : 'is not taken';
const is = <T extends true>(..._proof: T[]): void => {};

type Jobs = typeof routes.jobs;
type Market = typeof routes.market;
type Payments = typeof routes.payments;
type Governance = typeof routes.governance;
type Answer<T extends Parameters<typeof bodyOf>[0]> = Extract<
  ReplyOf<T>,
  { status: 200 | 201 | 207 }
>['body'];
declare const bodyOf: (
  route: Jobs[keyof Jobs] | Market[keyof Market] | Payments[keyof Payments] | Governance[keyof Governance],
) => void;

test('types are those of the contracts', () => {
  is<Both<Answer<Jobs['get']>, Operations['jobs.get']['reply']>>();
  is<Both<Answer<Jobs['list']>, Operations['jobs.list']['reply']>>();
  is<Both<Answer<Jobs['status']>, Operations['jobs.status']['reply']>>();
  is<Both<Answer<Jobs['submitBatch']>, Operations['jobs.submit_batch']['reply']>>();
  is<Both<Answer<Jobs['receipts']>, Operations['jobs.receipts']['reply']>>();
  is<Both<Answer<Market['list']>, Operations['market.list']['reply']>>();
  is<Both<Answer<Market['get']>, Operations['market.get']['reply']>>();
  is<Both<Answer<Market['book']>, Operations['market.book']['reply']>>();
  is<Both<Answer<Payments['get']>, Operations['payments.get']['reply']>>();
  is<Both<Answer<Payments['blocks']>, Operations['payments.blocks']['reply']>>();
  is<Both<Answer<Payments['transactions']>, Operations['payments.transactions']['reply']>>();
  is<Both<Answer<Payments['exchangeStatus']>, Operations['payments.exchange_status']['reply']>>();
  is<Both<Answer<Governance['get']>, Operations['governance.get']['reply']>>();

  is<Both<BodyIn<Jobs['submit']>, Operations['jobs.submit']['body']>>();
  is<Both<BodyIn<Market['register']>, Operations['market.register']['body']>>();
  is<Both<BodyIn<Market['book']>, Operations['market.book']['body']>>();
  is<Both<BodyIn<Payments['exchangeCreate']>, Operations['payments.exchange_create']['body']>>();
  is<Both<ParamsIn<Jobs['get']>, Operations['jobs.get']['params']>>();
  is<Fits<Operations['jobs.list']['query'], Partial<QueryIn<Jobs['list']>>>>();
  is<Fits<Operations['governance.propose']['body'], BodyIn<Governance['propose']>>>();
  is<Both<{ [T in keyof JobParameters]: z.input<(typeof JOB_TYPES)[T]> }, JobParameters>>();
  expect(operations['jobs.submit']).toEqual({ method: 'POST', path: '/v1/client/jobs', idempotent: true });
});
