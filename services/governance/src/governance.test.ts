import { createHash } from 'node:crypto';
import {
  type BodyIn,
  type Caller,
  governanceRoutes,
  newId,
  PARAMETERS,
  type Proposal,
  toMinor,
  type VoteChoice,
} from '@aitbc/contracts';
import { eventually, scratchDatabase, someone } from '@aitbc/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { OPEN_PROPOSALS_MAX } from './commands/voting.ts';
import { allocationTo, words } from './testing/ledger.ts';
import { createStand, DAY_MS } from './testing/stand.ts';

const stand = createStand();
const { as, power, get, reaches, vote, execute, cancel, parameter } = stand;
let alice: Caller;
let bob: Caller;
let carol: Caller;

beforeEach(async () => {
  [alice, bob, carol] = [someone(['user']), someone(['vote']), someone(['vote'])];
  await stand.open([
    [alice, 500],
    [bob, 300],
    [carol, 200],
  ]);
});
afterEach(stand.close);

type Draft = BodyIn<typeof governanceRoutes.propose>;
const feeOf = (value: unknown, changes: object = {}): Draft => ({
  ...words,
  type: 'parameter_change',
  target: { parameter: 'platform_fee_basis_points', value },
  ...changes,
});
const propose = async (draft: Draft = feeOf(300), who = alice): Promise<Proposal> => {
  const reply = await as(who).call(governanceRoutes.propose, { body: draft });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body;
};
/** Made, voted for by alice, and decided. */
const queued = async (draft?: Draft): Promise<Proposal> => {
  const { id } = await propose(draft);
  await vote(alice, id);
  stand.nowMs += 7 * DAY_MS;
  return reaches(id, 'queued');
};
const code = (reply: { ok: boolean; body: unknown }) =>
  reply.ok ? 'ok' : (reply.body as { error: { code: string } }).error.code;

describe('from proposal to effect', () => {
  test('a passed change waits for its timelock, is made by itself, is told once and is named by the registry', async () => {
    expect(await parameter('platform_fee_basis_points')).toMatchObject({
      value: 250,
      version: 0,
      proposal_id: null,
      bounds: { type: 'integer', minimum: 0, maximum: 2_000 },
    });
    const proposal = await propose();
    expect(proposal).toMatchObject({ status: 'active', snapshot_height: 0, tally: { voting_supply: 1_000 } });
    await vote(alice, proposal.id, 'for', 'needed');
    await vote(bob, proposal.id, 'against');
    await vote(carol, proposal.id, 'abstain');
    expect((await get(proposal.id)).tally).toEqual({
      for: 500,
      against: 300,
      abstain: 200,
      voters: 3,
      voting_supply: 1_000,
      participation: 1,
      approval: 0.625,
      quorum_reached: true,
      approval_reached: true,
    });

    stand.nowMs += 7 * DAY_MS;
    const decided = await reaches(proposal.id, 'queued');
    expect(decided.timelock_ends_at).toBe(new Date(stand.nowMs + DAY_MS).toISOString());
    expect(await execute(bob, proposal.id)).toMatchObject({
      status: 409,
      body: { error: { code: 'TIMELOCK_ACTIVE', details: { timelock_ends_at: decided.timelock_ends_at } } },
    });
    expect(stand.toPayments).toEqual([]);

    stand.nowMs += DAY_MS;
    const executed = await reaches(proposal.id, 'executed');
    expect(executed.execution).toMatchObject({
      status: 'executed',
      executed_by: null,
      effect: { kind: 'parameter_changed', parameter: 'platform_fee_basis_points', value: 300, version: 1 },
    });
    const change = { name: 'platform_fee_basis_points', value: 300, version: 1, proposal_id: proposal.id };
    await eventually(() => stand.toPayments.length > 0);
    expect(stand.toPayments).toEqual([{ name: 'governance.parameter_changed', payload: change }]);
    expect(await parameter('platform_fee_basis_points')).toMatchObject({
      value: 300,
      default: 250,
      version: 1,
      proposal_id: proposal.id,
      reset_by: null,
    });
    // A second execute gives the first answer.
    expect(await execute(bob, proposal.id)).toMatchObject({ status: 200, body: executed.execution });
    expect(stand.toPayments).toHaveLength(1);
  });

  test('a rejected proposal changes nothing and cannot be executed', async () => {
    const { id } = await propose();
    await vote(alice, id, 'against');
    stand.nowMs += 7 * DAY_MS;
    await reaches(id, 'rejected');
    expect(code(await execute(alice, id))).toBe('PROPOSAL_NOT_EXECUTABLE');
    expect(await parameter('platform_fee_basis_points')).toMatchObject({ value: 250, version: 0 });
  });

  test('deadlines that pass while the service is down are kept after it, with a whole timelock', async () => {
    const { id } = await propose();
    await vote(alice, id);
    await stand.stop();
    stand.nowMs += 30 * DAY_MS;
    await stand.start();
    expect((await reaches(id, 'queued')).timelock_ends_at).toBe(new Date(stand.nowMs + DAY_MS).toISOString());
    await stand.stop();
    stand.nowMs += DAY_MS;
    await stand.start();
    await reaches(id, 'executed');
  });

  test('business time runs faster where the configuration says so', async () => {
    await stand.stop();
    await stand.start({ BUSINESS_TIME_SCALE: '86400' });
    const proposal = await propose();
    expect(Date.parse(proposal.voting_ends_at) - Date.parse(proposal.created_at)).toBe(7_000);
  });

  test('policies and upgrades are recorded with their text and its hash', async () => {
    const text = 'Miners publish the region their machines stand in. – § 1';
    const { id } = await queued({ ...words, type: 'policy_change', target: { policy: 'regions', text } });
    stand.nowMs += DAY_MS;
    const proposal = await reaches(id, 'executed');
    expect(proposal.target).toEqual({ policy: 'regions', text });
    expect(proposal.execution?.effect).toEqual({
      kind: 'text_recorded',
      subject: 'regions',
      sha256: createHash('sha256').update(text).digest('hex'),
    });
    const upgrade = await queued({
      ...words,
      type: 'protocol_upgrade',
      target: { release: '2.0.0', text: 'New limits.' },
    });
    stand.nowMs += DAY_MS;
    expect((await reaches(upgrade.id, 'executed')).execution?.effect).toMatchObject({ subject: '2.0.0' });
  });

  test('bounds that a release narrowed meanwhile stop the execution, with the reason', async () => {
    const { id } = await queued(feeOf(700));
    const entry = PARAMETERS.platform_fee_basis_points as { schema: z.ZodType };
    const { schema } = entry;
    entry.schema = z.number().int().max(500);
    try {
      stand.nowMs += DAY_MS;
      const proposal = await reaches(id, 'execution_failed');
      expect(proposal.execution).toMatchObject({ status: 'failed', effect: null });
      expect(proposal.execution?.reason).toContain('out of the bounds of platform_fee_basis_points');
    } finally {
      entry.schema = schema;
    }
    expect(await execute(alice, id)).toMatchObject({ status: 200, body: { status: 'failed' } });
    expect(await parameter('platform_fee_basis_points')).toMatchObject({ value: 250, version: 0 });
    expect(stand.toPayments).toEqual([]);
  });

  test('what governance owns it obeys itself', async () => {
    const own = async (target: object) => {
      const { id } = await queued({ ...words, type: 'parameter_change', target } as Draft);
      stand.nowMs += DAY_MS;
      await reaches(id, 'executed');
    };
    await own({ parameter: 'timelock_seconds', value: 43_200 });
    const after = await queued();
    expect(Date.parse(after.timelock_ends_at ?? '')).toBe(stand.nowMs + 43_200_000);
    // One percent of what can vote is more than what is asked for.
    await stand.seal([[alice, 50_000]]);
    await own({ parameter: 'min_proposal_voting_power', value: 250.5 });
    await propose(feeOf(1), bob);
    expect(code(await as(carol).call(governanceRoutes.propose, { body: feeOf(1) }))).toBe(
      'INSUFFICIENT_VOTING_POWER',
    );
    // Also after a restart.
    await stand.stop();
    await stand.start();
    expect(code(await as(carol).call(governanceRoutes.propose, { body: feeOf(1) }))).toBe(
      'INSUFFICIENT_VOTING_POWER',
    );
  });
});

describe('a payment out of the treasury', () => {
  const answer = (proposal_id: string, changes: object = {}) =>
    stand.peers.send('payments.allocation_settled', {
      proposal_id,
      ok: true,
      transaction_hash: 'f00d',
      reason: null,
      ...changes,
    });

  test('is asked of the ledger once, shows as queued until it answers, and then with the transaction', async () => {
    const draft = allocationTo(9_999.5);
    const { id } = await queued(draft);
    stand.nowMs += DAY_MS;
    await eventually(() => stand.toPayments.length > 0);
    expect(stand.toPayments).toEqual([
      {
        name: 'governance.allocation_approved',
        payload: {
          proposal_id: id,
          recipient_account_id: draft.target.recipient_account_id,
          amount_minor: 999_950_000_000,
        },
      },
    ]);
    expect(await get(id)).toMatchObject({ status: 'queued', execution: { status: 'settling' } });
    expect(code(await cancel(alice, id))).toBe('PROPOSAL_CLOSED');
    const list = await as(null).call(governanceRoutes.list, { query: { status: 'queued' } });
    expect(list.ok && list.body.items.map((item) => item.id)).toEqual([id]);

    // Who asks now is told as soon as the ledger has answered.
    const asked = execute(bob, id);
    await answer(id);
    await answer(id);
    expect(await asked).toMatchObject({
      status: 200,
      body: { status: 'executed', effect: { amount: 9_999.5, transaction_hash: 'f00d' } },
    });
    const executed = await reaches(id, 'executed');
    expect(await execute(carol, id)).toMatchObject({ status: 200, body: executed.execution });
    expect(stand.toPayments).toHaveLength(1);
  });

  test('that the treasury cannot make any more fails with the ledger’s reason', async () => {
    const { id } = await queued(allocationTo(10_000));
    stand.nowMs += DAY_MS;
    await eventually(() => stand.toPayments.length > 0);
    await answer(id, { ok: false, transaction_hash: null, reason: 'The treasury holds 12 AITBC.' });
    const proposal = await reaches(id, 'execution_failed');
    expect(proposal.execution).toMatchObject({ status: 'failed', reason: 'The treasury holds 12 AITBC.' });
    // A contrary answer later is not believed: an operator finds it among the dead letters.
    await answer(id);
    await eventually(async () =>
      (await (await fetch(`${stand.url}/metrics`)).text()).includes('dead_letters{service="governance"} 1'),
    );
    expect((await get(id)).execution).toEqual(proposal.execution);
  });

  test('is asked for again while the answer does not come', async () => {
    const { id } = await queued(allocationTo(1));
    stand.nowMs += DAY_MS;
    await eventually(() => stand.toPayments.length === 1);
    stand.nowMs += 60_000;
    await eventually(() => stand.toPayments.length === 2);
    expect(stand.toPayments[1]).toEqual(stand.toPayments[0]);
    await answer(id);
    await reaches(id, 'executed');
  });

  test('larger than the treasury is refused at once', async () => {
    const reply = await as(alice).call(governanceRoutes.propose, { body: allocationTo(10_000.00000001) });
    expect(reply).toMatchObject({
      status: 422,
      body: { error: { code: 'VALIDATION_ERROR', details: { issues: [{ path: 'target.amount' }] } } },
    });
  });
});

describe('votes', () => {
  test('weigh what was held at the snapshot, whatever is bought or moved afterwards', async () => {
    const dave = someone(['vote']);
    const { id } = await propose();
    await vote(bob, id);
    await stand.seal([
      [alice, 0],
      [bob, 5],
      [dave, 795],
    ]);
    expect(await power(alice, id)).toBe(500);
    expect((await get(id)).tally).toMatchObject({ for: 300, voting_supply: 1_000 });

    expect(code(await vote(dave, id))).toBe('INSUFFICIENT_VOTING_POWER');
    expect(await vote(alice, id)).toMatchObject({ status: 200, body: { weight: 500 } });
    expect(await vote(bob, id, 'against')).toMatchObject({ status: 200, body: { weight: 300 } });
    expect((await get(id)).tally).toMatchObject({ for: 500, against: 300, voters: 2 });
    // All powers at the snapshot are the voting supply at the snapshot, and no less and no more now.
    const sum = async (at?: string) =>
      (await Promise.all([alice, bob, carol, dave].map((each) => power(each, at)))).reduce(
        (a, b) => a + b,
        0,
      );
    expect(await sum(id)).toBe(1_000);
    expect(await sum()).toBe(1_000);
  });

  test('a body that names another voter is refused and changes nothing', async () => {
    const { id } = await propose();
    for (const extra of [{ voter_id: bob.account_id }, { user_id: bob.account_id }, { weight: 1e6 }]) {
      const reply = await as(carol).call(governanceRoutes.vote, {
        body: { proposal_id: id, vote: 'for', ...extra } as never,
      });
      expect(reply.status).toBe(422);
    }
    const votes = await as(null).call(governanceRoutes.votes, { params: { proposal_id: id } });
    expect(votes.ok && votes.body.items).toEqual([]);
    expect((await get(id)).tally.voters).toBe(0);
    await vote(carol, id);
    expect((await get(id)).tally).toMatchObject({ for: 200, voters: 1 });
  });

  test('the newest counts, once, until the deadline to the millisecond; the tally is the sum of the rows', async () => {
    const { id, voting_ends_at } = await propose();
    const choices: VoteChoice[] = ['for', 'against', 'abstain', 'against', 'for', 'abstain'];
    await Promise.all(choices.flatMap((choice) => [alice, bob, carol].map((who) => vote(who, id, choice))));
    await vote(bob, id, 'against', 'thought again');
    const votes = await as(null).call(governanceRoutes.votes, { params: { proposal_id: id } });
    if (!votes.ok) throw new Error('no votes');
    expect(votes.body.items).toHaveLength(3);
    expect(votes.body.items[0]).toMatchObject({ voter_id: bob.account_id, reason: 'thought again' });
    const sum = (choice: VoteChoice) =>
      votes.body.items.filter((item) => item.vote === choice).reduce((total, item) => total + item.weight, 0);
    const before = (await get(id)).tally;
    expect(before).toMatchObject({
      for: sum('for'),
      against: sum('against'),
      abstain: sum('abstain'),
      voters: 3,
    });

    stand.nowMs = Date.parse(voting_ends_at) - 1;
    expect((await vote(carol, id, 'for')).status).toBe(200);
    stand.nowMs += 1;
    expect(code(await vote(carol, id, 'against'))).toBe('PROPOSAL_CLOSED');
    await eventually(async () => (await get(id)).status !== 'active');
  });

  test('exactly at the quorum passes, one unit below does not', async () => {
    // 300 of 1,000 AITBC: a quorum of 30 % is reached, one of 30.0001 % is not.
    const reached = await propose(feeOf(300, { quorum_threshold: 0.3 }));
    const missed = await propose(feeOf(300, { quorum_threshold: 0.300001 }));
    await vote(bob, reached.id);
    await vote(bob, missed.id);
    expect((await get(missed.id)).tally).toMatchObject({ participation: 0.3, quorum_reached: false });
    stand.nowMs += 7 * DAY_MS;
    await reaches(reached.id, 'queued');
    await reaches(missed.id, 'rejected');
  });

  test('a proposal made before the first block, or by someone with too little, is refused', async () => {
    const poor = someone(['vote']);
    await stand.seal([
      [alice, 20_000],
      [poor, 99.99999999],
    ]);
    const body = feeOf(1);
    expect(code(await as(poor).call(governanceRoutes.propose, { body }))).toBe('INSUFFICIENT_VOTING_POWER');
    await stand.seal([[poor, 100]]);
    expect((await as(poor).call(governanceRoutes.propose, { body })).status).toBe(201);

    await stand.stop();
    await stand.start({ DATABASE_URL: scratchDatabase('governance') });
    expect(code(await as(alice).call(governanceRoutes.propose, { body }))).toBe('INSUFFICIENT_VOTING_POWER');
    expect(await power(alice)).toBe(0);
  });
});

test('blocks that stay away while later ones came are asked for, until there is no gap', async () => {
  const asked = () =>
    stand.toPayments.flatMap((message) =>
      message.name === 'governance.blocks_missed' ? [message.payload.from_height] : [],
    );
  const seal = (height: number, minor: number) =>
    stand.peers.send('payments.block_sealed', {
      height,
      part: 0,
      parts: 1,
      sealed_at_ms: 1,
      supply_minor: toMinor(20_000),
      treasury_minor: 0,
      balances: [{ account_id: alice.account_id, balance_minor: minor }],
    });
  await seal(3, toMinor(30));
  await eventually(() => asked().includes(1));
  expect(await power(alice)).toBe(500);
  await seal(1, toMinor(10));
  await eventually(() => asked().includes(2));
  expect(await power(alice)).toBe(10);
  await seal(2, toMinor(20));
  await eventually(async () => (await power(alice)) === 30);
  // Once each, while the answer may still come.
  expect(asked()).toEqual([1, 2]);
});

describe('cancelling', () => {
  test('by the proposer or an operator until it is executed; for anybody else it does not exist', async () => {
    const admin = someone(['admin']);
    const first = await propose();
    expect(code(await cancel(bob, first.id))).toBe('NOT_FOUND');
    expect(await cancel(alice, first.id)).toMatchObject({ status: 200, body: { status: 'cancelled' } });
    expect(await cancel(alice, first.id)).toMatchObject({ status: 200, body: { status: 'cancelled' } });
    expect(code(await vote(bob, first.id))).toBe('PROPOSAL_CLOSED');

    const second = await queued();
    expect((await cancel(admin, second.id)).status).toBe(200);
    stand.nowMs += DAY_MS;
    expect(code(await execute(alice, second.id))).toBe('PROPOSAL_NOT_EXECUTABLE');

    const third = await queued();
    stand.nowMs += DAY_MS;
    await reaches(third.id, 'executed');
    expect(code(await cancel(alice, third.id))).toBe('PROPOSAL_CLOSED');
    // The cancelled ones were never made: the third is the first version.
    expect(await parameter('platform_fee_basis_points')).toMatchObject({ version: 1, proposal_id: third.id });
  });
});

describe('what is refused', () => {
  test.each<[string, object, string]>([
    ['above the bounds', feeOf(2_001), 'target.value'],
    ['further than one step', feeOf(751), 'target.value'],
    ['not of the type', feeOf('300'), 'target.value'],
    ['no value', { ...feeOf(1), target: { parameter: 'platform_fee_basis_points' } }, 'target.value'],
    ['no such parameter', { ...feeOf(1), target: { parameter: 'gravity', value: 1 } }, 'target.parameter'],
    [
      'a job type that does not exist',
      { ...feeOf(1), target: { parameter: 'supported_job_types', value: ['ocr', 'alchemy'] } },
      'target.value.1',
    ],
    ['a target of another type', { ...allocationTo(1), target: feeOf(1).target }, 'target'],
    ['an unknown type', feeOf(1, { type: 'coup' }), 'type'],
    ['a proposer by name', feeOf(1, { proposer_id: newId() }), ''],
    ['a short title', feeOf(1, { title: 'Too short' }), 'title'],
    ['a short description', feeOf(1, { description: 'Because.' }), 'description'],
    ['no days', feeOf(1, { voting_period_days: 0 }), 'voting_period_days'],
    ['too many days', feeOf(1, { voting_period_days: 31 }), 'voting_period_days'],
    ['no quorum', feeOf(1, { quorum_threshold: 0 }), 'quorum_threshold'],
    ['a quorum finer than it is counted', feeOf(1, { quorum_threshold: 1 / 3 }), 'quorum_threshold'],
    ['an approval above all', feeOf(1, { approval_threshold: 1.01 }), 'approval_threshold'],
  ])('%s', async (_name, body, path) => {
    const reply = await as(alice).call(governanceRoutes.propose, { body: body as Draft });
    expect(reply.status).toBe(422);
    const issues = (reply.body as unknown as { error: { details: { issues: { path: string }[] } } }).error
      .details.issues;
    expect(issues.map((issue) => issue.path).join(' ')).toContain(path);
    const list = await as(null).call(governanceRoutes.list, {});
    expect(list.ok && list.body.items).toEqual([]);
  });

  test('miners, strangers and unknown proposals', async () => {
    const miner = someone(['miner']);
    expect((await as(miner).call(governanceRoutes.propose, { body: feeOf(1) })).status).toBe(403);
    expect((await as(null).call(governanceRoutes.propose, { body: feeOf(1) })).status).toBe(401);
    expect((await vote(miner, newId())).status).toBe(403);
    expect((await vote(alice, newId())).status).toBe(404);
    expect((await execute(alice, newId())).status).toBe(404);
    expect((await cancel(alice, newId())).status).toBe(404);
    expect((await as(null).call(governanceRoutes.get, { params: { proposal_id: newId() } })).status).toBe(
      404,
    );
    expect((await as(null).call(governanceRoutes.get, { params: { proposal_id: '1' } })).status).toBe(404);
    expect(Number.isNaN(await power(alice, newId()))).toBe(true);
  });

  test('more open proposals than one account may have', async () => {
    const open = await Promise.all(Array.from({ length: OPEN_PROPOSALS_MAX }, () => propose()));
    expect(code(await as(alice).call(governanceRoutes.propose, { body: feeOf(1) }))).toBe(
      'PROPOSAL_LIMIT_REACHED',
    );
    await cancel(alice, open[0]?.id ?? '');
    await propose();
  });
});

test('the same Idempotency-Key makes one proposal', async () => {
  const body = feeOf(300);
  const [one, two] = await Promise.all(
    [1, 2].map(() => as(alice).call(governanceRoutes.propose, { body, idempotencyKey: 'k-1' })),
  );
  expect(one?.body).toEqual(two?.body);
  const other = await as(alice).call(governanceRoutes.propose, { body: feeOf(301), idempotencyKey: 'k-1' });
  expect(code(other)).toBe('IDEMPOTENCY_KEY_REUSED');
  const list = await as(null).call(governanceRoutes.list, {});
  expect(list.ok && list.body.items).toHaveLength(1);
});

test('the list pages through all, newest first, while new ones come, and filters', async () => {
  const made: string[] = [];
  for (let n = 0; n < 5; n += 1) made.unshift((await propose()).id);
  await cancel(alice, made[4] ?? '');
  const seen: string[] = [];
  let cursor: string | undefined;
  do {
    const reply = await as(null).call(governanceRoutes.list, {
      query: { limit: 2, ...(cursor === undefined ? {} : { cursor }) },
    });
    if (!reply.ok) throw new Error('no page');
    seen.push(...reply.body.items.map((item) => item.id));
    cursor = reply.body.next_cursor ?? undefined;
    await propose(allocationTo(1), bob);
  } while (cursor !== undefined);
  expect(seen).toEqual(made);

  const count = async (query: object) => {
    const reply = await as(null).call(governanceRoutes.list, { query });
    return reply.ok ? reply.body.items.length : reply.status;
  };
  expect(await count({ status: 'cancelled' })).toBe(1);
  expect(await count({ type: 'fund_allocation' })).toBe(3);
  expect(await count({ type: 'parameter_change', status: 'active' })).toBe(4);
  expect(await count({ cursor: 'nonsense' })).toBe(422);
  expect(await count({ status: 'executing' })).toBe(422);
});
