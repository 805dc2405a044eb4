import { z } from 'zod';
import { Id, Timestamp } from '../ids.ts';
import { JobTypeName } from '../job-types.ts';
import { Json } from '../json.ts';
import { Amount, AmountOut, Price } from '../money.ts';
import { Page, PageQuery } from '../page.ts';
import { ProblemBody } from '../problem.ts';
import { WholeNumber } from '../query.ts';
import { BATCH_BODY_LIMIT_BYTES, defineRoute } from '../route.ts';
import { Text } from '../text.ts';
import { WebhookUrl } from '../webhook-events.ts';
import { usageRoutes } from './usage.ts';

export const JobStatus = z.enum(['pending', 'running', 'completed', 'failed', 'cancelled', 'expired']);
export type JobStatus = z.infer<typeof JobStatus>;

export const PaymentStatus = z.enum(['pending', 'escrowed', 'released', 'refunded', 'failed']);

export const WaitingReason = z
  .enum(['awaiting_funds', 'price_too_low', 'no_capable_miner', 'all_busy', 'retrying'])
  .meta({
    description:
      '`price_too_low`: miners could run it, and all of them ask for more than it pays (or than its max_price); without a payment it waits for one that asks nothing',
  });

const ShortText = Text(1, 100);
const Label = Text(1, 64);

export const Constraints = z
  .strictObject({
    gpu_model: ShortText.optional(),
    min_vram_gb: z.number().gt(0).max(10_000).optional(),
    cuda_version_min: z
      .string()
      .regex(/^\d{1,3}(\.\d{1,3})?$/, 'must look like 12.4')
      .optional(),
    region: ShortText.optional(),
    max_price: Price.optional(),
    miner_id: Id.optional().meta({ description: 'By this miner only, whoever else is free' }),
  })
  .meta({ id: 'Constraints' });
export type Constraints = z.infer<typeof Constraints>;

/** Seconds a job may wait to start, or may run: one second to one day. */
const Seconds = z.number().int().min(1).max(86_400);

export const JobSubmission = z
  .strictObject({
    /** Checked against the registry by the handler, so that an unknown type is INVALID_JOB_TYPE, not a schema error. */
    job_type: z.string().min(1).max(64).meta({ example: 'language_detection' }),
    /** Checked by the schema of the type. */
    parameters: z.record(z.string(), z.unknown()).meta({ example: { text: 'Guten Morgen, liebe Welt' } }),
    constraints: Constraints.optional(),
    priority: z.number().int().min(0).max(9).default(5),
    payment_amount: Amount.optional(),
    ttl_seconds: Seconds.default(900).meta({ description: 'Start within' }),
    timeout_seconds: Seconds.default(300).meta({ description: 'Run within' }),
    max_attempts: z
      .number()
      .int()
      .min(1)
      .max(10)
      .optional()
      .meta({ description: 'Without it, the governed default_max_attempts (3 at the start)' }),
    labels: z.array(Label).max(10).default([]),
    callback_url: WebhookUrl.optional().meta({
      description:
        'How the job ended is sent there, as a webhook of this one job, signed with the secret of POST /v1/users/me/webhooks/callbacks/rotate-secret',
    }),
  })
  .meta({ id: 'JobSubmission' });
export type JobSubmission = z.output<typeof JobSubmission>;

export const JobError = z.strictObject({ code: z.string(), message: z.string() });

const Salt = z.string().nullable().meta({
  description:
    '32 random bytes, base64url. Known to the client and the miner alone: with it, `sha256(salt bytes ‖ canonical JSON (RFC 8785) of parameters or result as shown here)` is the hash in the receipt. Null for jobs older than salts, hashed without',
  example: 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg',
});
const SaltedHash = (what: string) =>
  z.string().meta({
    description: `SHA-256, lower-case hex, over the bytes of the job’s salt and then ${what} as canonical JSON (RFC 8785, UTF-8)`,
  });

export const Job = z
  .strictObject({
    id: Id,
    client_id: Id,
    job_type: JobTypeName,
    parameters: z.record(z.string(), z.unknown()),
    salt: Salt,
    status: JobStatus,
    constraints: Constraints,
    priority: z.number().int(),
    labels: z.array(z.string()),
    callback_url: z.string().nullable(),
    attempt: z.number().int(),
    max_attempts: z.number().int(),
    miner_id: Id.nullable(),
    progress: z.number().min(0).max(1),
    result: z.unknown(),
    error: JobError.nullable(),
    payment_amount: AmountOut.nullable(),
    payment_id: Id.nullable(),
    payment_status: PaymentStatus.nullable(),
    created_at: Timestamp,
    updated_at: Timestamp,
    started_at: Timestamp.nullable(),
    ended_at: Timestamp.nullable(),
    expires_at: Timestamp,
    timeout_seconds: z.number().int(),
    content_expired_at: Timestamp.nullable().meta({
      description:
        'When its parameters, result and salt were erased: at its client’s wish, or when the time was over for which they are kept. From then on parameters are `{}`, result and salt null',
    }),
    metrics: z.strictObject({
      queue_ms: z.number().nullable(),
      run_ms: z.number().nullable(),
      reported: z
        .record(z.string(), z.number())
        .nullable()
        .meta({ description: 'What the miner said it measured' }),
    }),
  })
  .meta({ id: 'Job' });
export type Job = z.infer<typeof Job>;

export const JobStatusView = z
  .strictObject({
    id: Id,
    status: JobStatus,
    progress: z.number().min(0).max(1),
    attempt: z.number().int(),
    waiting_reason: WaitingReason.nullable(),
    queue_position: z.number().int().min(0).nullable().meta({
      description: 'About so many jobs of the same kind come before it; null when not waiting or not known',
    }),
    error: JobError.nullable(),
    updated_at: Timestamp,
  })
  .meta({ id: 'JobStatusView' });

const JobChange = z.strictObject({
  id: z.number().int(),
  type: z.enum(['pending', 'running', 'progress', 'retrying']),
  job_id: Id,
  status: JobStatus,
  attempt: z.number().int(),
  progress: z.number(),
  message: z.string().nullable(),
  at: Timestamp,
});
const JobEnd = JobChange.extend({
  type: z.enum(['completed', 'failed', 'cancelled', 'expired']),
  result: z.unknown().meta({
    description:
      'What counts, whatever came as deltas. Null without one, and when it is larger than 256 KB: ask for the job',
  }),
});
/** A piece of what a job puts out before its result: of a chat or text completion a chunk of its stream, of llm_inference `{text}`. */
const OutputChunk = z.record(z.string(), z.unknown());
const ofAttempt = { job_id: Id, attempt: z.number().int().min(1) };
const Seq = z.number().int().min(0);

/**
 * The data of one server-sent event, by its name: `status` and `progress` (a change of the job), `delta`, `restarted`,
 * `gap` (what its miner puts out), `end`.
 */
export const JobEvent = z
  .union([
    JobChange,
    JobEnd,
    z.strictObject({
      type: z.literal('delta'),
      ...ofAttempt,
      seq: Seq.meta({ description: 'The number of the first chunk, from 0 for each attempt' }),
      chunks: z.array(OutputChunk),
    }),
    z
      .strictObject({ type: z.literal('restarted'), ...ofAttempt })
      .meta({ description: 'This attempt was lost: all its deltas are void' }),
    z.strictObject({ type: z.literal('gap'), ...ofAttempt, seq: Seq }).meta({
      description: 'Chunks before `seq` are not kept any more; the result will hold what they said',
    }),
  ])
  .meta({ id: 'JobEvent' });
export type JobChange = z.output<typeof JobChange>;
export type JobEnd = z.output<typeof JobEnd>;

export const ReceiptClaims = z
  .strictObject({
    receipt_id: Id,
    job_id: Id,
    attempt: z.number().int().min(1),
    client_id: Id,
    miner_id: Id,
    job_type: z.string(),
    parameters_sha256: SaltedHash('the parameters'),
    result_sha256: SaltedHash('the result'),
    price: AmountOut,
    currency: z.string(),
    started_at: Timestamp,
    completed_at: Timestamp,
  })
  .meta({ id: 'ReceiptClaims' });
export type ReceiptClaims = z.infer<typeof ReceiptClaims>;

export const Receipt = z
  .strictObject({
    id: Id,
    job_id: Id,
    miner_id: Id,
    result: z.unknown(),
    salt: Salt,
    proof: z
      .string()
      .meta({ description: 'Compact JWS (EdDSA, Ed25519), checked offline with /.well-known/jwks.json' }),
    created_at: Timestamp,
  })
  .meta({ id: 'Receipt' });

/** What stays of a job whose content is gone, and what `details` of `CONTENT_EXPIRED` holds. */
export const JobRemains = z
  .strictObject({
    job_id: Id,
    content_expired_at: Timestamp,
    parameters_sha256: SaltedHash('the parameters'),
    result_sha256: SaltedHash('the result').nullable(),
    receipt: Receipt.pick({ id: true, proof: true, created_at: true }).nullable(),
  })
  .meta({ id: 'JobRemains' });
export type JobRemains = z.infer<typeof JobRemains>;

/** What anyone may see: hashes, never a parameter or a result. */
export const PublicReceipt = z
  .strictObject({
    id: Id,
    job_id: Id,
    attempt: z.number().int(),
    client_id: Id,
    miner_id: Id,
    job_type: z.string(),
    parameters_sha256: SaltedHash('the parameters'),
    result_sha256: SaltedHash('the result'),
    price: AmountOut,
    currency: z.string(),
    started_at: Timestamp,
    completed_at: Timestamp,
    created_at: Timestamp,
  })
  .meta({ id: 'PublicReceipt' });

const JobParams = z.strictObject({ job_id: Id });
const tag = 'Jobs';
const who = ['client'] as const;
const base = { service: 'jobs', tag, who, rate: 'client' } as const;

/** Longest a long-poll may hold: below the 30 s idle time-outs usual in proxies. */
export const WAIT_SECONDS_MAX = 25;
const WaitSeconds = WholeNumber(0, WAIT_SECONDS_MAX).default(0);

/** A lease names job, attempt and miner; only the holder of the current one may report. */
const Lease = z.string().min(1).max(300).meta({ description: 'Opaque, from GET /v1/miner/jobs' });

const JobResult = z
  .strictObject({
    job_id: Id,
    lease: Lease,
    status: z.enum(['completed', 'failed']),
    result: Json.optional(),
    error: z.strictObject({ code: z.string().min(1).max(64), message: z.string().max(2000) }).optional(),
    retryable: z.boolean().optional(),
    not_started: z.boolean().optional().meta({
      description:
        'With retryable: no work was begun, for instance because the model is gone. The attempt then does not count, within bounds',
    }),
    metrics: z
      .record(z.string().max(64), z.number())
      .refine((value) => Object.keys(value).length <= 32, 'must have at most 32 entries')
      .optional(),
  })
  .refine((value) => (value.status === 'completed') === (value.result !== undefined), {
    path: ['result'],
    message: 'is required when status is completed, and not allowed otherwise',
  })
  .refine((value) => value.not_started !== true || value.retryable === true, {
    path: ['not_started'],
    message: 'is for a failure that is retryable',
  })
  .meta({ id: 'JobResult' });
export type JobResult = z.output<typeof JobResult>;

/** What a miner is given to do. */
const WORK = {
  server_time: Timestamp.meta({ description: 'What deadline_at is to be compared with' }),
  items: z.array(
    z.strictObject({
      id: Id,
      job_type: JobTypeName,
      parameters: z.record(z.string(), z.unknown()),
      attempt: z.number().int().min(1),
      lease: Lease,
      deadline_at: Timestamp,
      stream: z.boolean().meta({
        description: 'Somebody listens: send what you make to POST /v1/miner/stream while you make it',
      }),
    }),
  ),
};
/** The wish for work, beside a result. The lease says which miner asks. */
const NextWork = z.strictObject({
  wait_seconds: z.number().int().min(0).max(WAIT_SECONDS_MAX).default(0),
  max_jobs: z.number().int().min(1).max(32).default(1),
});
const ResultVerdict = z.strictObject({ status: JobStatus, receipt: Receipt.nullable() });

/** Of one `POST /v1/miner/stream`. */
const STREAM_CHUNKS_MAX = 256;
const STREAM_BODY_LIMIT_BYTES = 1024 * 1024;
/** One chunk, as JSON: a picture in pieces, or the log probabilities of many tokens. */
export const STREAM_CHUNK_MAX = 64 * 1024;

/** Jobs that a miner runs at once. */
const STREAMS_MAX = 64;
export const JobOutput = z
  .strictObject({
    job_id: Id,
    lease: Lease,
    seq: Seq.max(100_000_000).meta({ description: 'The number of the first chunk, from 0 for each attempt' }),
    chunks: z
      .array(OutputChunk)
      .max(STREAM_CHUNKS_MAX)
      .meta({ description: 'At most 64 KB each, as JSON. May be empty' }),
  })
  .meta({ id: 'JobOutput' });
export type JobOutput = z.output<typeof JobOutput>;
const OutputVerdict = z.strictObject({
  listening: z.boolean(),
  seq: Seq.meta({ description: 'The number of the chunk that is wanted next' }),
});

export const SUBMIT_COST = { itemsPerUnit: 10, itemsMax: 1_000 } as const;
export const RESULT_COST = { itemsPerUnit: 10, itemsMax: 100 } as const;

export const jobsRoutes = {
  submit: defineRoute({
    ...base,
    name: 'jobs.submit',
    method: 'POST',
    path: '/v1/client/jobs',
    summary: 'Submit a job',
    idempotent: true,
    body: JobSubmission,
    bodyLimitBytes: BATCH_BODY_LIMIT_BYTES,
    responses: { 201: Job },
    errors: [
      'INVALID_JOB_TYPE',
      'IDEMPOTENCY_KEY_REUSED',
      'TOO_MANY_REQUIREMENTS',
      'QUOTA_EXCEEDED',
      'OVERLOADED',
    ],
  }),
  submitBatch: defineRoute({
    ...base,
    name: 'jobs.submit_batch',
    method: 'POST',
    path: '/v1/client/jobs/batch',
    summary: 'Submit up to 1,000 jobs',
    description:
      'A result per item, in order; a bad item does not stop the others. Costs one rate-limit unit per 10 jobs. ' +
      'What its size allows is held until it is answered.',
    idempotent: true,
    body: z.strictObject({
      jobs: z.array(z.unknown()).min(1).max(SUBMIT_COST.itemsMax).meta({ description: 'JobSubmission each' }),
    }),
    itemsField: 'jobs',
    bodyLimitBytes: BATCH_BODY_LIMIT_BYTES,
    cost: SUBMIT_COST,
    responses: {
      207: z.strictObject({
        items: z.array(
          z.strictObject({
            status: z.number().int(),
            job: Job.optional(),
            error: ProblemBody.shape.error.optional(),
          }),
        ),
      }),
    },
    errors: ['IDEMPOTENCY_KEY_REUSED', 'OVERLOADED'],
  }),
  list: defineRoute({
    ...base,
    name: 'jobs.list',
    method: 'GET',
    path: '/v1/client/jobs',
    summary: 'List own jobs',
    query: PageQuery.extend({
      status: JobStatus.optional(),
      job_type: JobTypeName.optional(),
      created_after: Timestamp.optional(),
      label: Label.optional(),
    }),
    responses: { 200: Page(Job) },
  }),
  get: defineRoute({
    ...base,
    name: 'jobs.get',
    method: 'GET',
    path: '/v1/client/jobs/:job_id',
    summary: 'One job, with its result when it has one',
    params: JobParams,
    responses: { 200: Job },
    errors: ['CONTENT_EXPIRED'],
  }),
  status: defineRoute({
    ...base,
    name: 'jobs.status',
    method: 'GET',
    path: '/v1/client/jobs/:job_id/status',
    summary: 'Where a job stands',
    description: '`wait_seconds` holds the answer until something changes.',
    params: JobParams,
    query: z.strictObject({ wait_seconds: WaitSeconds }),
    responses: { 200: JobStatusView },
    errors: ['TOO_MANY_POLLS'],
  }),
  events: defineRoute({
    ...base,
    name: 'jobs.events',
    method: 'GET',
    path: '/v1/client/jobs/:job_id/events',
    summary: 'Server-sent events of a job',
    description:
      'Events `status`, `progress`, `delta` (what the miner puts out while it works), `restarted` (its attempt was lost, and with it the deltas), `gap`, ' +
      '`end` (with the result). `Last-Event-ID` resumes, with deltas as long as they are kept in memory (1 MB a job), else after a `gap`. ' +
      'The stream ends after `end`; whoever has that one gets 204, which tells a browser not to come back.',
    params: JobParams,
    responses: { 200: JobEvent, 204: z.void() },
    errors: ['TOO_MANY_STREAMS', 'OVERLOADED'],
    stream: true,
  }),
  cancel: defineRoute({
    ...base,
    name: 'jobs.cancel',
    method: 'POST',
    path: '/v1/client/jobs/:job_id/cancel',
    summary: 'Cancel a job that has not ended',
    idempotent: true,
    params: JobParams,
    responses: { 200: Job },
    errors: ['JOB_ALREADY_ENDED'],
  }),
  wipe: defineRoute({
    ...base,
    name: 'jobs.wipe',
    method: 'DELETE',
    path: '/v1/client/jobs/:job_id',
    summary: 'Erase what a job that ended was given and made',
    description:
      'Parameters, result, and what its miners said of it are gone when this is answered; the job’s state, the hashes and the receipt stay. ' +
      'Again is the same answer. A job that has not ended is to be cancelled first. Copies made before are not reached: backups, a database’s own log, what a webhook’s receiver or the miner kept.',
    params: JobParams,
    responses: { 200: JobRemains },
    errors: ['JOB_NOT_ENDED'],
  }),
  receipts: defineRoute({
    ...base,
    name: 'jobs.receipts',
    method: 'GET',
    path: '/v1/client/jobs/:job_id/receipts',
    summary: 'The receipts of a job',
    description: 'Without result and salt once the content is gone.',
    params: JobParams,
    responses: { 200: z.strictObject({ items: z.array(Receipt) }) },
  }),
  publicReceipts: defineRoute({
    service: 'jobs',
    tag: 'Explorer',
    who: ['public'],
    rate: 'public',
    name: 'jobs.public_receipts',
    method: 'GET',
    path: '/v1/explorer/receipts',
    summary: 'Public list of receipts',
    query: PageQuery.extend({ job_id: Id.optional().meta({ description: 'Only that of this job' }) }),
    responses: { 200: Page(PublicReceipt) },
  }),
  verifyReceipt: defineRoute({
    service: 'jobs',
    tag: 'Explorer',
    who: ['public'],
    rate: 'public',
    name: 'jobs.verify_receipt',
    method: 'POST',
    path: '/v1/receipts/verify',
    summary: 'Check a receipt',
    body: z.strictObject({ proof: z.string().min(1).max(8192) }),
    responses: {
      200: z.strictObject({
        valid: z.boolean(),
        claims: ReceiptClaims.nullable(),
        reason: z.string().nullable(),
      }),
    },
  }),
  jwks: defineRoute({
    service: 'jobs',
    tag: 'Explorer',
    who: ['public'],
    rate: 'public',
    name: 'jobs.jwks',
    method: 'GET',
    path: '/.well-known/jwks.json',
    summary: 'The receipt keys, current and past',
    responses: {
      200: z.strictObject({
        keys: z.array(
          z.strictObject({
            kty: z.literal('OKP'),
            crv: z.literal('Ed25519'),
            x: z.string(),
            kid: z.string(),
            alg: z.literal('EdDSA'),
            use: z.literal('sig'),
          }),
        ),
      }),
    },
  }),
  poll: defineRoute({
    service: 'jobs',
    tag: 'Miners',
    who: ['miner'],
    rate: 'miner',
    name: 'jobs.poll',
    method: 'GET',
    path: '/v1/miner/jobs',
    summary: 'Take work (long-poll)',
    takes: true,
    description: 'An empty list when the wait ends without work.',
    query: z.strictObject({
      wait_seconds: WaitSeconds,
      max_jobs: WholeNumber(1, 32).default(1),
      miner_id: Id.optional().meta({ description: 'Needed when the account has several miners' }),
    }),
    responses: {
      200: z.strictObject(WORK),
    },
    errors: ['MINER_NOT_REGISTERED', 'TOO_MANY_POLLS'],
  }),
  progress: defineRoute({
    service: 'jobs',
    tag: 'Miners',
    who: ['miner'],
    rate: 'miner',
    name: 'jobs.progress',
    method: 'POST',
    path: '/v1/miner/progress',
    summary: 'Report progress',
    body: z.strictObject({
      job_id: Id,
      lease: Lease,
      progress: z.number().min(0).max(1),
      message: z.string().max(500).optional(),
    }),
    responses: { 200: z.strictObject({ status: JobStatus }) },
    errors: ['STALE_LEASE', 'JOB_ALREADY_ENDED'],
  }),
  stream: defineRoute({
    service: 'jobs',
    tag: 'Miners',
    who: ['miner'],
    rate: 'stream',
    name: 'jobs.stream',
    method: 'POST',
    path: '/v1/miner/stream',
    summary: 'Pass on what a job, or up to 64, puts out, while it is made',
    description:
      'Send `{job_id, lease, seq, chunks}`, or `{"streams":[...]}` for several jobs at once. ' +
      'Chunks are passed on to whoever listens and stored nowhere; the result is what counts. Of a chat or text completion a chunk is the model server’s own, ' +
      'less `id`, `object`, `created` and `model`; of `llm_inference` it is `{"text": "…"}`. The first at once, then each 50 ms or 4 KB, one request at a time. ' +
      'While nobody listens nothing is kept: ask again each second, without chunks, and begin at `seq` when somebody does. 409 means: stop at once.',
    body: z.union([
      JobOutput,
      z.strictObject({
        streams: z.array(z.unknown()).min(1).max(STREAMS_MAX).meta({ description: 'JobOutput each' }),
      }),
    ]),
    itemsField: 'streams',
    bodyLimitBytes: STREAM_BODY_LIMIT_BYTES,
    responses: {
      200: z.union([
        OutputVerdict,
        z.strictObject({
          items: z.array(
            z.strictObject({
              job_id: Id.nullable(),
              status: z.number().int(),
              verdict: OutputVerdict.optional(),
              error: ProblemBody.shape.error.optional(),
            }),
          ),
        }),
      ]),
    },
    errors: ['STALE_LEASE', 'JOB_ALREADY_ENDED'],
  }),
  result: defineRoute({
    service: 'jobs',
    tag: 'Miners',
    who: ['miner'],
    rate: 'miner',
    name: 'jobs.result',
    method: 'POST',
    path: '/v1/miner/result',
    summary: 'Return one result, or up to 100',
    description:
      'Send `{job_id, lease, status, ...}` or `{"results":[...]}`. The same result again gives the same answer. ' +
      'Costs one rate-limit unit per 10 results. With `next` beside one result the answer comes when there is work, or the ' +
      'wait is over, and holds it as that of a poll does. A result that is refused is answered at once, without work.',
    body: z.union([
      JobResult.safeExtend({ next: NextWork.optional() }).meta({ id: 'JobResultAndNext' }),
      z.strictObject({
        results: z
          .array(z.unknown())
          .min(1)
          .max(RESULT_COST.itemsMax)
          .meta({ description: 'One result each, without `next`' }),
      }),
    ]),
    itemsField: 'results',
    bodyLimitBytes: BATCH_BODY_LIMIT_BYTES,
    cost: RESULT_COST,
    responses: {
      200: z.union([
        ResultVerdict.extend({
          server_time: WORK.server_time.optional(),
          items: WORK.items.optional(),
        }),
        z.strictObject({
          items: z.array(
            z.strictObject({
              job_id: Id.nullable(),
              status: z.number().int(),
              verdict: ResultVerdict.optional(),
              error: ProblemBody.shape.error.optional(),
            }),
          ),
        }),
      ]),
    },
    errors: ['STALE_LEASE', 'JOB_ALREADY_ENDED', 'RESULT_CONFLICT'],
  }),
  ...usageRoutes,
} as const;
export { JobResult };
