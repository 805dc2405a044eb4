import { type Client, routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  accountOf,
  type Coordinator,
  embedding,
  must,
  refusal,
  registerMiner,
  startCoordinator,
  takeWork,
} from './coordinator.ts';

// Token holders change what the running system does.

const FEE = 'platform_fee_basis_points';

// Anew for each try: a vote that passed stays passed.
let coordinator: Coordinator;
beforeEach(async () => {
  coordinator = await startCoordinator({
    // A voting day and the timelock of a day are eight seconds each.
    env: { BUSINESS_TIME_SCALE: '10800' },
  });
}, 90_000);
afterEach(() => coordinator?.stop());

const credit = (account_id: string, amount: number) =>
  eventually(async () =>
    must(
      await coordinator.admin.call(routes.payments.credit, {
        params: { account_id },
        body: { amount, reason: 'for a test' },
        idempotencyKey: `${account_id}-${amount}`,
      }),
    ),
  );

/** A job paid with `amount`, run to its end. @returns its payment once it is released. */
const paidJob = async (client: Client, minerId: string, amount: number) => {
  const { miner } = coordinator;
  const { id } = must(
    await client.call(routes.jobs.submit, { body: embedding('hello', { payment_amount: amount }) }),
  );
  const [work] = await takeWork(miner, minerId);
  if (work === undefined) throw new Error('no work');
  expect(work.id).toBe(id);
  must(
    await miner.call(routes.jobs.result, {
      body: { job_id: id, lease: work.lease, status: 'completed', result: { embeddings: [[1]] } },
    }),
  );
  return eventually(async () => {
    const payment = must(await client.call(routes.payments.getByJob, { params: { job_id: id } }));
    return payment.status === 'released' && payment;
  });
};

const powerOf = async (user_id: string, query: { proposal_id?: string } = {}) =>
  must(await coordinator.anyone.call(routes.governance.votingPower, { params: { user_id }, query }))
    .voting_power;

test('three holders raise the platform fee, and the next settled job pays it', async () => {
  const { anyone, miner } = coordinator;
  const [alice, bob, carol] = await Promise.all(
    [1, 2, 3].map(() => coordinator.newAccount(['client', 'vote'])),
  );
  if (alice === undefined || bob === undefined || carol === undefined) throw new Error('three accounts');
  await Promise.all([credit(alice.id, 600), credit(bob.id, 300), credit(carol.id, 100)]);
  const { id: minerId } = await registerMiner(miner);
  expect(await paidJob(alice.caller, minerId, 10)).toMatchObject({ amount: 10, fee: 0.25 });
  // The miner's account votes too, with what the job paid it. Hold and release may be sealed in two blocks.
  const minerAccount = await accountOf(miner);
  await eventually(async () => (await powerOf(alice.id)) === 590 && (await powerOf(minerAccount)) === 9.75);

  const proposal = must(
    await alice.caller.call(routes.governance.propose, {
      body: {
        title: 'Raise the platform fee to five percent',
        description: 'The treasury gets half of each fee, and it is empty. Five percent fill it in a season.',
        type: 'parameter_change',
        target: { parameter: FEE, value: 500 },
        // Sixteen seconds: a block is sealed and found while votes are taken, which may take four.
        voting_period_days: 2,
      },
    }),
  );
  const proposalId = { proposal_id: proposal.id };
  const supply = proposal.tally.voting_supply;
  expect(supply).toBe(590 + 300 + 100 + 9.75);

  const cast = (caller: Client, vote: 'for' | 'against' | 'abstain') =>
    caller.call(routes.governance.vote, { body: { ...proposalId, vote } });
  must(await cast(alice.caller, 'against'));
  must(await cast(alice.caller, 'for'));
  must(await cast(bob.caller, 'against'));
  const forBob = { ...proposalId, vote: 'for', voter_id: bob.id } as never;
  expect(refusal(await carol.caller.call(routes.governance.vote, { body: forBob }))).toBe(
    '422 VALIDATION_ERROR',
  );
  // What came after the snapshot does not vote.
  await credit(carol.id, 5_000);
  await eventually(async () => (await powerOf(carol.id)) === 5_100);
  expect(must(await cast(carol.caller, 'against')).weight).toBe(100);
  const accounts = [alice.id, bob.id, carol.id, minerAccount];
  const powers = await Promise.all(accounts.map((id) => powerOf(id, proposalId)));
  expect(powers.reduce((sum, power) => sum + power, 0)).toBe(supply);

  const execute = () => bob.caller.call(routes.governance.execute, { params: proposalId });
  const read = async () => must(await anyone.call(routes.governance.get, { params: proposalId }));
  expect(refusal(await execute())).toBe('409 PROPOSAL_NOT_EXECUTABLE');
  await eventually(async () => (await read()).status === 'queued', { withinMs: 30_000 });
  expect(refusal(await cast(carol.caller, 'for'))).toBe('409 PROPOSAL_CLOSED');
  expect(refusal(await execute())).toBe('409 TIMELOCK_ACTIVE');
  const executed = await eventually(
    async () => {
      const now = await read();
      return now.status === 'executed' && now;
    },
    { withinMs: 20_000 },
  );
  expect(executed.tally).toMatchObject({ for: 590, against: 400, voters: 3 });
  expect(must(await execute())).toEqual(executed.execution);

  const { items } = must(await anyone.call(routes.governance.parameters, {}));
  expect(items.find((item) => item.name === FEE)).toMatchObject({
    value: 500,
    default: 250,
    version: 1,
    proposal_id: proposal.id,
  });
  // Payments obeys it from the message on.
  await eventually(async () => (await paidJob(alice.caller, minerId, 10)).fee === 0.5);
}, 120_000);
