import { z } from 'zod';
import { JOB_TYPE_NAMES, JobTypeName } from './job-types.ts';
import { Amount } from './money.ts';
import type { ServiceName } from './names.ts';

/**
 * How far one vote may move a value: a slip is small enough to be seen before it hurts, and the same way back is as
 * short. `null`: a switch, which has two positions only.
 */
export type Step =
  | { readonly by: number }
  | { readonly times: number }
  /** Of a list: entries taken out. Adding some takes nothing from anybody. */
  | { readonly removes: number }
  | null;

interface Parameter<O extends ServiceName = ServiceName, S extends z.ZodType = z.ZodType> {
  readonly owner: O;
  readonly description: string;
  /**
   * The bounds are part of the schema: a value outside cannot be proposed, executed or applied. At both ends, and with
   * all other parameters at theirs, work is still paid for and done, and a vote can bring the value back.
   */
  readonly schema: S;
  readonly default: z.output<S>;
  readonly step: Step;
}

const parameter = <const O extends ServiceName, S extends z.ZodType>(
  value: Parameter<O, S>,
): Parameter<O, S> => value;
const integer = (min: number, max: number) => z.number().int().min(min).max(max);
/** Counted in parts of a million: more decimals are refused rather than rounded. */
const share = (min: number, max: number) =>
  z
    .number()
    .min(min)
    .max(max)
    .refine((value) => Math.round(value * 1e6) / 1e6 === value, 'must have at most 6 decimals');

/** Everything token holders can change, who obeys it, and within which bounds. */
export const PARAMETERS = {
  platform_fee_basis_points: parameter({
    owner: 'payments',
    description: 'Share of each release that goes to the platform, in 1/100 of a percent',
    // A fifth at most: beyond it miners work elsewhere. None is a working platform too: the treasury lives on what it has.
    schema: integer(0, 2_000),
    default: 250,
    step: { by: 500 },
  }),
  escrow_timeout_seconds: parameter({
    owner: 'payments',
    description: 'How long a payment waits in escrow when its maker names no time',
    // A running job's deadline moves with it, so the lower end only has to cover the wait for a miner.
    schema: integer(300, 86_400),
    default: 3_600,
    step: { times: 5 },
  }),
  block_interval_seconds: parameter({
    owner: 'payments',
    description: 'How often waiting transfers are sealed into a block',
    // Votes weigh by sealed balances: at the upper end what was bought counts a minute later.
    schema: integer(1, 60),
    default: 2,
    step: { times: 5 },
  }),
  heartbeat_timeout_seconds: parameter({
    owner: 'miners',
    description: 'Silence after which a miner is inactive and its work goes elsewhere',
    // Lower end: a miner is told to beat every 4 s, so two in a row may be lost. Upper end: how long a client waits
    // for the work of a miner that died.
    schema: integer(10, 300),
    default: 30,
    step: { times: 5 },
  }),
  default_max_attempts: parameter({
    owner: 'jobs',
    description: 'Attempts of a job whose client names no number',
    schema: integer(1, 10),
    default: 3,
    step: { by: 3 },
  }),
  account_open_jobs_max: parameter({
    owner: 'jobs',
    description: 'Jobs of one account that wait or run at once; more are refused with QUOTA_EXCEEDED',
    // 1,000: one batch. 10,000,000: some 40 GB of rows for one account, which an operator may want for the only one.
    schema: integer(1_000, 10_000_000),
    default: 2_000_000,
    step: { times: 4 },
  }),
  account_content_megabytes_max: parameter({
    owner: 'jobs',
    description:
      'Millions of bytes of parameters and results that are kept of one account; what would be more is refused with QUOTA_EXCEEDED',
    // 100: a job of the largest size goes in 25 times. 10,000,000: ten disks of today.
    schema: integer(100, 10_000_000),
    default: 10_000,
    step: { times: 4 },
  }),
  supported_job_types: parameter({
    owner: 'jobs',
    description: 'Job types that are taken; any other is INVALID_JOB_TYPE',
    schema: z
      .array(JobTypeName)
      .min(1)
      .max(JOB_TYPE_NAMES.length)
      .refine((names) => new Set(names).size === names.length, 'must not repeat a type'),
    default: [...JOB_TYPE_NAMES],
    step: { removes: 2 },
  }),
  rate_limit_client_per_minute: parameter({
    owner: 'gateway',
    description: 'Requests a minute on client routes, per account key',
    // 60: a job submitted and looked at every 2 s (30), its payment and receipt, and a proposal with votes beside it.
    // 10,000: 167 a second from one account, a tenth of what two cores answer.
    schema: integer(60, 10_000),
    default: 100,
    step: { times: 5 },
  }),
  rate_limit_miner_per_minute: parameter({
    owner: 'gateway',
    description: 'Requests a minute on miner routes, per account key',
    // 300: a heartbeat every 4 s (15), long polls of 25 s (3), and two jobs a second with a poll and a result each
    // (240), the rest for progress. 20,000: 333 a second, a fifth of what two cores answer.
    schema: integer(300, 20_000),
    default: 1_000,
    step: { times: 5 },
  }),
  rate_limit_user_per_minute: parameter({
    owner: 'gateway',
    description: 'Requests a minute on user and public routes, per session or address',
    // 30: a person signs in (2) and looks at a proposal, its votes, the power and the parameters (5); four of them
    // behind one address. 1,000: 17 a second from one address.
    schema: integer(30, 1_000),
    default: 60,
    step: { times: 5 },
  }),
  min_proposal_voting_power: parameter({
    owner: 'governance',
    description: 'AITBC a proposer must hold; never more than 1 % of what can vote is demanded',
    // Ten tokens a proposer: an account has 20 open proposals at most. The share of what can vote is the bound that
    // counts in a small economy, see PROPOSAL_POWER_SHARE_MAX.
    schema: Amount.min(10).max(10_000),
    default: 100,
    step: { times: 5 },
  }),
  timelock_seconds: parameter({
    owner: 'governance',
    description: 'From a passed vote to its execution',
    // 12 h: who sleeps when it passes can still look at it and veto. 7 days: a mistake is put right within two weeks
    // of the vote that made it.
    schema: integer(43_200, 7 * 86_400),
    default: 86_400,
    step: { times: 5 },
  }),
  quorum_floor: parameter({
    owner: 'governance',
    description: 'Share of what can vote that must take part; a proposal may ask for more, never for less',
    // The default is the floor that no vote can lower. A raise must be carried by as many as it will demand.
    schema: share(0.1, 0.3),
    default: 0.1,
    step: { by: 0.1 },
  }),
  approval_threshold: parameter({
    owner: 'governance',
    description:
      'Share of for among for and against that must be reached, more for than against always; a proposal may ask for more, never for less',
    schema: share(0.5, 0.8),
    default: 0.5,
    step: { by: 0.1 },
  }),
  guardian_enabled: parameter({
    owner: 'governance',
    description:
      'Whether operators may veto a passed proposal within its timelock, cancel proposals of others, and reset a parameter. A proposal about this parameter is out of their reach',
    schema: z.boolean(),
    default: true,
    step: null,
  }),
} as const;

/** No proposer has to hold more than this share of what can vote, whatever was voted: somebody can always propose. */
export const PROPOSAL_POWER_SHARE_MAX = 0.01;

/** Exact for sums of decimals: 0.8 − 0.7 is no more than 0.1. Values here are below 10^8, so this stays exact. */
const millionths = (value: number): number => Math.round(value * 1e6);

/** A stored value, or undefined when it is outside the bounds of this release: what nothing can work with is not obeyed. */
export const inBounds = (name: string, value: unknown): unknown =>
  Object.hasOwn(PARAMETERS, name)
    ? (PARAMETERS[name as ParameterName].schema as z.ZodType).safeParse(value).data
    : undefined;

/** @returns why one vote may not move the value so far, or null when it may. Both values are within the bounds. */
export const stepRefusal = (name: ParameterName, from: unknown, to: unknown): string | null => {
  const step: Step = PARAMETERS[name].step;
  if (step === null) return null;
  if ('removes' in step) {
    const kept = new Set(to as unknown[]);
    const removed = (from as unknown[]).filter((entry) => !kept.has(entry)).length;
    return removed <= step.removes ? null : `one vote takes out at most ${step.removes} entries`;
  }
  const [old, wanted] = [from as number, to as number];
  if ('by' in step) {
    const isNear = Math.abs(millionths(wanted) - millionths(old)) <= millionths(step.by);
    return isNear ? null : `one vote moves it by at most ${step.by}; it is ${old} now`;
  }
  const isNear = wanted * step.times >= old && wanted <= old * step.times;
  return isNear ? null : `one vote makes it at most ${step.times} times larger or smaller; it is ${old} now`;
};

export type ParameterName = keyof typeof PARAMETERS;
export const PARAMETER_NAMES = Object.keys(PARAMETERS) as [ParameterName, ...ParameterName[]];
export type ParameterValue<N extends ParameterName> = z.output<(typeof PARAMETERS)[N]['schema']>;
/** The parameters a service obeys. */
export type OwnedBy<S extends ServiceName> = {
  [N in ParameterName]: (typeof PARAMETERS)[N]['owner'] extends S ? N : never;
}[ParameterName];
