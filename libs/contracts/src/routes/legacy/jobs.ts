import { z } from 'zod';
import { Id } from '../../ids.ts';
import { Json } from '../../json.ts';
import { WholeNumber } from '../../query.ts';
import { BATCH_BODY_LIMIT_BYTES, defineRoute } from '../../route.ts';
import { answer, lenient, orEmpty, tag } from './lenient.ts';

// What programs written for the original coordinator call of jobs: a second way to the same jobs.

const Fields = z.record(z.string(), Json);
const AnyText = z.string().max(200);

/** `{payload}`, or `{service_type, model, parameters, requirements}` as the JavaScript client says it. */
export const LegacySubmission = lenient({
  payload: Fields.optional().meta({
    description:
      'Anything; type inference, generate or chat with a model and a prompt is llm_inference, the rest custom',
    example: { type: 'inference', model: 'llama3.2:latest', prompt: 'Why is the sky blue?' },
  }),
  constraints: Fields.optional(),
  ttl_seconds: z.number().optional().meta({ description: '0 is as good as nothing' }),
  payment_amount: z.number().optional(),
  payment_currency: AnyText.optional(),
  service_type: AnyText.optional(),
  model: AnyText.optional(),
  parameters: Fields.optional(),
  requirements: Fields.optional(),
});
export type LegacySubmission = z.output<typeof LegacySubmission>;

export const LegacyState = z.enum(['QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELED', 'EXPIRED']);
export const LegacyStatus = z.enum(['queued', 'running', 'completed', 'failed', 'canceled', 'expired']);

export const LegacyJob = answer({
  job_id: Id,
  id: Id,
  state: LegacyState,
  status: LegacyStatus,
  assigned_miner_id: Id.nullable(),
  requested_at: z.string(),
  createdAt: z.string(),
  updatedAt: z.string(),
  expires_at: z.string(),
  error: z.string().nullable().meta({ description: '`CODE: message`' }),
  payment_id: Id.nullable(),
  payment_status: z.string().nullable(),
  serviceType: z.string(),
  model: z.string().nullable(),
  progress: z.number(),
  result: z.unknown().optional().meta({ description: 'Once completed, and never null' }),
}).meta({ id: 'LegacyJob' });
export type LegacyJob = z.output<typeof LegacyJob>;

export const LegacyReceipt = answer({
  version: z.literal('1.0'),
  receipt_id: Id,
  job_id: Id,
  provider: Id,
  client: Id,
  status: z.literal('COMPLETED'),
  units: z.number(),
  unit_type: z.literal('gpu_seconds'),
  price: z.union([z.number(), z.string()]),
  started_at: z.number().int(),
  completed_at: z.number().int(),
  parameters_sha256: z.string(),
  result_sha256: z.string(),
  signature: answer({ alg: z.literal('Ed25519'), key_id: z.string(), sig: z.string() }),
}).meta({
  id: 'LegacyReceipt',
  description:
    'Signed is the canonical JSON of everything but `signature` and `attestations`; `key_id` is the `x` of a key in /.well-known/jwks.json',
});

const params = z.strictObject({ job_id: Id });
const asClient = { service: 'jobs', tag, who: ['client'], rate: 'client' } as const;
const ofJob = { ...asClient, params } as const;
const asMiner = { service: 'jobs', tag, who: ['miner'], rate: 'miner' } as const;

/** Deeper than this a reader uses the native list, which goes on from a cursor. */
export const LEGACY_OFFSET_MAX = 10_000;
const Words = orEmpty(z.string().max(64));
const history = z.object({
  limit: orEmpty(WholeNumber(0, 1_000_000)),
  offset: orEmpty(WholeNumber(0, LEGACY_OFFSET_MAX)),
  cursor: orEmpty(z.string().max(500)),
  status: Words,
  type: Words,
  job_type: Words,
  service_type: Words,
  from_time: Words,
  to_time: Words,
});
const LegacyPage = z.object({
  items: z.array(LegacyJob),
  total: z.number().int().meta({ description: 'Counted up to 10,000' }),
  limit: z.number().int(),
  offset: z.number().int(),
  next_offset: z.null(),
  next_cursor: z.string().nullable(),
});

const speaker = z.object({ miner_id: orEmpty(z.string().max(200)) });
const LegacyWork = z.object({ job_id: Id, payload: z.unknown(), constraints: Fields });
const poll = { ...asMiner, query: speaker, errors: ['MINER_NOT_REGISTERED', 'TOO_MANY_POLLS'] } as const;
const INSTEAD_OF_POLL = 'GET /v1/miner/jobs';
const INSTEAD_OF_RESULT = 'POST /v1/miner/result';

export const legacyJobsRoutes = {
  legacySubmit: defineRoute({
    ...asClient,
    alias: 'POST /v1/client/jobs',
    name: 'jobs.legacy_submit',
    method: 'POST',
    path: '/v1/jobs',
    summary: 'Submit a job',
    idempotent: true,
    body: LegacySubmission,
    bodyLimitBytes: BATCH_BODY_LIMIT_BYTES,
    responses: { 201: LegacyJob },
    errors: ['INVALID_JOB_TYPE', 'TOO_MANY_REQUIREMENTS', 'QUOTA_EXCEEDED', 'OVERLOADED'],
  }),
  legacyHistory: defineRoute({
    ...asClient,
    alias: 'GET /v1/client/jobs',
    name: 'jobs.legacy_history',
    method: 'GET',
    path: '/v1/jobs/history',
    summary: 'List own jobs',
    query: history,
    responses: { 200: LegacyPage },
  }),
  legacyList: defineRoute({
    ...asClient,
    alias: 'GET /v1/client/jobs',
    name: 'jobs.legacy_list',
    method: 'GET',
    path: '/v1/jobs',
    summary: 'List own jobs',
    query: history,
    responses: { 200: LegacyPage },
  }),
  legacyGet: defineRoute({
    ...ofJob,
    alias: 'GET /v1/client/jobs/{job_id}',
    name: 'jobs.legacy_get',
    method: 'GET',
    path: '/v1/jobs/:job_id',
    summary: 'One job',
    responses: { 200: LegacyJob },
  }),
  legacyStatus: defineRoute({
    ...ofJob,
    alias: 'GET /v1/client/jobs/{job_id}/status',
    name: 'jobs.legacy_status',
    method: 'GET',
    path: '/v1/jobs/:job_id/status',
    summary: 'Where a job stands',
    responses: {
      200: z.object({
        id: Id,
        job_id: Id,
        status: LegacyStatus,
        state: LegacyState,
        progress: z.number(),
      }),
    },
  }),
  legacyResult: defineRoute({
    ...ofJob,
    alias: 'GET /v1/client/jobs/{job_id}',
    name: 'jobs.legacy_result',
    method: 'GET',
    path: '/v1/jobs/:job_id/result',
    summary: 'What came of a job',
    description: '425 while it waits or runs, 409 when it ended without a result.',
    responses: {
      200: z.object({ id: Id, result: z.unknown(), output: z.unknown(), receipt: LegacyReceipt }),
    },
    errors: ['RESULT_NOT_READY', 'JOB_NOT_COMPLETED', 'CONTENT_EXPIRED'],
  }),
  legacyCancel: defineRoute({
    ...ofJob,
    alias: 'POST /v1/client/jobs/{job_id}/cancel',
    name: 'jobs.legacy_cancel',
    method: 'POST',
    path: '/v1/jobs/:job_id/cancel',
    summary: 'Cancel a job that has not ended',
    responses: { 200: LegacyJob },
    errors: ['JOB_ALREADY_ENDED'],
  }),
  legacyDelete: defineRoute({
    ...ofJob,
    alias: 'POST /v1/client/jobs/{job_id}/cancel',
    name: 'jobs.legacy_delete',
    method: 'DELETE',
    path: '/v1/jobs/:job_id',
    summary: 'Cancel a job that has not ended',
    responses: { 200: LegacyJob },
    errors: ['JOB_ALREADY_ENDED'],
  }),
  legacyReceipt: defineRoute({
    ...ofJob,
    alias: 'GET /v1/client/jobs/{job_id}/receipts',
    name: 'jobs.legacy_receipt',
    method: 'GET',
    path: '/v1/jobs/:job_id/receipt',
    summary: 'The receipt of a job',
    responses: { 200: LegacyReceipt },
  }),
  legacyReceipts: defineRoute({
    ...ofJob,
    alias: 'GET /v1/client/jobs/{job_id}/receipts',
    name: 'jobs.legacy_receipts',
    method: 'GET',
    path: '/v1/jobs/:job_id/receipts',
    summary: 'The receipts of a job',
    responses: {
      200: z.object({ jobId: Id, items: z.array(LegacyReceipt), next_cursor: z.null() }),
    },
  }),
  legacyPoll: defineRoute({
    ...poll,
    alias: INSTEAD_OF_POLL,
    name: 'jobs.legacy_poll',
    method: 'POST',
    path: '/v1/miners/poll',
    summary: 'Take work',
    description: '204 when there is none. Held for `max_wait_seconds`, 4 s at most.',
    body: lenient({ max_wait_seconds: z.number().optional() }),
    responses: { 200: LegacyWork, 204: z.void() },
  }),
  legacyPollByGet: defineRoute({
    ...poll,
    alias: INSTEAD_OF_POLL,
    name: 'jobs.legacy_poll_by_get',
    method: 'GET',
    path: '/v1/miners/poll',
    summary: 'Take work',
    description: '`{}` when there is none.',
    takes: true,
    responses: { 200: z.union([LegacyWork, z.strictObject({})]) },
  }),
  legacyReport: defineRoute({
    ...asMiner,
    alias: INSTEAD_OF_RESULT,
    name: 'jobs.legacy_report',
    method: 'POST',
    path: '/v1/miners/:job_id/result',
    summary: 'Return a result',
    description:
      'For the attempt that a miner of this account holds now. A result whose `status` is failed, or `success: false`, is a failure.',
    params,
    query: speaker,
    body: lenient({
      result: z.union([z.string(), Fields]).optional(),
      metrics: Fields.optional(),
      success: z.boolean().optional(),
    }),
    bodyLimitBytes: BATCH_BODY_LIMIT_BYTES,
    responses: { 200: z.object({ status: z.literal('ok'), receipt: LegacyReceipt.nullable() }) },
    errors: ['STALE_LEASE', 'JOB_ALREADY_ENDED', 'RESULT_CONFLICT', 'MINER_NOT_REGISTERED'],
  }),
  legacyFail: defineRoute({
    ...asMiner,
    alias: INSTEAD_OF_RESULT,
    name: 'jobs.legacy_fail',
    method: 'POST',
    path: '/v1/miners/:job_id/fail',
    summary: 'Say that a job failed',
    params,
    query: speaker,
    body: lenient({
      error_code: z.string().optional(),
      error_message: z.string().optional(),
      metrics: Fields.optional(),
    }),
    responses: { 200: z.object({ status: z.literal('ok') }) },
    errors: ['STALE_LEASE', 'JOB_ALREADY_ENDED', 'RESULT_CONFLICT', 'MINER_NOT_REGISTERED'],
  }),
} as const;
