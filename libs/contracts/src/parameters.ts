import { z } from 'zod';
import { JOB_TYPE_NAMES, JobTypeName } from './job-types.ts';
import { Amount } from './money.ts';
import type { ServiceName } from './names.ts';

interface Parameter<O extends ServiceName = ServiceName, S extends z.ZodType = z.ZodType> {
  readonly owner: O;
  readonly description: string;
  /** The bounds are part of the schema: a value outside cannot be proposed, executed or applied. */
  readonly schema: S;
  readonly default: z.output<S>;
}

const parameter = <const O extends ServiceName, S extends z.ZodType>(
  value: Parameter<O, S>,
): Parameter<O, S> => value;
const integer = (min: number, max: number) => z.number().int().min(min).max(max);

/** Everything token holders can change, who obeys it, and within which bounds. */
export const PARAMETERS = {
  platform_fee_basis_points: parameter({
    owner: 'payments',
    description: 'Share of each release that goes to the platform, in 1/100 of a percent',
    schema: integer(0, 3_000),
    default: 250,
  }),
  escrow_timeout_seconds: parameter({
    owner: 'payments',
    description: 'How long a payment waits in escrow when its maker names no time',
    schema: integer(300, 86_400),
    default: 3_600,
  }),
  block_interval_seconds: parameter({
    owner: 'payments',
    description: 'How often waiting transfers are sealed into a block',
    schema: integer(1, 60),
    default: 2,
  }),
  heartbeat_timeout_seconds: parameter({
    owner: 'miners',
    description: 'Silence after which a miner is inactive and its work goes elsewhere',
    schema: integer(10, 600),
    default: 30,
  }),
  default_max_attempts: parameter({
    owner: 'jobs',
    description: 'Attempts of a job whose client names no number',
    schema: integer(1, 10),
    default: 3,
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
  }),
  rate_limit_client_per_minute: parameter({
    owner: 'gateway',
    description: 'Requests a minute on client routes, per account key',
    schema: integer(1, 1_000_000),
    default: 100,
  }),
  rate_limit_miner_per_minute: parameter({
    owner: 'gateway',
    description: 'Requests a minute on miner routes, per account key',
    schema: integer(1, 1_000_000),
    default: 1_000,
  }),
  rate_limit_user_per_minute: parameter({
    owner: 'gateway',
    description: 'Requests a minute on user and public routes, per session or address',
    schema: integer(1, 1_000_000),
    default: 60,
  }),
  min_proposal_voting_power: parameter({
    owner: 'governance',
    description: 'AITBC a proposer must hold',
    schema: Amount,
    default: 100,
  }),
  timelock_seconds: parameter({
    owner: 'governance',
    description: 'From a passed vote to its execution',
    schema: integer(3_600, 30 * 86_400),
    default: 86_400,
  }),
} as const;

export type ParameterName = keyof typeof PARAMETERS;
export const PARAMETER_NAMES = Object.keys(PARAMETERS) as [ParameterName, ...ParameterName[]];
export type ParameterValue<N extends ParameterName> = z.output<(typeof PARAMETERS)[N]['schema']>;
/** The parameters a service obeys. */
export type OwnedBy<S extends ServiceName> = {
  [N in ParameterName]: (typeof PARAMETERS)[N]['owner'] extends S ? N : never;
}[ParameterName];
