import { type BodyIn, type Caller, governanceRoutes } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { allocationTo, words } from './testing/ledger.ts';
import { createStand, DAY_MS } from './testing/stand.ts';

// Votes that must not be able to rob the treasury or to brick the system, and the operators who may undo some.

const reason = 'this would hurt everybody';
const admin = someone(['admin']);

const stand = createStand();
const { as, get, reaches, vote, execute, cancel, parameter } = stand;
let few: Caller;
let many: Caller;

beforeEach(async () => {
  [few, many] = [someone(['vote']), someone(['vote'])];
  await stand.open([
    [few, 373],
    [many, 18_618],
  ]);
});
afterEach(stand.close);

type Draft = BodyIn<typeof governanceRoutes.propose>;
const change = (parameter: string, value: unknown, more: object = {}) =>
  ({ ...words, type: 'parameter_change', target: { parameter, value }, ...more }) as Draft;
const propose = (draft: Draft, who = many) => as(who).call(governanceRoutes.propose, { body: draft });
const made = async (draft: Draft, who = many): Promise<string> => {
  const reply = await propose(draft, who);
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body.id;
};
const queued = async (draft: Draft): Promise<string> => {
  const id = await made(draft);
  await vote(many, id, 'for');
  stand.nowMs += 7 * DAY_MS;
  await reaches(id, 'queued');
  return id;
};
const executed = async (draft: Draft): Promise<string> => {
  const id = await queued(draft);
  stand.nowMs += 7 * DAY_MS;
  await reaches(id, 'executed');
  return id;
};
const veto = (id: string, who = admin) =>
  as(who).call(governanceRoutes.veto, { params: { proposal_id: id }, body: { reason } });
const reset = (name: 'timelock_seconds' | 'guardian_enabled') =>
  as(admin).call(governanceRoutes.resetParameter, { params: { name }, body: { reason } });
const said = (reply: { ok: boolean; body: unknown }) => {
  if (reply.ok) return 'ok';
  const { code, details } = (
    reply.body as { error: { code: string; details: { issues?: { path: string }[] } } }
  ).error;
  return [code, ...(details.issues ?? []).map(({ path }) => path)].join(' ');
};

test('a veto and a reset are told to the audit log, once each', async () => {
  const toGateway = stand.peers.listen('gateway');
  const id = await queued(allocationTo(10));
  expect((await veto(id)).status).toBe(200);
  expect((await veto(id)).status).toBe(200);
  await executed(change('timelock_seconds', 2 * 86_400));
  expect((await reset('timelock_seconds')).status).toBe(200);
  expect((await reset('timelock_seconds')).status).toBe(200);
  const audited = await eventually(() => {
    const found = toGateway.filter(({ name }) => name === 'governance.audited').map(({ payload }) => payload);
    return found.some((act) => (act as { action: string }).action === 'parameter.reset') ? found : undefined;
  });
  const actor = { account_id: admin.account_id, credential_id: admin.credential_id };
  expect(audited).toMatchObject([
    { action: 'proposal.vetoed', actor, object: id, account_id: many.account_id, details: { reason } },
    { action: 'parameter.reset', actor, object: 'timelock_seconds', account_id: null, details: { reason } },
  ]);
});

describe('the rules that judge a proposal', () => {
  test('are not its own: 373 for and 18,618 against do not pay out the treasury', async () => {
    const loose = (field: string) => propose({ ...allocationTo(10_000), [field]: 0.01 } as Draft, few);
    expect(said(await loose('quorum_threshold'))).toBe('VALIDATION_ERROR quorum_threshold');
    expect(said(await loose('approval_threshold'))).toBe('VALIDATION_ERROR approval_threshold');
    const id = await made(allocationTo(10_000), few);
    expect(await get(id)).toMatchObject({ quorum_threshold: 0.1, approval_threshold: 0.5 });
    await vote(few, id, 'for');
    await vote(many, id, 'against');
    stand.nowMs += 7 * DAY_MS;
    await reaches(id, 'rejected');
  });

  test('may be stricter; are fixed when it is made; and one that raises a rule is held to it', async () => {
    expect(await get(await made({ ...allocationTo(1), quorum_threshold: 0.6 }))).toMatchObject({
      quorum_threshold: 0.6,
    });
    const running = await made(allocationTo(1));
    expect(said(await propose(change('quorum_floor', 0.2, { quorum_threshold: 0.15 })))).toBe(
      'VALIDATION_ERROR quorum_threshold',
    );
    const raise = await queued(change('quorum_floor', 0.2));
    expect(await get(raise)).toMatchObject({ quorum_threshold: 0.2 });
    stand.nowMs += DAY_MS;
    await reaches(raise, 'executed');
    expect(await get(running)).toMatchObject({ quorum_threshold: 0.1 });
    expect(said(await propose({ ...allocationTo(1), quorum_threshold: 0.1 }))).toBe(
      'VALIDATION_ERROR quorum_threshold',
    );
    expect(await get(await made(allocationTo(1)))).toMatchObject({ quorum_threshold: 0.2 });
  });
});

describe('a vote cannot brick', () => {
  test.each([
    ['min_proposal_voting_power', 10_000_000],
    ['min_proposal_voting_power', 190],
    ['rate_limit_miner_per_minute', 1],
    ['rate_limit_miner_per_minute', 5_001],
    ['timelock_seconds', 30 * 86_400],
    ['timelock_seconds', 3_600],
    ['quorum_floor', 0.05],
    ['quorum_floor', 1],
    ['approval_threshold', 0.4],
    ['approval_threshold', 0.7],
    ['supported_job_types', ['ocr']],
  ])('%s = %j is refused', async (name, value) => {
    expect(said(await propose(change(name, value)))).toBe('VALIDATION_ERROR target.value');
  });

  test('what was one step when it was proposed fails when it no longer is', async () => {
    const [up, down] = [
      await made(change('platform_fee_basis_points', 750)),
      await made(change('platform_fee_basis_points', 0, { voting_period_days: 9 })),
    ];
    await vote(many, up, 'for');
    await vote(many, down, 'for');
    stand.nowMs += 7 * DAY_MS;
    await reaches(up, 'queued');
    stand.nowMs += DAY_MS;
    await reaches(up, 'executed');
    stand.nowMs += DAY_MS;
    await reaches(down, 'queued');
    stand.nowMs += DAY_MS;
    expect((await reaches(down, 'execution_failed')).execution?.reason).toContain('at most 500');
  });

  test('nobody has to hold more than 1 % of what can vote: asked for when it is proposed, and when it is executed', async () => {
    const name = 'min_proposal_voting_power';
    // 1 % of 18,991.
    expect(said(await propose(change(name, 189.92)))).toBe('VALIDATION_ERROR target.value');
    const id = await queued(change(name, 189.91));
    // Money leaves the holders before it is executed: the same value is more than 1 % now.
    await stand.seal([[many, 10_000]]);
    stand.nowMs += DAY_MS;
    expect(await reaches(id, 'execution_failed')).toMatchObject({
      execution: { status: 'failed', reason: expect.stringContaining('which is 103.73 AITBC now') },
    });
    expect(await parameter(name)).toMatchObject({ value: 100, version: 0 });
    // What still fits is executed; and however little can vote afterwards, who has 1 % of it may propose.
    await executed(change(name, 103.73));
    await stand.seal([[many, 1_000]]);
    const required = async (who: Caller) => {
      const reply = await propose(allocationTo(1), who);
      return reply.ok ? 'ok' : reply.body.error.details.required;
    };
    expect([await required(someone(['vote'])), await required(few)]).toEqual([13.73, 'ok']);
  });
});

describe('the guardian', () => {
  test('vetoes within the timelock, with a reason that all can read; others may not', async () => {
    const id = await queued(change('timelock_seconds', 43_200));
    expect(said(await veto(id, many))).toBe('FORBIDDEN');
    expect(said(await veto(await made(allocationTo(1))))).toBe('PROPOSAL_NOT_VETOABLE');
    expect((await veto(id)).status).toBe(200);
    expect(await get(id)).toMatchObject({
      status: 'cancelled',
      vetoed_by: admin.account_id,
      veto_reason: reason,
    });
    expect((await veto(id)).status).toBe(200);
    stand.nowMs += 30 * DAY_MS;
    expect(said(await execute(many, id))).toBe('PROPOSAL_NOT_EXECUTABLE');
    expect(await parameter('timelock_seconds')).toMatchObject({ version: 0 });
    const late = await executed(change('timelock_seconds', 43_200));
    expect(said(await veto(late))).toBe('PROPOSAL_NOT_VETOABLE');
  });

  test('resets a parameter; the history says who and why', async () => {
    const id = await executed(change('timelock_seconds', 43_200));
    expect(await reset('timelock_seconds')).toMatchObject({
      status: 200,
      body: {
        value: 86_400,
        version: 2,
        reset_by: admin.account_id,
        reset_reason: reason,
        proposal_id: null,
      },
    });
    expect(await reset('timelock_seconds')).toMatchObject({ body: { version: 2 } });
    const history = await as(null).call(governanceRoutes.parameterHistory, {
      params: { name: 'timelock_seconds' },
    });
    expect(history).toMatchObject({
      body: {
        items: [
          { version: 2, value: 86_400, reset_by: admin.account_id, reset_reason: reason, proposal_id: null },
          { version: 1, value: 43_200, reset_by: null, proposal_id: id },
        ],
      },
    });
  });

  test('cannot stop the vote that ends its power, and has none afterwards', async () => {
    const end = await queued(change('guardian_enabled', false));
    expect(said(await veto(end))).toBe('PROPOSAL_NOT_VETOABLE');
    expect(said(await cancel(admin, end))).toBe('PROPOSAL_NOT_VETOABLE');
    stand.nowMs += DAY_MS;
    await reaches(end, 'executed');
    const other = await queued(change('timelock_seconds', 43_200));
    expect(said(await veto(other))).toBe('GUARDIAN_DISABLED');
    expect(said(await cancel(admin, other))).toBe('GUARDIAN_DISABLED');
    expect(said(await reset('guardian_enabled'))).toBe('GUARDIAN_DISABLED');
    stand.nowMs += DAY_MS;
    await reaches(other, 'executed');
    await executed(change('guardian_enabled', true));
    expect(await reset('timelock_seconds')).toMatchObject({ body: { value: 86_400 } });
  });
});
