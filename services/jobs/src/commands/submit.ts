import { clock, sendAs, type Trx } from '@aitbc/chassis';
import {
  type Caller,
  canonicalJson,
  invalidField,
  isJobType,
  JOB_TYPES,
  type Job,
  type JobSubmission,
  type JobType,
  modelOfJob,
  newId,
  newSalt,
  Problem,
  saltedSha256,
  toMinor,
  validationProblem,
} from '@aitbc/contracts';
import { requirementName, requirementOf } from '../dispatcher/match.ts';
import { lookAtRoom, takeRoom } from '../quotas.ts';
import { countRequirements, waitingWith } from '../store/backlog.ts';
import { insertJob } from '../store/jobs.ts';
import { countLoad } from '../store/load.ts';
import { toJob } from '../views.ts';
import type { Work } from '../work.ts';
import { offerWithCommit } from './lifecycle.ts';

const send = sendAs<'jobs'>();

/** A submission that was checked, with everything made that can be made outside the transaction. */
export interface Prepared {
  readonly submission: JobSubmission;
  readonly jobType: JobType;
  readonly parameters: Record<string, unknown>;
  readonly parametersText: string;
  readonly salt: string;
  readonly parametersSha256: string;
  readonly paymentAmountMinor: number | null;
  readonly model: string | null;
  /** What a program of the original coordinator sent, where the parameters do not hold it as it was. */
  readonly payload?: string;
  /** Its name. */
  readonly requirement: string;
}

/**
 * @param modelOtherwise by which it is matched when its parameters name none
 * @throws Problem INVALID_JOB_TYPE, VALIDATION_ERROR
 */
export const prepare = (
  work: Work,
  submission: JobSubmission,
  modelOtherwise: string | null = null,
): Prepared => {
  const { job_type: jobType } = submission;
  if (!isJobType(jobType) || !work.parameters.get('supported_job_types').includes(jobType)) {
    throw new Problem('INVALID_JOB_TYPE', `The job type ${jobType} is not supported.`, {
      details: { supported: work.parameters.get('supported_job_types') },
    });
  }
  if (work.isProduction && submission.callback_url?.startsWith('http:'))
    throw invalidField('callback_url', 'must be https');
  const parsed = JOB_TYPES[jobType].safeParse(submission.parameters);
  if (!parsed.success) throw validationProblem(parsed.error, 'parameters');
  const parameters = parsed.data as Record<string, unknown>;
  // In the order it was sent: models write the fields of a JSON schema in the schema's order.
  const parametersText = JSON.stringify(parameters);
  const salt = newSalt();
  const model = modelOfJob(parameters) ?? modelOtherwise;
  const paymentAmountMinor =
    submission.payment_amount === undefined ? null : toMinor(submission.payment_amount);
  return {
    submission,
    jobType,
    parameters,
    parametersText,
    salt,
    parametersSha256: saltedSha256(salt, canonicalJson(parameters)),
    paymentAmountMinor,
    model,
    requirement: requirementName(
      requirementOf({
        job_type: jobType,
        model,
        constraints: submission.constraints ?? {},
        // No part of the name.
        pays_minor: 0,
      }),
    ),
  };
};

/** As many as one batch brings: whoever sends a job each of a thousand models in one request is served. */
const REQUIREMENTS_PER_ACCOUNT_MAX = 1_000;
const REQUIREMENTS_RETRY_SECONDS = 30;

const waitsKey = (accountId: string, requirement: string): string =>
  `requirement:${accountId}:${requirement}`;
const countKey = (accountId: string): string => `requirements:${accountId}`;

/**
 * Looks at what {@link takeShare} decides by: for all jobs of a batch with one question. What is found is remembered for the
 * rest of the transaction.
 */
const lookAtShare = async (trx: Trx, accountId: string, requirements: readonly string[]): Promise<void> => {
  const asked = requirements.filter((each) => !trx.memo.has(waitsKey(accountId, each)));
  if (asked.length === 0) return;
  const waiting = await waitingWith(trx, accountId, asked);
  for (const each of asked) trx.memo.set(waitsKey(accountId, each), waiting.has(each) ? 1 : 0);
  if (trx.memo.has(countKey(accountId)) || asked.every((each) => waiting.has(each))) return;
  trx.memo.set(countKey(accountId), await countRequirements(trx, accountId, REQUIREMENTS_PER_ACCOUNT_MAX));
};

/**
 * One account's jobs ask for so many different things at once, at most: one account fills its own share of the index.
 * Asked before the job is written.
 * @throws Problem TOO_MANY_REQUIREMENTS
 */
const takeShare = (trx: Trx, accountId: string, requirement: string): void => {
  const known = waitsKey(accountId, requirement);
  if (trx.memo.get(known) === 1) return;
  const count = trx.memo.get(countKey(accountId)) as number;
  if (count >= REQUIREMENTS_PER_ACCOUNT_MAX) throw tooManyRequirements();
  trx.memo.set(countKey(accountId), count + 1);
  trx.memo.set(known, 1);
};

const tooManyRequirements = (): Problem => {
  return new Problem(
    'TOO_MANY_REQUIREMENTS',
    `Jobs of one account can ask for ${REQUIREMENTS_PER_ACCOUNT_MAX.toLocaleString('en')} different things at once (as many as one batch brings); let some end first, or ask for the same model and constraints.`,
    { details: { limit: REQUIREMENTS_PER_ACCOUNT_MAX }, retryAfterSeconds: REQUIREMENTS_RETRY_SECONDS },
  );
};

/** Takes a job in: the row, its event, and what payments must know. Runs once funds are held, or at once without. */
export const submit = async (trx: Trx, work: Work, caller: Caller, prepared: Prepared): Promise<Job> => {
  await lookAtRoom(trx, work, caller.account_id);
  await lookAtShare(trx, caller.account_id, [prepared.requirement]);
  return submitOne(trx, work, caller, prepared);
};

/**
 * Takes in several of one account, in their order; each is taken or refused by itself. They do not wait for each other's
 * way to the database: of a hundred that was most of the time.
 */
export const submitAll = async (
  trx: Trx,
  work: Work,
  caller: Caller,
  all: readonly Prepared[],
): Promise<PromiseSettledResult<Job>[]> => {
  await lookAtRoom(trx, work, caller.account_id);
  await lookAtShare(
    trx,
    caller.account_id,
    all.map(({ requirement }) => requirement),
  );
  return await Promise.allSettled(all.map((each) => submitOne(trx, work, caller, each)));
};

const submitOne = async (trx: Trx, work: Work, caller: Caller, prepared: Prepared): Promise<Job> => {
  const { submission, paymentAmountMinor } = prepared;
  const id = newId();
  // Not the time in the id: ids only rise, so after a clock that ran ahead was put right theirs is in the future.
  const nowMs = clock.nowMs();
  const bytes = Buffer.byteLength(prepared.parametersText) + Buffer.byteLength(prepared.payload ?? '');
  takeRoom(trx, work, caller.account_id, bytes);
  takeShare(trx, caller.account_id, prepared.requirement);
  const row = await insertJob(
    trx,
    {
      id,
      client_id: caller.account_id,
      job_type: prepared.jobType,
      status: 'pending',
      requirement: prepared.requirement,
      model: prepared.model,
      key_id: caller.scopes.includes('user') ? null : caller.credential_id,
      priority: submission.priority,
      is_funded: paymentAmountMinor === null ? 1 : 0,
      constraints: JSON.stringify(submission.constraints ?? {}),
      labels: JSON.stringify(submission.labels),
      callback_url: submission.callback_url ?? null,
      salt: prepared.salt,
      parameters_sha256: prepared.parametersSha256,
      timeout_ms: submission.timeout_seconds * 1_000,
      ttl_ms: submission.ttl_seconds * 1_000,
      max_attempts: submission.max_attempts ?? work.parameters.get('default_max_attempts'),
      payment_amount_minor: paymentAmountMinor,
      payment_status: paymentAmountMinor === null ? null : 'pending',
      created_at_ms: nowMs,
      updated_at_ms: nowMs,
      queued_at_ms: nowMs,
      expires_at_ms: nowMs + submission.ttl_seconds * 1_000,
    },
    { parameters: prepared.parametersText, payload: prepared.payload ?? null },
    submission.labels,
  );
  trx.gather(countLoad, {
    account_id: caller.account_id,
    place: work.store.place,
    open_jobs: 1,
    content_bytes: bytes,
  });
  await send(trx, 'jobs.submitted', {
    job_id: id,
    account_id: caller.account_id,
    credential_id: caller.credential_id,
    spend_cap_minor: caller.spend_cap_minor,
    payment_amount_minor: paymentAmountMinor,
    submitted_at_ms: nowMs,
    expires_at_ms: row.expires_at_ms,
  });
  trx.afterCommit(() => {
    work.metrics.active.pending += 1;
  });
  if (row.is_funded === 1) offerWithCommit(trx, work, row);
  return toJob(row, prepared.parameters, null);
};
