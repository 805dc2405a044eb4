import { type Operations, operations } from './contract.ts';
import {
  type AitbcError,
  ConnectionError,
  type ErrorFacts,
  toError,
  UnexpectedAnswerError,
} from './errors.ts';
import { backOff, sleep, withDeadline } from './waiting.ts';

export interface AitbcOptions {
  /** Where the coordinator is; a path such as `/api` is kept. */
  readonly baseUrl: string;
  /** Sent as `X-Api-Key`. Without it only public routes answer. */
  readonly apiKey?: string | undefined;
  /** Of a person who signed in with a wallet; sent as `X-Session-Token`. */
  readonly sessionToken?: string | undefined;
  /** How long one attempt may take, 30 s by default; what a long-poll waits is added. */
  readonly timeoutMs?: number | undefined;
  /** How often a request is sent again where that is safe, 4 by default. */
  readonly maxRetries?: number | undefined;
  /** Instead of the global one. */
  readonly fetch?: typeof fetch | undefined;
}

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  /** For calls that make or move something. Without it one is made for each call, so that a retry has one effect. */
  readonly idempotencyKey?: string | undefined;
  readonly timeoutMs?: number | undefined;
  readonly maxRetries?: number | undefined;
  readonly headers?: Record<string, string> | undefined;
}

export type OperationName = keyof Operations;
/** Every operation that this version knows. */
export const operationNames = Object.keys(operations) as readonly OperationName[];
type Part<N extends OperationName, K extends 'params' | 'query' | 'body'> = Operations[N][K];
type Given<K extends string, T, Optional extends boolean> = [T] extends [undefined]
  ? { readonly [name in K]?: undefined }
  : Optional extends true
    ? { readonly [name in K]?: Partial<T> | undefined }
    : { readonly [name in K]: T };
/** What the contract of an operation wants, and nothing else. */
export type Input<N extends OperationName> = Given<'params', Part<N, 'params'>, false> &
  Given<'query', Part<N, 'query'>, true> &
  Given<'body', Part<N, 'body'>, false>;
export type Reply<N extends OperationName> = Operations[N]['reply'];

/** What the loose end of a call needs to know; typed by `Input` where it is called. */
interface AnyInput {
  readonly params?: Record<string, unknown> | undefined;
  readonly query?: Record<string, unknown> | undefined;
  readonly body?: unknown;
}

interface TextAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

const TIMEOUT_MS = 30_000;
const RETRIES = 4;
/** Nobody waits longer for one retry; a coordinator that asks for more is told to the caller. */
export const RETRY_AFTER_MAX_SECONDS = 90;

/** Trouble that passes by itself. */
const isPassing = (error: AitbcError): boolean =>
  !error.isFinal &&
  (error instanceof ConnectionError ||
    error.status === 429 ||
    error.status === 502 ||
    error.status === 503 ||
    error.status === 504 ||
    error.code === 'IDEMPOTENCY_KEY_IN_USE');

/** A 429 that the coordinator itself gave was never begun, so any request may follow it. */
const hadNoEffect = (error: AitbcError): boolean =>
  error.status === 429 && error.code !== 'UNEXPECTED_ANSWER';

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `Retry-After` in seconds, from either of its forms. */
const retryAfterOf = (headers: Headers): number | undefined => {
  const text = headers.get('retry-after');
  if (text === null) return undefined;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1_000;
  return Number.isNaN(seconds) ? undefined : Math.max(0, seconds);
};

/** The error that a coordinator says, in its own form or, on the routes of OpenAI's API, in that one. */
export const refusalIn = (
  body: unknown,
  facts: Omit<ErrorFacts, 'code' | 'message' | 'details'> & { readonly status: number },
): AitbcError | undefined => {
  const error = isRecord(body) ? body.error : undefined;
  if (!isRecord(error) || typeof error.code !== 'string') return undefined;
  const { code, message, details, param } = error;
  return toError({
    ...facts,
    code,
    message: typeof message === 'string' ? message : code,
    details: isRecord(details) ? details : typeof param === 'string' ? { param } : {},
  });
};

const reasonOf = (error: unknown): string => {
  const parts: string[] = [];
  for (let at = error; at instanceof Error && parts.length < 4; at = at.cause)
    parts.push((at as { code?: string }).code ?? at.message);
  return parts.at(-1) ?? String(error);
};

export const createTransport = (options: AitbcOptions) => {
  const base = options.baseUrl.replace(/\/+$/, '');
  if (!/^https?:\/\/[^/]/.test(base)) throw new TypeError('baseUrl must begin with http:// or https://');
  const ask: typeof fetch = options.fetch ?? ((...args) => globalThis.fetch(...args));
  const credentials = {
    ...(options.apiKey === undefined ? {} : { 'x-api-key': options.apiKey }),
    ...(options.sessionToken === undefined ? {} : { 'x-session-token': options.sessionToken }),
  };

  const urlOf = (name: OperationName, input: AnyInput): string => {
    const path = operations[name].path.replace(/:([a-z_]+)/g, (_, field: string) =>
      encodeURIComponent(String(input.params?.[field])),
    );
    const query = new URLSearchParams();
    for (const [field, value] of Object.entries(input.query ?? {}))
      if (value !== undefined) query.set(field, String(value));
    return `${base}${path}${query.size === 0 ? '' : `?${query}`}`;
  };

  /** One attempt. @throws an AitbcError for whatever is not 2xx; what the caller's signal says when it is aborted. */
  const attempt = async (
    name: OperationName,
    input: AnyInput,
    call: RequestOptions,
    headers: Record<string, string>,
  ): Promise<Response> => {
    const { method } = operations[name];
    let response: Response;
    try {
      response = await ask(urlOf(name, input), {
        method,
        headers: {
          ...credentials,
          ...headers,
          ...call.headers,
          ...(input.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(input.body === undefined ? {} : { body: JSON.stringify(input.body) }),
        // Following one would carry the key to whatever host the answer names.
        redirect: 'manual',
        ...(call.signal === undefined ? {} : { signal: call.signal }),
      });
    } catch (error) {
      if (call.signal?.aborted === true) throw call.signal.reason;
      throw new ConnectionError({
        code: 'CONNECTION_FAILED',
        message: `No answer from ${base}: ${reasonOf(error)}`,
        cause: error,
      });
    }
    if (response.ok) return response;
    throw await refusalOf(response, call.signal);
  };

  const refusalOf = async (response: Response, signal: AbortSignal | undefined): Promise<AitbcError> => {
    const { status, headers } = response;
    const facts = {
      status,
      requestId: headers.get('x-request-id') ?? undefined,
      retryAfterSeconds: retryAfterOf(headers),
      isFinal: headers.get('x-should-retry') === 'false',
    };
    if (response.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
      const to = headers.get('location');
      return new UnexpectedAnswerError({
        ...facts,
        code: 'UNEXPECTED_ANSWER',
        message: `${base} redirects${to === null ? '' : ` to ${to}`}: use that address as baseUrl.`,
      });
    }
    const text = await textOf(response, signal);
    const said = refusalIn(parse(text), facts);
    if (said !== undefined) return said;
    return new UnexpectedAnswerError({
      ...facts,
      code: 'UNEXPECTED_ANSWER',
      message: `${base} answered ${status}, but not as a coordinator does: a proxy in between, or the wrong address?`,
      details: { begins: text.slice(0, 200) },
    });
  };

  const textOf = async (response: Response, signal: AbortSignal | undefined): Promise<string> => {
    try {
      return await response.text();
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw new ConnectionError({
        code: 'CONNECTION_FAILED',
        message: `The answer of ${base} was cut off: ${reasonOf(error)}`,
        cause: error,
      });
    }
  };

  const parse = (text: string): Record<string, unknown> | undefined => {
    try {
      const value: unknown = JSON.parse(text);
      return isRecord(value) ? value : undefined;
    } catch {
      return undefined;
    }
  };

  /** Sends until there is a definite answer, where sending again is safe. */
  const persist = async <T>(
    name: OperationName,
    call: RequestOptions,
    once: (headers: Record<string, string>, signal: AbortSignal) => Promise<T>,
    waitSeconds: number,
  ): Promise<T> => {
    const { method, idempotent } = operations[name];
    const key = call.idempotencyKey ?? (idempotent ? crypto.randomUUID() : undefined);
    const isSafe = method === 'GET' || key !== undefined;
    const headers: Record<string, string> = key === undefined ? {} : { 'idempotency-key': key };
    const timeoutMs = (call.timeoutMs ?? options.timeoutMs ?? TIMEOUT_MS) + waitSeconds * 1_000;
    const retries = call.maxRetries ?? options.maxRetries ?? RETRIES;
    for (let tried = 0; ; tried++) {
      try {
        return await withDeadline(timeoutMs, call.signal, (signal) => once(headers, signal));
      } catch (error) {
        const known = error as AitbcError;
        call.signal?.throwIfAborted();
        const wait = known.retryAfterSeconds ?? 0;
        const mayRepeat = isPassing(known) && (isSafe || hadNoEffect(known));
        if (!mayRepeat || tried >= retries || wait > RETRY_AFTER_MAX_SECONDS) throw error;
        await sleep(backOff(tried, wait), call.signal);
      }
    }
  };

  /** Calls one operation, and gives its answer as it came. */
  const text = (name: OperationName, input: AnyInput, call: RequestOptions = {}): Promise<TextAnswer> =>
    persist(
      name,
      call,
      async (headers, signal) => {
        const response = await attempt(name, input, { ...call, signal }, headers);
        return { status: response.status, headers: response.headers, text: await textOf(response, signal) };
      },
      Number(input.query?.wait_seconds ?? 0),
    );

  return {
    baseUrl: base,
    /** How often a call is sent again that does not say it itself. */
    maxRetries: options.maxRetries ?? RETRIES,
    text,
    /** Calls one operation of the contract, and reads its answer. */
    call: async <N extends OperationName>(
      name: N,
      input: Input<N>,
      call: RequestOptions = {},
    ): Promise<Reply<N>> => {
      const answer = await text(name, input, call);
      if (answer.text === '') return undefined as Reply<N>;
      const body = parse(answer.text);
      if (body === undefined)
        throw new UnexpectedAnswerError({
          code: 'UNEXPECTED_ANSWER',
          message: `${base} answered ${answer.status} with what is no JSON: a proxy in between, or the wrong address?`,
          status: answer.status,
          requestId: answer.headers.get('x-request-id') ?? undefined,
          details: { begins: answer.text.slice(0, 200) },
        });
      return body as Reply<N>;
    },
    /** Opens an answer that goes on; one attempt, no time limit: who reads it comes back by itself. */
    open: <N extends OperationName>(
      name: N,
      input: Input<N>,
      call: RequestOptions = {},
      accept = 'text/event-stream',
    ): Promise<Response> => attempt(name, input as AnyInput, call, { accept }),
  };
};
export type Transport = ReturnType<typeof createTransport>;
export { isPassing };
