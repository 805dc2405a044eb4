import { z } from 'zod';
import type { Issue, Problem, ProblemCode } from './problem.ts';

/** What OpenAI's clients read of an answer that is not 2xx. */
export const OpenAiErrorBody = z
  .strictObject({
    error: z.strictObject({
      message: z.string().meta({ description: 'One sentence for a person' }),
      type: z.string(),
      param: z.string().nullable().meta({ description: 'The field that is wrong' }),
      code: z.string(),
    }),
  })
  .meta({
    id: 'OpenAiError',
    description: 'Every answer of an OpenAI route that is not 2xx has this shape.',
  });
export type OpenAiErrorBody = z.infer<typeof OpenAiErrorBody>;

interface Kind {
  readonly type: string;
  readonly code: string;
  /** When it is not the status that the code has elsewhere. */
  readonly status?: number;
  /** OpenAI's clients try 5xx again by themselves; `false` tells them that it would only cost. */
  readonly shouldRetry?: false;
}

const request = (code: string): Kind => ({ type: 'invalid_request_error', code });
/** OpenAI's clients try again what is 409, and have a class for 422 that nobody catches. */
const refused = (code: string): Kind => ({ ...request(code), status: 400 });
const rate: Kind = { type: 'requests', code: 'rate_limit_exceeded' };
/** 402, because their clients try a 429 again. */
const quota: Kind = { type: 'insufficient_quota', code: 'insufficient_quota' };
const server = (code: string): Kind => ({ type: 'server_error', code });
const serverForGood = (code: string): Kind => ({ ...server(code), shouldRetry: false });

const KINDS: Partial<Record<ProblemCode, Kind>> = {
  VALIDATION_ERROR: refused('invalid_value'),
  UNAUTHENTICATED: request('invalid_api_key'),
  FORBIDDEN: request('permission_denied'),
  BODY_TOO_LARGE: request('request_too_large'),
  MODEL_NOT_FOUND: request('model_not_found'),
  MODEL_SERVER_REFUSED: request('invalid_value'),
  INSUFFICIENT_FUNDS: quota,
  SPEND_CAP_EXCEEDED: quota,
  PRICE_TOO_LOW: { type: 'insufficient_quota', code: 'price_too_low' },
  RATE_LIMITED: rate,
  TOO_MANY_REQUIREMENTS: rate,
  TOO_MANY_STREAMS: rate,
  TOO_MANY_POLLS: rate,
  NO_CAPACITY: serverForGood('no_capacity'),
  UPSTREAM_FAILED: serverForGood('upstream_error'),
  JOB_TIMED_OUT: serverForGood('timeout'),
  GATEWAY_TIMEOUT: serverForGood('timeout'),
  OVERLOADED: server('overloaded'),
  SERVICE_UNAVAILABLE: server('overloaded'),
};

const kindOf = (problem: Problem): Kind => {
  const known = KINDS[problem.code];
  if (known !== undefined) return known;
  const code = problem.code.toLowerCase();
  if (problem.status >= 500) return server(code);
  return problem.status === 409 || problem.status === 422 ? refused(code) : request(code);
};

/** Where a field stands for whoever sent a request that became a job's parameters. */
const paramOf = (path: string): string => path.replace(/^(?:parameters\.)?(?:request\.)?(?:query\.)?/, '');

const firstIssue = ({ details }: Problem): Issue | undefined =>
  Array.isArray(details.issues) ? (details.issues[0] as Issue | undefined) : undefined;

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** A refusal as OpenAI's clients understand it. `details.param` and `details.code` go before what the table says. */
export const toOpenAiError = (
  problem: Problem,
): { status: number; headers: Record<string, string>; body: OpenAiErrorBody } => {
  const kind = kindOf(problem);
  const issue = firstIssue(problem);
  const param = issue === undefined ? textOf(problem.details.param) : paramOf(issue.path);
  const isMissing = issue !== undefined && /received undefined|^is required/.test(issue.message);
  const headers: Record<string, string> = {};
  if (problem.retryAfterSeconds !== undefined) headers['retry-after'] = String(problem.retryAfterSeconds);
  if (kind.shouldRetry === false) headers['x-should-retry'] = 'false';
  return {
    status: kind.status ?? problem.status,
    headers,
    body: {
      error: {
        message: issue === undefined ? problem.message : `${param || 'body'}: ${issue.message}`,
        type: kind.type,
        param: param === undefined || param === '' ? null : param,
        code: textOf(problem.details.code) ?? (isMissing ? 'missing_required_parameter' : kind.code),
      },
    },
  };
};
