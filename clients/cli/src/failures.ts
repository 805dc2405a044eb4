import {
  AitbcError,
  AuthenticationError,
  ConflictError,
  ConnectionError,
  InsufficientFundsError,
  InvalidRequestError,
  JobFailedError,
  NotFoundError,
  PermissionError,
  RateLimitError,
  ServerError,
  UnexpectedAnswerError,
} from '@aitbc/sdk';
import type { Colors } from 'picocolors/types.js';
import type { Streams } from './output.ts';

/** What scripts may rely on; they stand in `aitbc --help`. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  credentials: 3,
  notFound: 4,
  conflict: 5,
  funds: 6,
  rateLimited: 7,
  unavailable: 8,
  jobFailed: 9,
  notValid: 10,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_HELP = `Exit codes:
  0  done                                1  failed
  2  wrong use, or refused input         3  no key, or one that may not
  4  not found                           5  the state does not allow it
  6  not enough funds                    7  rate limited
  8  the coordinator does not answer     9  the job ended without a result
  10 what was checked is not right       130 interrupted`;

/** Found out here, before anything was asked. */
export class UsageError extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}
/** What was to be checked is not as it must be. */
export class NotValidError extends Error {}

export interface Failure {
  readonly exit: ExitCode;
  readonly code: string;
  readonly message: string;
  /** What to do next. */
  readonly hint: string | undefined;
  readonly requestId: string | undefined;
}

const FAMILIES: readonly (readonly [new (...args: never[]) => AitbcError, ExitCode, string | undefined])[] = [
  [AuthenticationError, EXIT.credentials, 'Log in with a good key: aitbc login'],
  [PermissionError, EXIT.credentials, 'aitbc whoami shows what this key may do.'],
  [NotFoundError, EXIT.notFound, undefined],
  [ConflictError, EXIT.conflict, undefined],
  [
    InsufficientFundsError,
    EXIT.funds,
    'aitbc wallet balance shows what there is; aitbc wallet buy gets more.',
  ],
  [RateLimitError, EXIT.rateLimited, 'Wait as long as it says, or ask an operator for a larger limit.'],
  [ConnectionError, EXIT.unavailable, 'aitbc doctor finds out why.'],
  [UnexpectedAnswerError, EXIT.unavailable, 'aitbc doctor finds out why.'],
  [ServerError, EXIT.unavailable, 'Try again in a moment; aitbc doctor says what is down.'],
  [JobFailedError, EXIT.jobFailed, undefined],
  [InvalidRequestError, EXIT.usage, undefined],
];

export const toFailure = (error: unknown): Failure => {
  const basic = { code: 'FAILED', hint: undefined, requestId: undefined };
  if (error instanceof UsageError)
    return { ...basic, exit: EXIT.usage, code: 'USAGE', message: error.message, hint: error.hint };
  if (error instanceof NotValidError)
    return { ...basic, exit: EXIT.notValid, code: 'NOT_VALID', message: error.message };
  if (error instanceof DOMException && error.name === 'AbortError')
    return { ...basic, exit: EXIT.interrupted, code: 'INTERRUPTED', message: 'Interrupted.' };
  if (error instanceof AitbcError) {
    const family = FAMILIES.find(([Family]) => error instanceof Family);
    const issues = error.issues.map(({ path, message }) => `${path || 'input'}: ${message}`);
    return {
      exit: family?.[1] ?? EXIT.failed,
      code: error.code,
      message: issues.length > 0 ? issues.join('; ') : error.message,
      hint:
        error.retryAfterSeconds === undefined
          ? family?.[2]
          : `Try again in ${Math.ceil(error.retryAfterSeconds)} s.`,
      requestId: error.requestId,
    };
  }
  const { code } = error as NodeJS.ErrnoException;
  const message = error instanceof Error ? error.message : String(error);
  return { ...basic, exit: EXIT.failed, code: typeof code === 'string' ? code : 'FAILED', message };
};

/** Says it to a person: what went wrong, and what to do next. */
export const tellFailure = (streams: Pick<Streams, 'stderr'>, colors: Colors, failure: Failure): void => {
  streams.stderr.write(`${colors.red('error:')} ${failure.message} (${failure.code})\n`);
  if (failure.hint !== undefined) streams.stderr.write(`${colors.dim(failure.hint)}\n`);
  if (failure.requestId !== undefined) streams.stderr.write(colors.dim(`request ${failure.requestId}\n`));
};
