import { z } from 'zod';
import { Id, Timestamp } from '../ids.ts';
import { Json } from '../json.ts';
import { Amount, AmountOut } from '../money.ts';
import { Page, PageQuery } from '../page.ts';
import { PARAMETER_NAMES, PARAMETERS } from '../parameters.ts';
import { defineRoute } from '../route.ts';
import { Text } from '../text.ts';

/** A threshold is counted in parts of a million, so that a decision is made with integers. */
export const PARTS_PER_WHOLE = 1_000_000;
/** @param share 0–1 with at most 6 decimals. @returns integer parts of a million. */
export const toParts = (share: number): number => Math.round(share * PARTS_PER_WHOLE);
export const fromParts = (parts: number): number => parts / PARTS_PER_WHOLE;

/** More decimals are refused rather than rounded: what is counted is what was asked for. */
const Threshold = z
  .number()
  .gte(0.01)
  .lte(1)
  .refine((share) => fromParts(toParts(share)) === share, 'must have at most 6 decimals');

export const ProposalType = z.enum([
  'parameter_change',
  'fund_allocation',
  'policy_change',
  'protocol_upgrade',
]);
export type ProposalType = z.infer<typeof ProposalType>;

export const ProposalStatus = z.enum([
  'active',
  'passed',
  'rejected',
  'queued',
  'executed',
  'cancelled',
  'execution_failed',
]);
export type ProposalStatus = z.infer<typeof ProposalStatus>;

export const GovernedName = z.enum(PARAMETER_NAMES);

const ParameterChangeOut = z.strictObject({ parameter: GovernedName, value: z.unknown() });
/** The value is held against the schema of the parameter it names. */
const ParameterChange = z
  .strictObject({ parameter: GovernedName, value: Json })
  .superRefine(({ parameter, value }, context) => {
    const parsed = PARAMETERS[parameter].schema.safeParse(value);
    for (const issue of parsed.error?.issues ?? []) {
      context.addIssue({ code: 'custom', path: ['value', ...issue.path], message: issue.message });
    }
  })
  .meta({ id: 'ParameterChange', example: { parameter: 'platform_fee_basis_points', value: 300 } });
const FundAllocation = z
  .strictObject({ recipient_account_id: Id, amount: Amount })
  .meta({ id: 'FundAllocation', description: 'A payment out of the treasury account' });
const PolicyChange = z
  .strictObject({ policy: Text(1, 200), text: Text(1, 10_000) })
  .meta({ id: 'PolicyChange', description: 'The name of a policy and its whole new text' });
const ProtocolUpgrade = z
  .strictObject({ release: Text(1, 200), text: Text(1, 10_000) })
  .meta({ id: 'ProtocolUpgrade', description: 'The name of a release and what it changes' });

const draft = {
  title: Text(10, 200),
  description: Text(50, 5_000),
  voting_period_days: z.number().int().min(1).max(30).default(7),
  quorum_threshold: Threshold.optional().meta({
    description:
      'Share of what can vote that must be cast, abstentions included: no less than `quorum_floor`, which it is without. A proposal to raise `quorum_floor` is held to what it asks for',
  }),
  approval_threshold: Threshold.optional().meta({
    description:
      'Share of for among for and against that must be reached: no less than the parameter `approval_threshold`, which it is without. A proposal to raise that is held to what it asks for',
  }),
};

export const ProposalDraft = z
  .discriminatedUnion('type', [
    z.strictObject({ ...draft, type: z.literal('parameter_change'), target: ParameterChange }),
    z.strictObject({ ...draft, type: z.literal('fund_allocation'), target: FundAllocation }),
    z.strictObject({ ...draft, type: z.literal('policy_change'), target: PolicyChange }),
    z.strictObject({ ...draft, type: z.literal('protocol_upgrade'), target: ProtocolUpgrade }),
  ])
  .meta({ id: 'ProposalDraft' });
export type ProposalDraft = z.output<typeof ProposalDraft>;
export type ProposalTarget = ProposalDraft['target'];

/** What an execution did. */
export const ExecutionEffect = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('parameter_changed'),
    parameter: GovernedName,
    value: z.unknown(),
    version: z.number().int().min(1),
  }),
  z.strictObject({
    kind: z.literal('funds_allocated'),
    recipient_account_id: Id,
    amount: AmountOut,
    transaction_hash: z.string().nullable().meta({ description: 'Null until the ledger answered' }),
  }),
  z.strictObject({
    kind: z.literal('text_recorded'),
    subject: z.string(),
    sha256: z.string().meta({ description: 'Of target.text as UTF-8, in hex' }),
  }),
]);
export type ExecutionEffect = z.infer<typeof ExecutionEffect>;

export const Execution = z
  .strictObject({
    proposal_id: Id,
    status: z.enum(['settling', 'executed', 'failed']).meta({
      description: 'settling: the ledger was told to pay and has not answered yet',
    }),
    effect: ExecutionEffect.nullable().meta({ description: 'Null when it failed' }),
    reason: z.string().nullable().meta({ description: 'Why it failed' }),
    executed_by: Id.nullable().meta({ description: 'The account that asked; null for the coordinator' }),
    started_at: Timestamp,
    ended_at: Timestamp.nullable(),
  })
  .meta({ id: 'Execution' });
export type Execution = z.infer<typeof Execution>;

export const Tally = z
  .strictObject({
    for: AmountOut,
    against: AmountOut,
    abstain: AmountOut,
    voters: z.number().int(),
    voting_supply: AmountOut.meta({
      description:
        'All power at the snapshot: what the quorum is a share of. Treasury, platform, escrow and mint accounts cannot vote and are not in it',
    }),
    participation: z.number().meta({ description: 'Share of it that voted, cut to 6 decimals' }),
    approval: z
      .number()
      .nullable()
      .meta({ description: 'for / (for + against), cut to 6 decimals; null when there is neither' }),
    quorum_reached: z.boolean(),
    approval_reached: z.boolean().meta({ description: 'The threshold, and more for than against' }),
  })
  .meta({ id: 'Tally', description: 'Votes by power in AITBC' });

export const Proposal = z
  .strictObject({
    id: Id,
    proposer_id: Id,
    title: z.string(),
    description: z.string(),
    type: ProposalType,
    target: z.union([ParameterChangeOut, FundAllocation, PolicyChange, ProtocolUpgrade]),
    status: ProposalStatus,
    quorum_threshold: z.number(),
    approval_threshold: z.number(),
    snapshot_height: z.number().int().meta({ description: 'The sealed block whose balances are the votes' }),
    tally: Tally,
    execution: Execution.nullable(),
    created_at: Timestamp,
    voting_ends_at: Timestamp,
    decided_at: Timestamp.nullable(),
    timelock_ends_at: Timestamp.nullable(),
    cancelled_at: Timestamp.nullable(),
    vetoed_by: Id.nullable().meta({ description: 'The operator who vetoed it; it is cancelled then' }),
    veto_reason: z.string().nullable(),
  })
  .meta({ id: 'Proposal' });
export type Proposal = z.infer<typeof Proposal>;

export const VoteChoice = z.enum(['for', 'against', 'abstain']);
export type VoteChoice = z.infer<typeof VoteChoice>;

export const Vote = z
  .strictObject({
    proposal_id: Id,
    voter_id: Id,
    vote: VoteChoice,
    weight: AmountOut.meta({ description: 'AITBC held at the snapshot' }),
    reason: z.string().nullable(),
    cast_at: Timestamp,
  })
  .meta({ id: 'Vote' });

export const VotingPower = z
  .strictObject({
    user_id: Id,
    voting_power: AmountOut,
    voting_supply: AmountOut,
    height: z.number().int().nullable().meta({ description: 'Null before the first block is known' }),
    sealed_at: Timestamp.nullable(),
    proposal_id: Id.nullable(),
  })
  .meta({ id: 'VotingPower' });

export const GovernedParameter = z
  .strictObject({
    name: GovernedName,
    description: z.string(),
    service: z.string().meta({ description: 'The service that obeys it' }),
    value: z.unknown(),
    default: z.unknown(),
    bounds: z.record(z.string(), z.unknown()).meta({ description: 'JSON Schema of its values' }),
    largest_step: z
      .union([
        z.strictObject({ by: z.number() }),
        z.strictObject({ times: z.number() }),
        z.strictObject({ removes: z.number() }),
      ])
      .nullable()
      .meta({
        description:
          'How far one vote may move it: by a difference, by a factor, or by entries taken out of a list; null: any value',
      }),
    version: z.number().int().meta({ description: '0 until it was changed' }),
    proposal_id: Id.nullable().meta({ description: 'The proposal that set the value' }),
    reset_by: Id.nullable().meta({ description: 'The operator who reset it to its default' }),
    reset_reason: z.string().nullable(),
    changed_at: Timestamp.nullable(),
  })
  .meta({ id: 'GovernedParameter' });

export const ParameterChanged = z
  .strictObject({
    version: z.number().int().min(1),
    value: z.unknown(),
    proposal_id: Id.nullable().meta({ description: 'The vote that did it; null for a reset' }),
    reset_by: Id.nullable().meta({ description: 'The operator who did it; null for a vote' }),
    reset_reason: z.string().nullable(),
    changed_at: Timestamp,
  })
  .meta({ id: 'ParameterChanged' });

/** Whoever overrules a vote says why, and everybody can read it. */
const Reason = z.string().trim().min(10).max(500);

const ProposalParams = z.strictObject({ proposal_id: Id });
const base = { service: 'governance', tag: 'Governance' } as const;
/** A key acts with all that its account holds here, whatever its spending cap: so only one that was made for it. */
const holder = { ...base, who: ['user', 'vote'], rate: 'client' } as const;
const guardian = { ...base, who: ['admin'], rate: 'client' } as const;
const anyone = { ...base, who: ['public'], rate: 'public' } as const;

export const governanceRoutes = {
  propose: defineRoute({
    ...holder,
    name: 'governance.propose',
    method: 'POST',
    path: '/v1/governance/proposals',
    summary: 'Make a proposal',
    description:
      'Power is what each account held in the last sealed block known at this moment, however tokens move afterwards.',
    body: ProposalDraft,
    responses: { 201: Proposal },
    errors: ['INSUFFICIENT_VOTING_POWER', 'PROPOSAL_LIMIT_REACHED'],
    idempotent: true,
  }),
  list: defineRoute({
    ...anyone,
    name: 'governance.list',
    method: 'GET',
    path: '/v1/governance/proposals',
    summary: 'Proposals, newest first',
    query: PageQuery.extend({ status: ProposalStatus.optional(), type: ProposalType.optional() }),
    responses: { 200: Page(Proposal) },
  }),
  get: defineRoute({
    ...anyone,
    name: 'governance.get',
    method: 'GET',
    path: '/v1/governance/proposals/:proposal_id',
    summary: 'One proposal with its tally',
    params: ProposalParams,
    responses: { 200: Proposal },
  }),
  votes: defineRoute({
    ...anyone,
    name: 'governance.votes',
    method: 'GET',
    path: '/v1/governance/proposals/:proposal_id/votes',
    summary: 'The votes that the tally is the sum of, newest first',
    params: ProposalParams,
    query: PageQuery.extend({
      voter_id: Id.optional().meta({ description: 'The vote of this account alone' }),
    }),
    responses: { 200: Page(Vote) },
  }),
  cancel: defineRoute({
    ...base,
    who: ['user', 'vote', 'admin'],
    rate: 'client',
    name: 'governance.cancel',
    method: 'DELETE',
    path: '/v1/governance/proposals/:proposal_id',
    summary: 'Cancel a proposal before it is executed',
    description:
      'By its proposer, or by an operator within the rules of a veto: while `guardian_enabled`, and never one about `guardian_enabled`. Cancelling a cancelled one changes nothing and answers the same.',
    params: ProposalParams,
    responses: { 200: Proposal },
    errors: ['PROPOSAL_CLOSED', 'PROPOSAL_NOT_VETOABLE', 'GUARDIAN_DISABLED'],
  }),
  veto: defineRoute({
    ...guardian,
    name: 'governance.veto',
    method: 'POST',
    path: '/v1/governance/proposals/:proposal_id/veto',
    summary: 'Stop a passed proposal within its timelock',
    description:
      'The proposal is cancelled and shows who vetoed it and why. Not possible before it has passed, once its timelock has ended, while `guardian_enabled` is false, or against a proposal about `guardian_enabled`: so a vote can always take this power away.',
    params: ProposalParams,
    body: z.strictObject({ reason: Reason }).meta({ id: 'Veto' }),
    responses: { 200: Proposal },
    errors: ['PROPOSAL_NOT_VETOABLE', 'GUARDIAN_DISABLED'],
    idempotent: true,
  }),
  vote: defineRoute({
    ...holder,
    name: 'governance.vote',
    method: 'POST',
    path: '/v1/governance/vote',
    summary: 'Vote, or change your vote, until the deadline',
    description: 'The voter is the caller; the weight is what the caller held at the snapshot.',
    body: z
      .strictObject({ proposal_id: Id, vote: VoteChoice, reason: Text(0, 500).optional() })
      .meta({ id: 'VoteCast' }),
    responses: { 200: Vote },
    errors: ['PROPOSAL_CLOSED', 'INSUFFICIENT_VOTING_POWER'],
    idempotent: true,
  }),
  votingPower: defineRoute({
    ...anyone,
    name: 'governance.votingPower',
    method: 'GET',
    path: '/v1/governance/voting-power/:user_id',
    summary: 'Voting power now, or at the snapshot of a proposal',
    params: z.strictObject({ user_id: Id }),
    query: z.strictObject({ proposal_id: Id.optional() }),
    responses: { 200: VotingPower },
  }),
  parameters: defineRoute({
    ...anyone,
    name: 'governance.parameters',
    method: 'GET',
    path: '/v1/governance/parameters',
    summary: 'Everything a vote can change, with bounds and who changed it',
    responses: { 200: z.strictObject({ items: z.array(GovernedParameter) }) },
  }),
  parameterHistory: defineRoute({
    ...anyone,
    name: 'governance.parameter_history',
    method: 'GET',
    path: '/v1/governance/parameters/:name/history',
    summary: 'Every value a parameter was given, by whom and why, newest first',
    params: z.strictObject({ name: GovernedName }),
    query: PageQuery,
    responses: { 200: Page(ParameterChanged) },
  }),
  resetParameter: defineRoute({
    ...guardian,
    name: 'governance.reset_parameter',
    method: 'POST',
    path: '/v1/admin/parameters/:name/reset',
    summary: 'Set a parameter to its default',
    description:
      'For a parameter that makes the system hard to use before a vote could bring it back: at once, whatever the largest step. Shown in the history of the parameter with who and why. Nothing happens to one that has its default. Not possible while `guardian_enabled` is false.',
    params: z.strictObject({ name: GovernedName }),
    body: z.strictObject({ reason: Reason }).meta({ id: 'ParameterReset' }),
    responses: { 200: GovernedParameter },
    errors: ['GUARDIAN_DISABLED'],
    idempotent: true,
  }),
  execute: defineRoute({
    ...base,
    who: ['user', 'client', 'vote', 'admin'],
    rate: 'client',
    name: 'governance.execute',
    method: 'POST',
    path: '/v1/governance/execute/:proposal_id',
    summary: 'Execute a queued proposal now',
    description:
      'Nobody has to: the coordinator executes by itself when the timelock ends. A second time answers with the first execution. 202 while the ledger has not yet answered a payment.',
    params: ProposalParams,
    responses: { 200: Execution, 202: Execution },
    errors: ['TIMELOCK_ACTIVE', 'PROPOSAL_NOT_EXECUTABLE'],
    idempotent: true,
  }),
} as const;
