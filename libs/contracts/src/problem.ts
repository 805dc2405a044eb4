import { z } from 'zod';

/** Every error code a caller can meet, with its HTTP status. A code that is not here cannot be thrown. */
export const PROBLEM_STATUS = {
  // the caller's request
  INVALID_JSON: 400,
  BAD_REQUEST: 400,
  MODEL_SERVER_REFUSED: 400,
  AMOUNT_MISMATCH: 400,
  UNAUTHENTICATED: 401,
  INSUFFICIENT_FUNDS: 402,
  SPEND_CAP_EXCEEDED: 402,
  PRICE_TOO_LOW: 402,
  TRANSFER_CAP_EXCEEDED: 402,
  FORBIDDEN: 403,
  HTTPS_REQUIRED: 403,
  INSUFFICIENT_VOTING_POWER: 403,
  REVIEW_NOT_ALLOWED: 403,
  NOT_FOUND: 404,
  MINER_NOT_REGISTERED: 404,
  MODEL_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  CONTENT_EXPIRED: 410,
  BODY_TOO_LARGE: 413,
  URI_TOO_LONG: 414,
  UNSUPPORTED_MEDIA_TYPE: 415,
  EXPECTATION_FAILED: 417,
  VALIDATION_ERROR: 422,
  INVALID_JOB_TYPE: 422,
  IDEMPOTENCY_KEY_REUSED: 422,
  RESULT_NOT_READY: 425,
  RATE_LIMITED: 429,
  QUOTA_EXCEEDED: 429,
  TOO_MANY_REQUIREMENTS: 429,
  TOO_MANY_STREAMS: 429,
  TOO_MANY_POLLS: 429,
  EXPORT_RUNNING: 429,
  TOO_MANY_ATTRIBUTES: 429,
  HEADERS_TOO_LARGE: 431,
  // conflicts with an object's state
  IDEMPOTENCY_KEY_IN_USE: 409,
  JOB_ALREADY_ENDED: 409,
  JOB_NOT_ENDED: 409,
  JOB_RUNNING: 409,
  JOB_COMPLETED: 409,
  JOB_NOT_COMPLETED: 409,
  MINER_NAME_IN_USE: 409,
  STALE_LEASE: 409,
  RESULT_CONFLICT: 409,
  PAYMENT_ALREADY_EXISTS: 409,
  PAYMENT_ALREADY_RESOLVED: 409,
  PAYMENT_NOT_ESCROWED: 409,
  SUPPLY_CAP_REACHED: 409,
  GPU_NOT_AVAILABLE: 409,
  GPU_BOOKED: 409,
  ORDER_ALREADY_ENDED: 409,
  ALREADY_REVIEWED: 409,
  PROPOSAL_CLOSED: 409,
  PROPOSAL_NOT_EXECUTABLE: 409,
  PROPOSAL_LIMIT_REACHED: 409,
  PROPOSAL_NOT_VETOABLE: 409,
  GUARDIAN_DISABLED: 409,
  TIMELOCK_ACTIVE: 409,
  KEY_ALREADY_REVOKED: 409,
  KEY_LIMIT_REACHED: 409,
  WEBHOOK_LIMIT_REACHED: 409,
  WEBHOOK_DISABLED: 409,
  INVOICE_LIMIT_REACHED: 409,
  MINER_LIMIT_REACHED: 409,
  PRICE_ABOVE_LIMIT: 409,
  GPU_LIMIT_REACHED: 409,
  ORDER_NOT_ENDED: 409,
  TRANSACTION_NOT_SEALED: 409,
  // ours
  INTERNAL_ERROR: 500,
  BAD_GATEWAY: 502,
  UPSTREAM_FAILED: 502,
  NO_CAPACITY: 503,
  OVERLOADED: 503,
  SERVICE_UNAVAILABLE: 503,
  GATEWAY_TIMEOUT: 504,
  JOB_TIMED_OUT: 504,
} as const satisfies Record<string, number>;

export type ProblemCode = keyof typeof PROBLEM_STATUS;

export const ProblemBody = z
  .strictObject({
    error: z.strictObject({
      code: z.enum(Object.keys(PROBLEM_STATUS) as [ProblemCode, ...ProblemCode[]]),
      message: z.string().meta({ description: 'One sentence for a person' }),
      details: z.record(z.string(), z.unknown()),
    }),
  })
  .meta({ id: 'Error', description: 'Every answer that is not 2xx has this shape.' });
export type ProblemBody = z.infer<typeof ProblemBody>;

/**
 * An answer that is not 2xx, thrown from any depth and turned into `{error:{code,message,details}}` by chassis/http.
 * `message` goes to the caller: one sentence, saying what to do next where that helps; never a key, prompt, SQL or path.
 */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly details: Record<string, unknown>;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ProblemCode,
    message: string,
    options: { details?: Record<string, unknown>; retryAfterSeconds?: number } = {},
  ) {
    super(message);
    this.name = 'Problem';
    this.code = code;
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  get status(): number {
    return PROBLEM_STATUS[this.code];
  }

  toBody(): ProblemBody {
    return { error: { code: this.code, message: this.message, details: this.details } };
  }
}

/** The one 404: also for somebody else's object, so that its existence does not show. */
export const notFound = (what: string): Problem => new Problem('NOT_FOUND', `No such ${what}.`);

/** One refused field. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

const ISSUES_MAX = 20;

/** The contract's 422 for these fields, at most 20 of them. Without a sentence of its own, the first field's is told. */
export const issuesProblem = (issues: readonly Issue[], sentence?: string): Problem => {
  const [first] = issues;
  const message =
    sentence ??
    (first === undefined ? 'The request is not valid.' : `${first.path || 'body'}: ${first.message}`);
  return new Problem('VALIDATION_ERROR', message, { details: { issues: issues.slice(0, ISSUES_MAX) } });
};

/** A refused field that a schema alone cannot see. */
export const invalidField = (path: string, message: string): Problem => issuesProblem([{ path, message }]);

type ZodIssue = z.core.$ZodIssue;
type UnionIssue = Extract<ZodIssue, { code: 'invalid_union' }>;

const isOfAnotherType = ({ code, path }: ZodIssue): boolean =>
  path.length === 0 && (code === 'invalid_type' || code === 'invalid_value');
const unknownFields = (form: readonly ZodIssue[]): number =>
  form.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 0), 0);

/**
 * What is wrong with the form of a union that was meant: of those of the right type, the first with the fewest unknown
 * fields. Where none is of the right type, that is told.
 */
const formIssues = (union: UnionIssue): ZodIssue[] => {
  // A sentence of its own says more.
  if (union.message !== 'Invalid input') return [union];
  const [meant] = union.errors
    .filter((form) => !form.some(isOfAnotherType))
    .toSorted((one, other) => unknownFields(one) - unknownFields(other));
  if (meant !== undefined)
    return allIssues(meant.map((issue) => ({ ...issue, path: [...union.path, ...issue.path] })));
  const types = union.errors
    .flat()
    .map((issue) => (issue.code === 'invalid_type' ? issue.expected : undefined));
  if (types.length === 0 || types.includes(undefined)) return [union];
  const received = union.errors[0]?.[0]?.message.split(', ')[1];
  return [{ ...union, message: `Invalid input: expected ${[...new Set(types)].join(' or ')}, ${received}` }];
};

const allIssues = (issues: readonly ZodIssue[]): ZodIssue[] =>
  issues.flatMap((issue) => (issue.code === 'invalid_union' ? formIssues(issue) : [issue]));

/** Zod's word for a field of any kind that is missing says nothing to a person. */
const sentenceOf = (issue: ZodIssue): string =>
  issue.code === 'invalid_type' && issue.expected === 'nonoptional' ? 'is required' : issue.message;

/** Turns zod's issues into the contract's 422. `prefix` names the part: body fields have none. */
export const validationProblem = (error: z.ZodError, prefix = ''): Problem => {
  const pathOf = (parts: readonly PropertyKey[]): string =>
    [prefix, ...parts.map(String)].filter((part) => part !== '').join('.');
  return issuesProblem(
    allIssues(error.issues).flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => ({ path: pathOf([...issue.path, key]), message: 'unknown field' }))
        : [{ path: pathOf(issue.path), message: sentenceOf(issue) }],
    ),
  );
};
