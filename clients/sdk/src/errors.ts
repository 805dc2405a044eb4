import type { ErrorCode, Job } from './contract.ts';

/** One refused field. */
export interface Issue {
  readonly path: string;
  readonly message: string;
}

export interface ErrorFacts {
  readonly code: string;
  readonly message: string;
  readonly status?: number | undefined;
  readonly requestId?: string | undefined;
  readonly details?: Record<string, unknown> | undefined;
  readonly retryAfterSeconds?: number | undefined;
  readonly isFinal?: boolean | undefined;
  readonly cause?: unknown;
}

/** What every error of this SDK is. Which one it is says what to do; `code` says exactly what happened. */
export class AitbcError extends Error {
  /** From the coordinator's list, or one of this SDK's own (see `ConnectionError`, `UnexpectedAnswerError`). */
  readonly code: ErrorCode | (string & {});
  /** Of the HTTP answer; undefined when there was none. */
  readonly status: number | undefined;
  /** Name it when you ask an operator what happened. */
  readonly requestId: string | undefined;
  readonly details: Record<string, unknown>;
  readonly retryAfterSeconds: number | undefined;
  /** The coordinator says that the same again would only cost again: it is not sent again. */
  readonly isFinal: boolean;

  constructor(facts: ErrorFacts) {
    super(facts.message, facts.cause === undefined ? {} : { cause: facts.cause });
    // The name of the class, also where a bundler renamed it.
    this.name = (this.constructor as { title?: string }).title ?? 'AitbcError';
    this.code = facts.code;
    this.status = facts.status;
    this.requestId = facts.requestId;
    this.details = facts.details ?? {};
    this.retryAfterSeconds = facts.retryAfterSeconds;
    this.isFinal = facts.isFinal ?? false;
  }

  /** The refused fields of a `VALIDATION_ERROR`; else none. */
  get issues(): readonly Issue[] {
    return Array.isArray(this.details.issues) ? (this.details.issues as Issue[]) : [];
  }
}

/** 400, 405, 413, 422 …: the request is wrong. Sending it again gives the same answer. */
export class InvalidRequestError extends AitbcError {
  static readonly title: string = 'InvalidRequestError';
}
/** 401: no key, or one that is wrong, revoked or expired. */
export class AuthenticationError extends AitbcError {
  static readonly title: string = 'AuthenticationError';
}
/** 402: the account, or what this key may spend, is too small. */
export class InsufficientFundsError extends AitbcError {
  static readonly title: string = 'InsufficientFundsError';
}
/** 403: the key is good and may not do this. */
export class PermissionError extends AitbcError {
  static readonly title: string = 'PermissionError';
}
/** 404: not there, or not yours. */
export class NotFoundError extends AitbcError {
  static readonly title: string = 'NotFoundError';
}
/** 409: the state of the object does not allow it. */
export class ConflictError extends AitbcError {
  static readonly title: string = 'ConflictError';
}
/** 429: too much at once; `retryAfterSeconds` says when to come back. */
export class RateLimitError extends AitbcError {
  static readonly title: string = 'RateLimitError';
}
/** 5xx: the coordinator, or something that it needs, does not work now. */
export class ServerError extends AitbcError {
  static readonly title: string = 'ServerError';
}
/** No answer: `CONNECTION_FAILED`, or `TIMEOUT` after `timeoutMs`. Whether a change took effect is not known. */
export class ConnectionError extends AitbcError {
  static readonly title: string = 'ConnectionError';
}
/** `UNEXPECTED_ANSWER`: something answered, but not as a coordinator does; a proxy's page, or another service. */
export class UnexpectedAnswerError extends AitbcError {
  static readonly title: string = 'UnexpectedAnswerError';
}
/** A job that `jobs.run` waited for ended without a result. `code` is that of the job's error, or `JOB_CANCELLED`, `JOB_EXPIRED`. */
export class JobFailedError extends AitbcError {
  static readonly title: string = 'JobFailedError';
  readonly job: Job;
  constructor(job: Job) {
    const code = job.error?.code ?? `JOB_${job.status.toUpperCase()}`;
    super({ code, message: job.error?.message ?? `The job ended as ${job.status}.` });
    this.job = job;
  }
}

const BY_STATUS: Record<number, typeof AitbcError> = {
  401: AuthenticationError,
  402: InsufficientFundsError,
  403: PermissionError,
  404: NotFoundError,
  409: ConflictError,
  429: RateLimitError,
};

/** The error of a refusal. */
export const toError = (facts: ErrorFacts & { status: number }): AitbcError => {
  const Family = BY_STATUS[facts.status] ?? (facts.status >= 500 ? ServerError : InvalidRequestError);
  return new Family(facts);
};
