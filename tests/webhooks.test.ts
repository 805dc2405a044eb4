import { type Client, routes } from '@aitbc/contracts';
import { verifyWebhook } from '@aitbc/sdk';
import { eventually, rememberSecret } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Receiver, startReceiver } from '../services/gateway/src/webhooks/testing/receiver.ts';
import {
  type Coordinator,
  embedding,
  must,
  registerMiner,
  STARTING_MS,
  startCoordinator,
  takeWork,
} from './coordinator.ts';

// Everything an account can be told of, from where it happens to its own server.

let coordinator: Coordinator;
let receiver: Receiver;
beforeAll(async () => {
  receiver = await startReceiver();
  // A voting day and the timelock of a day are eight seconds each, an hour of a booking a third of one.
  coordinator = await startCoordinator({ env: { BUSINESS_TIME_SCALE: '10800' } });
}, STARTING_MS);
afterAll(async () => {
  await coordinator?.stop();
  await receiver?.stop();
});

const EVENTS = [
  'job.completed',
  'job.failed',
  'job.cancelled',
  'job.expired',
  'payment.released',
  'payment.refunded',
  'booking.started',
  'booking.ended',
  'invoice.confirmed',
  'proposal.passed',
  'proposal.executed',
] as const;

const finish = async (minerId: string, jobId: string, outcome: object): Promise<void> => {
  const { miner } = coordinator;
  const [work] = await takeWork(miner, minerId);
  expect(work?.id).toBe(jobId);
  must(
    await miner.call(routes.jobs.result, {
      body: { job_id: jobId, lease: work?.lease, ...outcome } as never,
    }),
  );
};

const buyTokens = async (caller: Client): Promise<void> => {
  const { payment_id } = must(
    await caller.call(routes.payments.exchangeCreate, { body: { btc_amount: 0.001 } }),
  );
  must(await caller.call(routes.payments.devBitcoinSend, { body: { payment_id } }));
  must(await caller.call(routes.payments.devBitcoinMine, { body: { blocks: 6 } }));
};

const passProposal = async (caller: Client): Promise<void> => {
  const { id } = must(
    await caller.call(routes.governance.propose, {
      body: {
        title: 'Raise the platform fee to five percent',
        description: 'The treasury gets half of each fee, and it is empty. Five percent fill it in a season.',
        type: 'parameter_change',
        target: { parameter: 'platform_fee_basis_points', value: 500 },
        voting_period_days: 1,
      },
    }),
  );
  must(await caller.call(routes.governance.vote, { body: { proposal_id: id, vote: 'for' } }));
};

test('what happens to an account’s jobs, payments, bookings, invoices and proposals reaches its server, signed', {
  timeout: 90_000,
}, async () => {
  const { admin, miner } = coordinator;
  const { id: accountId, caller } = await coordinator.newAccount(['client', 'vote']);
  must(
    await admin.call(routes.payments.credit, {
      params: { account_id: accountId },
      body: { amount: 600, reason: 'for a test' },
    }),
  );
  const { secret } = must(
    await caller.call(routes.gateway.createWebhook, {
      body: { url: `${receiver.url}/events`, events: [...EVENTS] },
    }),
  );
  rememberSecret(secret);
  const taken = () =>
    Promise.all(receiver.taken.map(({ body, headers }) => verifyWebhook(body, headers, secret)));
  const submit = async (more: object = {}) =>
    must(await caller.call(routes.jobs.submit, { body: embedding('hello', more) })).id;

  // The services hear within seconds that somebody listens; what happened before is told to nobody.
  await eventually(
    async () => {
      must(await caller.call(routes.jobs.cancel, { params: { job_id: await submit() } }));
      return (await taken()).some(({ type }) => type === 'job.cancelled');
    },
    { withinMs: 30_000, everyMs: 500 },
  );

  await Promise.all([
    buyTokens(caller),
    passProposal(caller),
    submit({ ttl_seconds: 1, constraints: { region: 'nowhere' } }),
  ]);
  const unfunded = await submit({ payment_amount: 3 });
  await eventually(async () => {
    const payment = await caller.call(routes.payments.getByJob, { params: { job_id: unfunded } });
    return payment.ok && payment.body.status === 'escrowed';
  });
  must(await caller.call(routes.jobs.cancel, { params: { job_id: unfunded } }));

  const { id: minerId } = await registerMiner(miner, { capabilities: ['embedding'], models: [] });
  const paid = await submit({ payment_amount: 10 });
  await finish(minerId, paid, { status: 'completed', result: { embeddings: [[1]] } });
  const failing = await submit();
  await finish(minerId, failing, {
    status: 'failed',
    error: { code: 'OUT_OF_MEMORY', message: 'too long' },
  });

  const { id: gpuId } = must(
    await miner.call(routes.market.register, {
      body: { model: 'RTX 4090', memory_gb: 24, region: 'eu', price_per_hour: 1 },
    }),
  );
  must(await caller.call(routes.market.book, { params: { gpu_id: gpuId }, body: { duration_hours: 2 } }));

  await eventually(
    async () => {
      const types = (await taken()).map(({ type }) => type);
      expect(new Set(types)).toEqual(new Set(EVENTS));
      // Of the job and of the booking, which is paid after its end was told.
      return types.filter((type) => type === 'payment.released').length >= 2;
    },
    { withinMs: 60_000, everyMs: 250 },
  );
  const all = await taken();
  const of = (type: string) => all.filter((event) => event.type === type);
  expect(of('job.completed')).toMatchObject([{ data: { job_id: paid, price: 10 } }]);
  expect(of('job.failed')).toMatchObject([{ data: { job_id: failing } }]);
  // The booking is paid, too.
  expect(of('payment.released')).toContainEqual(
    expect.objectContaining({ data: expect.objectContaining({ job_id: paid, amount: 10 }) }),
  );
  expect(of('payment.released')).toHaveLength(2);
  expect(of('payment.refunded')).toMatchObject([{ data: { job_id: unfunded, amount: 3 } }]);
});
