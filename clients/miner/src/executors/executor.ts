/** What a probe found: an executor is advertised only while it is `offered`. */
export type Availability =
  | { readonly offered: true; readonly detail: string; readonly models: readonly string[] }
  | {
      readonly offered: false;
      readonly reason: string;
      /** The owner wants it so: nothing to tell of. */
      readonly isChoice?: boolean;
    };

export interface RunContext {
  /** Fires at the deadline, on cancel and on shutdown. An executor stops its work then and may simply reject. */
  readonly signal: AbortSignal;
  /** A fraction 0–1. May be called as often as is handy; the sender thins it out. */
  readonly progress: (fraction: number) => void;
  /**
   * A piece of what will be the result, as soon as it is there: of a completion a chunk of its stream, of `llm_inference`
   * `{text}`. Whether anybody wants it is for the sender to know.
   */
  readonly output: (chunk: object) => void;
  /** Numbers about the work, reported with its result. */
  readonly measured: (metrics: Readonly<Record<string, number>>) => void;
}

export type Parameters = Readonly<Record<string, unknown>>;

/** One job type. `run` returns the result that the client gets, or throws a JobFailure. */
export interface Executor {
  readonly type: string;
  /** Answers whether a backend is there now. Called at the start and again every minute; must not throw. */
  probe(signal: AbortSignal): Promise<Availability>;
  run(parameters: Parameters, context: RunContext): Promise<unknown>;
  /** Frees what is kept warm between jobs. */
  close?(): Promise<void>;
}

/**
 * Why a job has no result. `message` is ours and may be logged; `detail` may hold words of the backend or of the
 * client, and goes to the client alone.
 */
export class JobFailure extends Error {
  readonly code: string;
  /** True when the same job may succeed elsewhere or later: a backend that is down, not an input that is wrong. */
  readonly retryable: boolean;
  readonly detail: string | undefined;
  /** True when no work was begun: the coordinator then does not count the attempt against the job. */
  readonly notStarted: boolean;
  /** What is not to be offered any more from now on: the model that the job names, or its whole type. */
  readonly withdraws: 'model' | 'type' | undefined;

  constructor(
    code: string,
    message: string,
    options: {
      retryable: boolean;
      detail?: string | undefined;
      notStarted?: boolean;
      withdraws?: 'model' | 'type';
    },
  ) {
    super(message);
    this.name = 'JobFailure';
    this.code = code;
    this.retryable = options.retryable;
    this.detail = options.detail;
    this.notStarted = options.notStarted ?? false;
    this.withdraws = options.withdraws;
  }
}

/** The coordinator has checked parameters already; this stands for an older or a foreign one. */
export const invalidInput = (message: string): JobFailure =>
  new JobFailure('INVALID_INPUT', message, { retryable: false });

export const backendUnavailable = (message: string): JobFailure =>
  new JobFailure('BACKEND_UNAVAILABLE', message, { retryable: true });

/** @returns the text of a required field, at most `max` characters long. */
export const requiredText = (parameters: Parameters, field: string, max: number): string => {
  const value = parameters[field];
  if (typeof value !== 'string' || value === '')
    throw invalidInput(`${field} must be a text that is not empty`);
  if (value.length > max) {
    throw new JobFailure('INPUT_TOO_LARGE', `${field} is longer than ${max} characters`, {
      retryable: false,
    });
  }
  return value;
};

/** @returns a number of an optional field within bounds, or undefined when it is not there. */
export const optionalNumber = (
  parameters: Parameters,
  field: string,
  min: number,
  max: number,
): number | undefined => {
  const value = parameters[field];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw invalidInput(`${field} must be a number from ${min} to ${max}`);
  }
  return value;
};
