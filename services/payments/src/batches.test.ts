import { createListeners, createParameters, openStore, type Trx } from '@aitbc/chassis';
import type { Caller } from '@aitbc/contracts';
import { propertyRuns, scratchDatabase, someone } from '@aitbc/testing';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { auditAccounts } from './audit.ts';
import { creditByAdmin } from './commands/mint.ts';
import type { Deps } from './commands/resolve.ts';
import { createConsumers } from './consumers.ts';
import { findUser } from './store/accounts.ts';
import { findJob } from './store/jobs.ts';
import { findPaymentOfJob, spentBy } from './store/payments.ts';
import { aJob } from './testing/stand.ts';

// What jobs says is done for all of a batch at once. It has to come to the same as one message after the other.

const CAP = 300;
/** Enough for some of the jobs, and not for all. */
const FUNDS = 500;
const NOW_MS = Date.UTC(2026, 0, 1);
const payers: Caller[] = [someone(['client']), someone(['client'], { spend_cap_minor: CAP })];
// Two keys of one account spend from one balance.
payers.push(someone(['client'], { account_id: payers[0]?.account_id as string }));

type Consumers = ReturnType<typeof createConsumers>;
type Hear = (consumers: Consumers, trx: Trx) => void | Promise<void>;

const open = async () => {
  const store = await openStore({ url: scratchDatabase('payments'), service: 'payments', migrations });
  const deps: Deps = {
    parameters: await createParameters(store, 'payments'),
    listeners: await createListeners(store),
    now: () => NOW_MS,
  };
  const consumers = createConsumers(deps);
  for (const account_id of new Set(payers.map((payer) => payer.account_id)))
    await store.transact('credit', async (trx) => {
      await consumers['gateway.account_created'](trx, { account_id, wallet_address: null });
      await creditByAdmin(trx, deps, someone(['admin']), { account_id, amount_minor: FUNDS, reason: 'test' });
    });
  return { store, consumers };
};
type Opened = Awaited<ReturnType<typeof open>>;

/** All that others can see, but for ids that are made by chance. */
const seen = async ({ store: { read } }: Opened, jobs: readonly ReturnType<typeof aJob>[]) => {
  const ofJobs = await Promise.all(
    jobs.map(async ({ job_id }) => {
      const [job, payment] = [await findJob(read, job_id), await findPaymentOfJob(read, job_id)];
      return [
        job?.owner_account_id,
        job?.miner_account_id,
        job?.ended_status,
        payment?.status,
        payment?.failure_message,
        payment?.decision,
        payment?.amount_minor,
      ];
    }),
  );
  const ofPayers = await Promise.all(
    payers.map(async ({ account_id, credential_id }) => {
      const account = await findUser(read, account_id);
      return [account?.balance_minor, account?.held_minor, await spentBy(read, credential_id)];
    }),
  );
  expect((await auditAccounts(read, 0, 1_000)).wrong).toEqual([]);
  return { ofJobs, ofPayers };
};

const step = fc.record({
  job: fc.nat(5),
  what: fc.constantFrom('submitted', 'submitted', 'started', 'requeued', 'ended'),
  attempt: fc.integer({ min: 1, max: 3 }),
  status: fc.constantFrom('failed', 'cancelled', 'expired', 'completed'),
} as const);

it('a batch comes to the same as its messages one after the other, twice and in any order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(2), fc.option(fc.integer({ min: 1, max: 250 }))), {
        minLength: 6,
        maxLength: 6,
      }),
      fc.array(step, { minLength: 1, maxLength: 30 }),
      async (shapes, steps) => {
        const jobs = shapes.map(([payer]) => aJob(payers[payer] as Caller));
        const words = jobs.map((job, at) => ({ submitted: job.submitted(shapes[at]?.[1] ?? null) }));
        const hears = steps.map(({ job: at, what, attempt, status }): Hear => {
          const job = jobs[at] as (typeof jobs)[number];
          const submitted = words[at]?.submitted as (typeof words)[number]['submitted'];
          if (what === 'submitted') return (consumers, trx) => consumers['jobs.submitted'](trx, submitted);
          if (what === 'requeued')
            return (consumers, trx) => consumers['jobs.requeued'](trx, job.requeued(attempt));
          if (what === 'ended') return (consumers, trx) => consumers['jobs.ended'](trx, job.ended(status));
          return (consumers, trx) => consumers['jobs.started'](trx, { ...job.started(), attempt });
        });
        const [one, many] = [await open(), await open()];
        for (const hear of hears) await one.store.transact('one', (trx) => hear(one.consumers, trx));
        await many.store.transact('many', async (trx) => {
          for (const hear of hears) await hear(many.consumers, trx);
        });
        expect(await seen(many, jobs)).toEqual(await seen(one, jobs));
        await Promise.all([one.store.close(), many.store.close()]);
      },
    ),
    { numRuns: propertyRuns(40) },
  );
}, 120_000);
