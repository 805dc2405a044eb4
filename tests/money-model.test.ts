import { propertyRuns } from '@aitbc/testing';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { closeFiles, createWorld, openFiles, type World } from './money-world.ts';

// The files of jobs and payments, really, and the post between them in the hands of the test: what is said may be heard
// late, twice, in any order, or by a service that dies before it has written it down. Whatever happens to a job, a receipt
// with a price and the release of that price are one thing.

const RUNS = Number(process.env.MODEL_RUNS ?? propertyRuns(250));
const SEED = Number(process.env.MODEL_SEED ?? Date.now() % 1_000_000_007);

beforeAll(openFiles);
afterAll(closeFiles);

type Step = readonly [name: string, run: (world: World) => Promise<unknown>];
const at = fc.nat(5);
const amount = fc.integer({ min: 1, max: 4_000 });
const step = <T>(name: string, values: fc.Arbitrary<T>, run: (world: World, value: T) => Promise<unknown>) =>
  values.map((value): Step => [`${name}(${JSON.stringify(value)})`, (world) => run(world, value)]);

const submits = step(
  'submit',
  fc.tuple(fc.option(amount, { freq: 4 }), fc.integer({ min: 1, max: 4 })),
  (world, [price, attempts]) => world.submit(price, attempts),
);
const leases = step('lease', fc.tuple(at, fc.nat(3)), (world, [job, who]) => world.lease(job, who));
const delivers = step(
  'deliver',
  fc.tuple(fc.nat(20), fc.boolean(), fc.integer({ min: 0, max: 4 })),
  (world, [which, isKept, luck]) => world.deliver(which, { isKept, dies: luck === 0 }),
);
const reports = step(
  'report',
  fc.tuple(
    fc.nat(5),
    fc.constantFrom('completed' as const, 'completed' as const, 'failed' as const, 'retryable' as const),
    fc.integer({ min: 0, max: 4 }),
  ),
  (world, [which, kind, luck]) => world.report(which, kind, luck === 0),
);
const refunds = step(
  'refund',
  fc.tuple(at, fc.constantFrom('payer' as const, 'first' as const, 'second' as const, 'operator' as const)),
  (world, [job, who]) => world.refund(job, who),
);
// What carries a course on stands here more often than what breaks it.
const steps = fc.oneof(
  { weight: 3, arbitrary: submits },
  { weight: 6, arbitrary: leases },
  { weight: 12, arbitrary: delivers },
  { weight: 7, arbitrary: reports },
  { weight: 4, arbitrary: refunds },
  {
    weight: 1,
    arbitrary: step('payLater', fc.tuple(at, amount), (world, [job, price]) => world.payLater(job, price)),
  },
  { weight: 1, arbitrary: step('giveBack', fc.nat(5), (world, which) => world.giveBack(which)) },
  { weight: 1, arbitrary: step('lose', fc.nat(3), (world, who) => world.lose(who)) },
  { weight: 1, arbitrary: step('cancel', at, (world, job) => world.cancel(job)) },
  { weight: 1, arbitrary: step('passTime', at, (world, job) => world.passTime(job)) },
  { weight: 1, arbitrary: step('release', at, (world, job) => world.release(job)) },
  { weight: 1, arbitrary: step('deadline', at, (world, job) => world.deadline(job)) },
  { weight: 1, arbitrary: step('settle', fc.constant(null), (world) => world.settleAll()) },
  { weight: 1, arbitrary: step('restartJobs', fc.constant(null), (world) => world.restartJobs()) },
);
/** Every course begins with a paid job; in most its money is held or a miner has it, for what matters comes after that. */
const course = fc.record({
  begins: fc.constantFrom('submitted' as const, 'held' as const, 'leased' as const, 'crossed' as const),
  steps: fc.array(steps, { minLength: 10, maxLength: 40 }),
  order: fc.infiniteStream(fc.nat(50)),
});

const begin = async (world: World, how: 'submitted' | 'held' | 'leased' | 'crossed'): Promise<void> => {
  const hear = async () => {
    await world.collect();
    await world.deliver(0, { isKept: false, dies: false });
    await world.collect();
  };
  await world.submit(how === 'crossed' ? null : 1_000, 3);
  if (how === 'submitted') return;
  await hear();
  // Paid for while a miner takes it unpaid.
  if (how === 'crossed') {
    await world.lease(0, 0);
    await world.payLater(0, 1_000);
    await world.collect();
    return;
  }
  await hear();
  if (how === 'leased') await world.lease(0, 0);
};

test(`whatever happens in whatever order, a priced receipt and its release are one (MODEL_SEED=${SEED})`, async () => {
  const seen = { runs: 0, steps: 0, priced: 0, refunded: 0 };
  await fc.assert(
    fc.asyncProperty(course, async ({ begins, steps: happenings, order }) => {
      const world = await createWorld(seen.runs);
      await begin(world, begins);
      for (const [, run] of happenings) {
        await run(world);
        await world.collect();
      }
      await world.quiesce(() => order.next().value as number);
      const { priced, refunded } = await world.check();
      seen.runs += 1;
      seen.steps += happenings.length;
      seen.priced += priced;
      seen.refunded += refunded;
    }),
    { numRuns: RUNS, seed: SEED },
  );
  console.log(`${seen.runs} courses, ${seen.steps} steps: ${seen.priced} paid, ${seen.refunded} given back`);
  // Both ends are met often enough to mean something.
  expect(Math.min(seen.priced, seen.refunded)).toBeGreaterThan(RUNS / 10);
}, 300_000);
