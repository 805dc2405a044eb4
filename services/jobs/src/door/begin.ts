import { clock, type Reader, type Trx } from '@aitbc/chassis';
import { type Caller, canonicalJson, Problem, sha256 } from '@aitbc/contracts';
import { type Prepared, submit } from '../commands/submit.ts';
import { isTerminal } from '../domain.ts';
import { findDoorRequest, rememberDoorRequest } from '../store/door.ts';
import { findOwnJob } from '../store/jobs.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import type { Asked } from './asked.ts';

/** An answer that could not be delivered is kept so long for a client that asks again by itself. */
const ANSWER_KEPT_MS = 10 * 60_000;
/** ...and so long for one that names its request. */
const KEYED_MS = 24 * 3_600_000;

/** A request as it is known again. */
export interface Ask {
  readonly name: string;
  readonly sha256: string;
  /** Of its JSON. */
  readonly sizeKb: number;
  readonly isKeyed: boolean;
  /** It was sent before, as far as its client knows. */
  readonly isAgain: boolean;
}

/** @param retries as OpenAI's clients count them: they send no Idempotency-Key. */
export const askOf = (asked: Asked, body: unknown, key: string | undefined, retries: unknown): Ask => {
  const { kind, price, maxWaitSeconds, timeoutSeconds } = asked;
  const text = canonicalJson([kind, price, maxWaitSeconds, timeoutSeconds, body]);
  const known = { sha256: sha256(text), sizeKb: Math.ceil(text.length / 1_024) };
  if (key !== undefined) return { ...known, name: `key:${sha256(key)}`, isKeyed: true, isAgain: true };
  return { ...known, name: `body:${known.sha256}`, isKeyed: false, isAgain: Number(retries) >= 1 };
};

const isOfUse = (job: JobRow, { isKeyed }: Ask, nowMs: number): boolean => {
  if (!isTerminal(job.status)) return true;
  const keptMs = isKeyed ? KEYED_MS : ANSWER_KEPT_MS;
  return job.status === 'completed' && (job.ended_at_ms ?? 0) > nowMs - keptMs;
};

/**
 * @returns the job that this request became when it was sent before, if its answer is still of use
 * @throws Problem IDEMPOTENCY_KEY_REUSED
 */
export const findBegun = async (reader: Reader, accountId: string, ask: Ask): Promise<string | undefined> => {
  const nowMs = clock.nowMs();
  const before = ask.isAgain ? await findDoorRequest(reader, accountId, ask.name) : undefined;
  if (before === undefined || before.expires_at_ms <= nowMs) return undefined;
  const job = await findOwnJob(reader, before.job_id, accountId);
  if (job === undefined || !isOfUse(job, ask, nowMs)) return undefined;
  if (before.request_sha256 !== ask.sha256)
    throw new Problem(
      'IDEMPOTENCY_KEY_REUSED',
      'This Idempotency-Key was used with another request; make a new one.',
      { details: { param: 'Idempotency-Key' } },
    );
  return job.id;
};

/**
 * The job of a request: the one that it became when it was sent before, or a new one. A client that lost its connection
 * asks again; what was made for it is paid once.
 * @throws Problem IDEMPOTENCY_KEY_REUSED, TOO_MANY_REQUIREMENTS, QUOTA_EXCEEDED
 */
export const begin = async (
  trx: Trx,
  work: Work,
  caller: Caller,
  prepared: Prepared,
  ask: Ask,
): Promise<string> => {
  const accountId = caller.account_id;
  const known = await findBegun(trx, accountId, ask);
  if (known !== undefined) return known;
  const { id } = await submit(trx, work, caller, prepared);
  const { ttl_seconds, timeout_seconds } = prepared.submission;
  const lifeMs = ask.isKeyed ? KEYED_MS : (ttl_seconds + timeout_seconds) * 1_000 + ANSWER_KEPT_MS;
  await rememberDoorRequest(trx, {
    account_id: accountId,
    name: ask.name,
    request_sha256: ask.sha256,
    job_id: id,
    expires_at_ms: clock.nowMs() + lifeMs,
  });
  return id;
};
