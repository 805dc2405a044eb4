import { z } from 'zod';
import { Price } from '../money.ts';
import { BATCH_BODY_LIMIT_BYTES, defineRoute } from '../route.ts';
import { Text } from '../text.ts';
import { Constraints } from './jobs.ts';

// The routes of OpenAI's API. Of a body only what is ours, or told to nobody, stands here: the rest is the request of a
// job, and is checked as one.

/** Seconds to the first lease. Ten minutes: nobody looks at a spinner for longer. */
export const MaxWaitSeconds = z.number().int().min(1).max(600);
/** Seconds that an attempt may run. */
export const RunSeconds = z.number().int().min(1).max(1_800);

const { region, gpu_model, min_vram_gb, cuda_version_min, miner_id } = Constraints.shape;

export const DoorOptions = z
  .strictObject({
    price: Price.optional().meta({
      description: 'What is paid for the answer, exactly: held before, released on success. 0 is nothing',
    }),
    max_wait_seconds: MaxWaitSeconds.optional().meta({ description: 'Until a miner has it; 60 without' }),
    timeout_seconds: RunSeconds.optional().meta({ description: 'Until it is done; 300 without' }),
    max_attempts: z.number().int().min(1).max(10).optional(),
    region,
    gpu_model,
    min_vram_gb,
    cuda_version_min,
    miner_id,
  })
  .meta({ id: 'DoorOptions', description: 'Price, patience and place of one request' });

/** What is taken out of a request before a stranger's machine sees it, beside `aitbc` and `stream`. */
export const NOT_FOR_MINERS = [
  'user',
  'safety_identifier',
  'metadata',
  'store',
  'service_tier',
  'prompt_cache_key',
] as const;

const model = z.string().min(1).max(230).meta({
  description: 'A name of GET /v1/models; `@0.25` behind it is a price, `@free` is none',
  example: 'llama3.2:1b',
});
const aitbc = DoorOptions.optional();
const streamed = {
  model,
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  aitbc,
};

const Usage = z.looseObject({}).optional();
const OfJob = z
  .looseObject({})
  .optional()
  .meta({ description: 'Which job it was, its receipt and its price' });
const Created = z.number().int().meta({ description: 'Whole seconds' });

const tag = 'OpenAI';
const base = { service: 'jobs', tag, who: ['client'], rate: 'client', speaks: 'openai' } as const;
const asked = { ...base, method: 'POST', bodyLimitBytes: BATCH_BODY_LIMIT_BYTES } as const;
const errors = [
  'MODEL_NOT_FOUND',
  'MODEL_SERVER_REFUSED',
  'INSUFFICIENT_FUNDS',
  'PRICE_TOO_LOW',
  'SPEND_CAP_EXCEEDED',
  'NO_CAPACITY',
  'UPSTREAM_FAILED',
  'JOB_TIMED_OUT',
  'TOO_MANY_STREAMS',
  'OVERLOADED',
] as const;

const description =
  'As the OpenAI API has it, so any of its clients works with this base URL and a client key as API key. Each request is a ' +
  'job: matched, leased, paid from escrow, with a signed receipt. `X-AITBC-Price`, `X-AITBC-Max-Wait` and `X-AITBC-Timeout` ' +
  '(or `aitbc` in the body, or `model@price`) say what it may cost and take. All other fields pass to the model server.';

/** One model as active miners offer it now. */
export const OfferedModel = z
  .strictObject({
    id: z.string(),
    object: z.literal('model'),
    created: Created,
    owned_by: z.literal('aitbc'),
    aitbc: z.strictObject({
      kinds: z.array(z.enum(['chat', 'completion', 'embedding'])),
      miners: z.number().int(),
      free_slots: z.number().int(),
      price_min: z.number().meta({ description: 'The lowest price that a miner takes, AITBC' }),
      price_median: z.number(),
      usual_wait_seconds: z
        .number()
        .nullable()
        .meta({ description: 'Median of the last waits for a miner; null when nobody asked lately' }),
    }),
  })
  .meta({ id: 'OfferedModel' });
export type OfferedModel = z.output<typeof OfferedModel>;

export const doorRoutes = {
  chat: defineRoute({
    ...asked,
    name: 'jobs.chat_completions',
    path: '/v1/chat/completions',
    summary: 'Chat with a model',
    description: `${description} With \`stream\` the answer comes as server-sent events, and \`data: [DONE]\` once the receipt is signed.`,
    body: z.looseObject({ ...streamed, messages: z.unknown().meta({ description: 'At most 2,000' }) }),
    responses: {
      200: z.looseObject({
        id: z.string().meta({ description: '`chatcmpl-` and the id of the job' }),
        object: z.literal('chat.completion'),
        created: Created,
        model: z.string(),
        choices: z.array(z.looseObject({})),
        usage: Usage,
        aitbc: OfJob,
      }),
    },
    errors,
  }),
  complete: defineRoute({
    ...asked,
    name: 'jobs.completions',
    path: '/v1/completions',
    summary: 'Go on with a text',
    description,
    body: z.looseObject({ ...streamed, prompt: z.unknown() }),
    responses: {
      200: z.looseObject({
        id: z.string().meta({ description: '`cmpl-` and the id of the job' }),
        object: z.literal('text_completion'),
        created: Created,
        model: z.string(),
        choices: z.array(z.looseObject({})),
        usage: Usage,
        aitbc: OfJob,
      }),
    },
    errors,
  }),
  embed: defineRoute({
    ...asked,
    name: 'jobs.embeddings',
    path: '/v1/embeddings',
    summary: 'Texts as vectors',
    description,
    body: z.looseObject({
      model,
      input: z.unknown(),
      encoding_format: z
        .enum(['float', 'base64'])
        .nullish()
        .meta({ description: '`base64`: 32-bit floats, little-endian' }),
      aitbc,
    }),
    responses: {
      200: z.looseObject({
        object: z.literal('list'),
        data: z.array(
          z.strictObject({
            object: z.literal('embedding'),
            index: z.number().int(),
            embedding: z.union([z.array(z.number()), z.string()]),
          }),
        ),
        model: z.string(),
        usage: Usage,
        aitbc: OfJob,
      }),
    },
    errors,
  }),
  models: defineRoute({
    ...base,
    name: 'jobs.models',
    method: 'GET',
    path: '/v1/models',
    summary: 'What active miners offer now',
    responses: { 200: z.strictObject({ object: z.literal('list'), data: z.array(OfferedModel) }) },
  }),
  model: defineRoute({
    ...base,
    name: 'jobs.model',
    method: 'GET',
    path: '/v1/models/:model',
    summary: 'One model',
    description: 'A `/` in the name is sent as `%2F`.',
    params: z.strictObject({ model: Text(1, 200) }),
    responses: { 200: OfferedModel },
    errors: ['MODEL_NOT_FOUND'],
  }),
} as const;
