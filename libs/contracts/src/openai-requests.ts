import { z } from 'zod';
import { isRecord, Json } from './json.ts';
import { Text } from './text.ts';

// The bodies of OpenAI's API as jobs carry them: what is named here is checked, and all else passes to the miner's model
// server as it came. Null is what OpenAI's clients send for "not set".

/** A request of 4 MB has so many messages when each is 2 KB; longer talks are summed up by those who hold them. */
const MESSAGES_MAX = 2_000;
/** OpenAI's own bounds, as far as no other reason is named. */
const TOOLS_MAX = 128;
const INPUTS_MAX = 2_048;
const STOPS_MAX = 16;
const BIASES_MAX = 1_024;
/** Each is an answer of its own that a GPU writes for one price. */
const CHOICES_MAX = 4;
/** The longest context of any model, with room. */
const TOKENS_MAX = 10_000_000;

const number = (min: number, max: number) => z.number().min(min).max(max).nullish();
const whole = (min: number, max: number) => z.number().int().min(min).max(max).nullish();

export const ModelName = Text(1, 200).meta({ example: 'llama3.2:1b' });

/** `image_url`, `file_url`, `video_url`, `url`: what a model server would fetch. */
const NAMES_AN_ADDRESS = /(?:^|_)ur[il]$/i;

/** Whether a part of a message points anywhere but into itself. Depth is bounded by the request. */
const isRemote = (value: unknown): boolean => {
  if (Array.isArray(value)) return value.some(isRemote);
  if (!isRecord(value)) return false;
  return Object.entries(value).some(([name, inner]) =>
    typeof inner === 'string' ? NAMES_AN_ADDRESS.test(name) && !/^data:/i.test(inner) : isRemote(inner),
  );
};

const ContentPart = z
  .looseObject({ type: z.string().min(1).max(64) })
  .refine(
    (part) => !isRemote(part),
    'must hold pictures and files as data: URIs; a stranger’s model server fetches no address',
  );

const Message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(ContentPart)]).nullish(),
});

/** What text and chat have in common. */
const sampling = {
  model: ModelName,
  temperature: number(0, 2),
  top_p: number(0, 1),
  max_tokens: whole(1, TOKENS_MAX),
  n: whole(1, CHOICES_MAX),
  stop: z.union([z.string(), z.array(z.string()).max(STOPS_MAX)]).nullish(),
  seed: whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  presence_penalty: number(-2, 2),
  frequency_penalty: number(-2, 2),
  logit_bias: z
    .record(z.string(), z.number().min(-100).max(100))
    .refine((value) => Object.keys(value).length <= BIASES_MAX, `must have at most ${BIASES_MAX} entries`)
    .nullish(),
};

/** Checked before the rest: what is too deep is walked by nothing else. */
const request = <S extends z.ZodType>(schema: S) =>
  Json.pipe(schema as unknown as z.ZodType<z.output<S>, NonNullable<unknown> | null>);

export const ChatRequest = request(
  z.looseObject({
    ...sampling,
    messages: z.array(Message).min(1).max(MESSAGES_MAX),
    max_completion_tokens: whole(1, TOKENS_MAX),
    logprobs: z.boolean().nullish(),
    top_logprobs: whole(0, 20),
    tools: z
      .array(z.looseObject({ type: z.string().min(1).max(64) }))
      .max(TOOLS_MAX)
      .nullish(),
    functions: z
      .array(z.looseObject({ name: z.string().min(1) }))
      .max(TOOLS_MAX)
      .nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    response_format: z.looseObject({ type: z.string().min(1).max(64) }).nullish(),
  }),
);

const TokenIds = z.array(z.number().int().min(0)).min(1);

export const TextRequest = request(
  z.looseObject({
    ...sampling,
    prompt: z.union([
      z.string(),
      z.array(z.string()).min(1).max(INPUTS_MAX),
      TokenIds,
      z.array(TokenIds).min(1).max(INPUTS_MAX),
    ]),
    suffix: z.string().nullish(),
    echo: z.boolean().nullish(),
    best_of: whole(1, CHOICES_MAX),
    logprobs: z.union([z.boolean(), z.number().int().min(0).max(20)]).nullish(),
  }),
);

export const EmbeddingRequest = request(
  z.looseObject({
    model: ModelName,
    input: z.union([
      z.string().min(1),
      z.array(z.string().min(1)).min(1).max(INPUTS_MAX),
      TokenIds,
      z.array(TokenIds).min(1).max(INPUTS_MAX),
    ]),
    dimensions: whole(1, 65_536),
  }),
);
