import { isDeepStrictEqual } from 'node:util';
import {
  type BodyIn,
  type Client,
  createClient,
  PARAMETER_NAMES,
  PARAMETERS,
  type ParameterName,
  type Proposal,
  type Reply,
  routes,
  type Step,
} from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Coordinator, must, passes, refusal, STARTING_MS, startCoordinator } from './coordinator.ts';

// The promise of libs/contracts/src/parameters.ts: votes may bring every parameter to an end of its bounds, all of
// them at the same time, and the system still does paid work and still finds its way back by votes.

const { governance, jobs, payments } = routes;

/** Any miner can do it without a model. */
const JOB = { job_type: 'language_detection', parameters: { text: 'A short text in plain English.' } };
/** The most that a proposer can be asked to hold, at the upper end of `min_proposal_voting_power`. */
const ENOUGH_TO_PROPOSE = 10_000;
/** With it a hundredth of what can vote is more than that end: no rule but the bound itself keeps it low. */
const MOST_OF_ALL = 2_000_000;
/** What is done at once, on a busy machine; asked for twice a second, within what the lowest limits allow. */
const BUSY = { withinMs: 30_000, everyMs: 500 };
/** The longest timelock takes 7 s here, a vote 2 s; the rest is for a busy machine. */
const DECIDED = { withinMs: 90_000, everyMs: 250 };

let coordinator: Coordinator;
/** Keys as anybody has them, under the limits that are voted on. */
let payer: Client;
let proposer: Client;
let voter: Client;
/** Keys with limits of their own: they move the parameters, and what they do says nothing about the others. */
let movers: Client[];
let mover: Client;
let operator: Client;

const credit = async (account_id: string, amount: number) =>
  must(
    await coordinator.admin.call(payments.credit, {
      params: { account_id },
      body: { amount, reason: 'for a test' },
    }),
  );

beforeAll(async () => {
  coordinator = await startCoordinator({
    demoMiner: true,
    env: {
      // A voting day is a second; timelocks take half a second to seven.
      BUSINESS_TIME_SCALE: '86400',
      RATE_LIMIT_CLIENT_PER_MINUTE: String(PARAMETERS.rate_limit_client_per_minute.default),
      RATE_LIMIT_MINER_PER_MINUTE: String(PARAMETERS.rate_limit_miner_per_minute.default),
      RATE_LIMIT_USER_PER_MINUTE: String(PARAMETERS.rate_limit_user_per_minute.default),
    },
  });
  const [pays, proposes, votes] = [
    await coordinator.newAccount(['client']),
    await coordinator.newAccount(['vote']),
    await coordinator.newAccount(['vote']),
  ];
  [payer, proposer, voter] = [pays.caller, proposes.caller, votes.caller];
  const unhindered = async (scope: 'vote' | 'admin', account_id?: string) => {
    const body = { scopes: [scope], label: 'moves parameters', rate_limit_per_minute: 1_000_000 };
    const asked = account_id === undefined ? body : { ...body, account_id };
    const { key } = must(await coordinator.admin.call(routes.gateway.adminCreateKey, { body: asked }));
    return createClient(coordinator.url, { 'x-api-key': key });
  };
  operator = await unhindered('admin');
  // An account has at most 20 open proposals.
  movers = [await unhindered('vote', votes.id), await unhindered('vote', proposes.id)];
  mover = movers[0] as Client;
  await eventually(() => credit(pays.id, 100).then(() => true));
  await credit(proposes.id, ENOUGH_TO_PROPOSE);
  await credit(votes.id, MOST_OF_ALL);
  const supply = MOST_OF_ALL + ENOUGH_TO_PROPOSE + 100;
  await eventually(async () => {
    const power = await mover.call(governance.votingPower, { params: { user_id: votes.id } });
    return must(power).voting_supply === supply;
  });
}, STARTING_MS);
afterAll(() => coordinator?.stop());

type Draft = BodyIn<typeof governance.propose>;
const words = {
  title: 'A change that somebody wants',
  description: 'Long enough to say why this is wanted, what it costs, and what would happen without it.',
  // Two seconds: time to vote on a busy machine.
  voting_period_days: 2,
};

/** A proposal that is voted for by nearly all. @returns it once nothing can happen to it any more. */
const decided = async (by: Client, vote: Client, draft: Draft, everyMs: number): Promise<Proposal> => {
  const id = await eventually(
    async () => {
      const { id } = must(await by.call(governance.propose, { body: draft }));
      const cast = await vote.call(governance.vote, { body: { proposal_id: id, vote: 'for' } });
      // On a busy machine the two seconds may be over. It is rejected then, and another one is made.
      return refusal(cast) === '409 PROPOSAL_CLOSED' ? false : must(cast).proposal_id;
    },
    { withinMs: 20_000, everyMs: 1_000 },
  );
  return eventually(
    async () => {
      const proposal = must(await by.call(governance.get, { params: { proposal_id: id } }));
      return !['active', 'passed', 'queued'].includes(proposal.status) && proposal;
    },
    { ...DECIDED, everyMs },
  );
};

type Values = Record<string, unknown>;
type Registered = Extract<Reply<typeof governance.parameters>, { ok: true }>['body']['items'][number];
const registered = async (): Promise<Registered[]> => must(await mover.call(governance.parameters, {})).items;
const valuesNow = async (): Promise<Values> =>
  Object.fromEntries((await registered()).map(({ name, value }) => [name, value]));

/** JSON Schema, as the registry shows it. */
type Bounds = {
  type: 'integer' | 'number' | 'boolean' | 'array';
  minimum: number;
  maximum: number;
  minItems: number;
  maxItems: number;
};

/** Both ends of what may be voted. Of a list: as few as may be, and all. */
const endsOf = ({ name, bounds, default: all }: Registered): { low: unknown; high: unknown } => {
  const { type, minimum, maximum, minItems, maxItems } = bounds as Bounds;
  if (type === 'boolean') return { low: false, high: true };
  if (type !== 'array') return { low: minimum, high: maximum };
  // Which one is left is up to the vote; here it is one that the miner of this test can do.
  const entries = [JOB.job_type, ...(all as string[]).filter((entry) => entry !== JOB.job_type)];
  expect(entries.length, name).toBe(maxItems);
  return { low: entries.slice(0, minItems), high: entries };
};

/** The furthest that one vote can bring `from` on its way to `to`. */
const oneStep = (name: ParameterName, from: unknown, to: unknown): unknown => {
  const step: Step = PARAMETERS[name].step;
  if (step === null) return to;
  if ('removes' in step) {
    const kept = to as string[];
    const leaving = (from as string[]).filter((entry) => !kept.includes(entry));
    return [...kept, ...leaving.slice(step.removes)];
  }
  const [old, wanted] = [from as number, to as number];
  const [least, most] = 'by' in step ? [old - step.by, old + step.by] : [old / step.times, old * step.times];
  // Values are counted in ones or in millionths; of what lies between, the one nearer to the old value.
  const grain = Number.isInteger(old) && Number.isInteger(wanted) ? 1 : 1e6;
  const near = (value: number) => Math.round(value * 1e6) / 1e6;
  if (wanted < least) return Math.ceil(near(least) * grain) / grain;
  return wanted > most ? Math.floor(near(most) * grain) / grain : wanted;
};

const pathOf = (name: ParameterName, from: unknown, to: unknown): unknown[] => {
  const path: unknown[] = [];
  for (let at = from; !isDeepStrictEqual(at, to); path.push(at)) {
    const next = oneStep(name, at, to);
    if (isDeepStrictEqual(next, at)) throw new Error(`${name}: no way from ${at} to ${to}`);
    at = next;
  }
  return path;
};

/**
 * Brings all parameters to `goals`, by as many votes as their largest steps need. All at once, a step each in a wave.
 * @param arrive in the last wave everything gets there; otherwise each as soon as it can. A long timelock holds up
 *   every wave after it.
 */
const moveAll = async (goals: Values, arrive: 'together' | 'soon'): Promise<void> => {
  const from = await valuesNow();
  const paths = PARAMETER_NAMES.map((name) => ({ name, path: pathOf(name, from[name], goals[name]) }));
  const waves = Math.max(...paths.map(({ path }) => path.length));
  for (let wave = 0; wave < waves; wave += 1) {
    const ends = await Promise.all(
      paths.map(async ({ name, path }, index) => {
        const at = arrive === 'soon' ? wave : wave - (waves - path.length);
        if (at < 0 || at >= path.length) return undefined;
        const target = { parameter: name, value: path[at] as never };
        const draft: Draft = { ...words, type: 'parameter_change', target };
        const by = movers[index % movers.length] as Client;
        const { status, execution } = await decided(by, mover, draft, DECIDED.everyMs);
        return status === 'executed' ? undefined : { name, to: path[at], status, reason: execution?.reason };
      }),
    );
    expect(ends.filter((end) => end !== undefined)).toEqual([]);
  }
  expect(await valuesNow()).toEqual(goals);
  // Acknowledged by all: each service obeys what it was told.
  await passes(async () => {
    const { services } = must(await operator.call(routes.gateway.stats, {}));
    expect(services.find(({ service }) => service === 'governance')).toMatchObject({
      ok: true,
      outbox_unacknowledged: 0,
    });
  }, BUSY);
};

/** A paid job, by a client and a miner that know nothing of votes. */
const aJobIsPaid = async ({ platform_fee_basis_points: fee }: Values): Promise<void> => {
  const { id } = must(await payer.call(jobs.submit, { body: { ...JOB, payment_amount: 1 } as never }));
  await eventually(async () => {
    const query = { wait_seconds: 10 };
    const { status } = must(await payer.call(jobs.status, { params: { job_id: id }, query }));
    expect(status).toBe('completed');
    return true;
  }, BUSY);
  await eventually(async () => {
    const payment = must(await payer.call(payments.getByJob, { params: { job_id: id } }));
    expect(payment).toMatchObject({ status: 'released', amount: 1, fee: (fee as number) / 10_000 });
    return true;
  }, BUSY);
};

/** Somebody proposes, another one votes, and it comes into force. */
const aVoteIsExecuted = async (): Promise<void> => {
  const target = { policy: 'conduct', text: 'We are kind to each other.' };
  const draft: Draft = { ...words, type: 'policy_change', target };
  const { status, execution } = await decided(proposer, voter, draft, 1_000);
  expect({ status, effect: execution?.effect?.kind }).toEqual({
    status: 'executed',
    effect: 'text_recorded',
  });
};

test('at the lower bounds of all parameters, at the upper ones and back at the defaults: jobs are paid and votes count', async () => {
  const all = await registered();
  expect(all.map(({ name }) => name).sort()).toEqual([...PARAMETER_NAMES].sort());
  const goalsOf = (pick: (parameter: Registered) => unknown): Values =>
    Object.fromEntries(all.map((parameter) => [parameter.name, pick(parameter)]));
  const stops = [
    { name: 'lower bounds', goals: goalsOf((one) => endsOf(one).low), arrive: 'together' },
    { name: 'upper bounds', goals: goalsOf((one) => endsOf(one).high), arrive: 'together' },
    { name: 'defaults', goals: goalsOf((one) => one.default), arrive: 'soon' },
  ] as const;
  for (const { name, goals, arrive } of stops) {
    const seconds = async (done: Promise<unknown>) => {
      const fromMs = performance.now();
      await done;
      return `${((performance.now() - fromMs) / 1_000).toFixed(1)} s`;
    };
    const moved = await seconds(moveAll(goals, arrive));
    const [paid, voted] = await Promise.all([seconds(aJobIsPaid(goals)), seconds(aVoteIsExecuted())]);
    console.log(`${name}: there in ${moved}; a job paid in ${paid}, a vote executed in ${voted}`);
  }
}, 420_000);
