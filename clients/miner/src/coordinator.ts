import type { BodyIn, jobsRoutes, minersRoutes, ReplyOf } from '@aitbc/contracts';
import { type Reply, readText, sendRequest } from './http-request.ts';
import { parseRetryAfter } from './pacing.ts';
import { isRecord } from './record.ts';

// Types alone come from the contracts: the agent starts without loading a schema library.
type BodyOfStatus<T, S> = Extract<T, { status: S }> extends { body: infer B } ? B : never;
export type Registration = BodyIn<typeof minersRoutes.register>;
type RegisteredMiner = BodyOfStatus<ReplyOf<typeof minersRoutes.register>, 200>;
export type Heartbeat = BodyIn<typeof minersRoutes.heartbeat>;
type HeartbeatReply = BodyOfStatus<ReplyOf<typeof minersRoutes.heartbeat>, 200>;
export type PollReply = BodyOfStatus<ReplyOf<typeof jobsRoutes.poll>, 200>;
export type Assignment = PollReply['items'][number];
export type ProgressReport = BodyIn<typeof jobsRoutes.progress>;
export type Report = Exclude<BodyIn<typeof jobsRoutes.result>, { results: unknown[] }>;

/**
 * What came of a request.
 * - `refused`: the coordinator itself said no, in its error shape; asking again gives the same answer.
 * - `again`: no definite answer (no connection, 5xx, 429, or an answer that is not the coordinator's); ask again.
 * - `aborted`: our own signal ended it.
 */
export type Answer<T> =
  | { readonly kind: 'ok'; readonly status: number; readonly body: T }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly code: string;
      readonly message: string;
    }
  | { readonly kind: 'again'; readonly reason: string; readonly retryAfterMs: number | null }
  | { readonly kind: 'aborted' };

export type Refusal = Extract<Answer<never>, { kind: 'refused' }>;

/** Nothing the agent does again will help against these two: the owner has to act. */
export const isKeyRefused = (answer: Refusal): boolean => answer.status === 401 || answer.status === 403;
export const isNotRegistered = (answer: Refusal): boolean => answer.code === 'MINER_NOT_REGISTERED';
/** Another agent lives under this account and name. */
export const isNameInUse = (answer: Refusal): boolean => answer.code === 'MINER_NAME_IN_USE';

/** Longest a poll may be held, by the contract. */
export const POLL_WAIT_SECONDS = 25;
/** Most jobs one poll may ask for, by the contract. */
export const POLL_JOBS_MAX = 32;
/** Of one answer: so many jobs of the 4 MB that one may have, and what stands around them. */
const ANSWER_MAX_BYTES = POLL_JOBS_MAX * 5 * 1024 * 1024;
/** Ten seconds beyond the held wait, for a slow line; after that the connection is taken for dead. */
const POLL_TIMEOUT_MS = (POLL_WAIT_SECONDS + 10) * 1000;
/** A report that takes longer is tried again. */
const CALL_TIMEOUT_MS = 15_000;
/** Beyond what a heartbeat may be held. */
const BEAT_SLACK_MS = 7_000;

export interface Coordinator {
  register(body: Registration, signal: AbortSignal): Promise<Answer<RegisteredMiner>>;
  heartbeat(body: Heartbeat, signal: AbortSignal): Promise<Answer<HeartbeatReply>>;
  poll(
    ask: { minerId: string; maxJobs: number; waitSeconds: number },
    signal: AbortSignal,
  ): Promise<Answer<PollReply>>;
  progress(body: ProgressReport, signal: AbortSignal): Promise<Answer<unknown>>;
  /** @param json one `{job_id, lease, seq, chunks}`, or `{"streams":[…]}`, already encoded. */
  stream(json: string, signal: AbortSignal): Promise<Answer<unknown>>;
  /** @param json one report, or `{"results":[…]}`, already encoded: a retry does not encode megabytes again. */
  result(json: string, signal: AbortSignal): Promise<Answer<unknown>>;
}

export interface CoordinatorOptions {
  readonly baseUrl: string;
  readonly key: string;
  readonly agent: string;
  /** Called when requests start to fail and when they succeed again, once each. */
  readonly onReachable: (reachable: boolean, reason: string) => void;
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** The part of an error the system gives a name to: `ECONNREFUSED`, `ECONNRESET`, `TimeoutError`. */
export const networkReason = (error: unknown): string => {
  if (!(error instanceof Error)) return 'no connection';
  if (error.name === 'TimeoutError') return 'no answer in time';
  const { cause } = error;
  if ('code' in error && typeof error.code === 'string' && error.code !== 'ABORT_ERR') return error.code;
  if (error.name === 'AbortError') return 'no answer in time';
  if (isRecord(cause) && typeof cause.code === 'string') return cause.code;
  return cause instanceof Error ? cause.message : error.message;
};

const isMiner = (body: unknown): body is RegisteredMiner => isRecord(body) && typeof body.id === 'string';
const isHeartbeatReply = (body: unknown): body is HeartbeatReply =>
  isRecord(body) &&
  Array.isArray(body.cancel) &&
  Array.isArray(body.drop) &&
  typeof body.next_heartbeat_seconds === 'number';
const isAssignment = (item: unknown): item is Assignment =>
  isRecord(item) &&
  typeof item.id === 'string' &&
  typeof item.job_type === 'string' &&
  isRecord(item.parameters) &&
  typeof item.lease === 'string' &&
  typeof item.deadline_at === 'string' &&
  !Number.isNaN(Date.parse(item.deadline_at));
export const isPollReply = (body: unknown): body is PollReply =>
  isRecord(body) &&
  typeof body.server_time === 'string' &&
  !Number.isNaN(Date.parse(body.server_time)) &&
  Array.isArray(body.items) &&
  body.items.every(isAssignment);
const isAnything = (_body: unknown): _body is unknown => true;

export const createCoordinator = (options: CoordinatorOptions): Coordinator => {
  let reachable = true;
  const headers = { 'x-api-key': options.key, 'user-agent': options.agent, accept: 'application/json' };

  const setReachable = (value: boolean, reason: string): void => {
    if (value === reachable) return;
    reachable = value;
    options.onReachable(value, reason);
  };

  const again = (reason: string, retryAfterMs: number | null = null): Answer<never> => {
    setReachable(false, reason);
    return { kind: 'again', reason, retryAfterMs };
  };

  const call = async <T>(
    method: 'GET' | 'POST',
    path: string,
    body: string | undefined,
    timeoutMs: number,
    signal: AbortSignal,
    isExpected: (body: unknown) => body is T,
  ): Promise<Answer<T>> => {
    if (signal.aborted) return { kind: 'aborted' };
    let reply: Reply;
    let text: string;
    // By hand instead of AbortSignal.timeout and .any: those stay in memory until their time is over, and a busy
    // agent makes hundreds of calls a second.
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new DOMException('', 'TimeoutError')), timeoutMs);
    const onAbort = (): void => controller.abort();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      // A redirect is not followed: it would carry the key to whatever host the answer names.
      reply = await sendRequest(options.baseUrl + path, {
        method,
        headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body }),
        signal: controller.signal,
      });
      text = await readText(reply, ANSWER_MAX_BYTES);
    } catch (error) {
      return signal.aborted ? { kind: 'aborted' } : again(networkReason(error));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
    const { status } = reply;
    const parsed = parseJson(text);

    if (status >= 300 && status < 400) {
      return again(`it redirects to ${reply.location ?? 'elsewhere'}: pass that as --coordinator`);
    }
    const retryAfterMs = parseRetryAfter(reply.retryAfter, Date.now());
    if (status === 429) {
      setReachable(true, '');
      return { kind: 'again', reason: 'rate limit reached', retryAfterMs };
    }
    if (status >= 500 || status === 408 || status === 425) return again(`answered ${status}`, retryAfterMs);
    if (status >= 400) {
      const error = isRecord(parsed) && isRecord(parsed.error) ? parsed.error : {};
      // A proxy's page during a redeploy must not cost a finished result. Its 413 is final all the same.
      if (typeof error.code !== 'string' && status !== 413) {
        return again(`answered ${status}, but not as a coordinator does: is the URL right?`);
      }
      setReachable(true, '');
      return {
        kind: 'refused',
        status,
        code: typeof error.code === 'string' ? error.code : 'BODY_TOO_LARGE',
        message: typeof error.message === 'string' ? error.message : '',
      };
    }
    if (!isExpected(parsed)) return again('its answer could not be read: is the URL right?');
    setReachable(true, '');
    return { kind: 'ok', status, body: parsed };
  };

  return {
    register: (body, signal) =>
      call('POST', '/v1/miner/register', JSON.stringify(body), CALL_TIMEOUT_MS, signal, isMiner),
    heartbeat: (body, signal) =>
      call(
        'POST',
        '/v1/miner/heartbeat',
        JSON.stringify(body),
        (body.wait_seconds ?? 0) * 1000 + BEAT_SLACK_MS,
        signal,
        isHeartbeatReply,
      ),
    poll: ({ minerId, maxJobs, waitSeconds }, signal) => {
      const query = new URLSearchParams({
        wait_seconds: String(waitSeconds),
        max_jobs: String(maxJobs),
        miner_id: minerId,
      });
      return call('GET', `/v1/miner/jobs?${query}`, undefined, POLL_TIMEOUT_MS, signal, isPollReply);
    },
    progress: (body, signal) =>
      call('POST', '/v1/miner/progress', JSON.stringify(body), CALL_TIMEOUT_MS, signal, isAnything),
    stream: (json, signal) => call('POST', '/v1/miner/stream', json, CALL_TIMEOUT_MS, signal, isAnything),
    result: (json, signal) => call('POST', '/v1/miner/result', json, CALL_TIMEOUT_MS, signal, isAnything),
  };
};
