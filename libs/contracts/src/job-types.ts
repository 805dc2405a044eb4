import { z } from 'zod';
import { Base64 } from './base64.ts';
import { Json } from './json.ts';
import { ChatRequest, EmbeddingRequest, ModelName as Model, TextRequest } from './openai-requests.ts';

const text = (max: number) => z.string().min(1).max(max);

const ChatMessage = z.strictObject({
  role: z.enum(['system', 'user', 'assistant']),
  content: text(200_000),
});

const EmbeddedTexts = z.strictObject({
  model: Model,
  input: z.union([text(200_000), z.array(text(50_000)).min(1).max(512)]),
});
const WholeEmbedding = z.strictObject({ request: EmbeddingRequest });
/** By what is there, and not as a union: that could not say which field is wrong. */
const Embedding = z.record(z.string(), z.unknown()).transform((value, context) => {
  const parsed = (value.request === undefined ? EmbeddedTexts : WholeEmbedding).safeParse(value);
  if (parsed.success) return parsed.data;
  context.issues.push(...(parsed.error.issues as typeof context.issues));
  return z.NEVER;
});

/**
 * The registry of job types: what each takes as `parameters`. A new type is a new entry here, an executor in
 * clients/miner and nothing else. Text bounds of `llm_inference` and below stand below the 256 KB body limit. Those with a
 * `request` carry a whole request of OpenAI's API, as it was sent, up to the 4 MB that their routes take.
 */
export const JOB_TYPES = {
  chat_completion: z.strictObject({ request: ChatRequest }),
  text_completion: z.strictObject({ request: TextRequest }),
  llm_inference: z
    .strictObject({
      model: Model,
      prompt: text(200_000).optional(),
      messages: z.array(ChatMessage).min(1).max(200).optional(),
      max_tokens: z.number().int().min(1).max(131_072).optional(),
      temperature: z.number().min(0).max(2).optional(),
      seed: z.number().int().optional(),
    })
    .refine((value) => (value.prompt === undefined) !== (value.messages === undefined), {
      message: 'needs either prompt or messages, not both',
    }),
  embedding: Embedding,
  image_generation: z.strictObject({
    model: Model.optional(),
    prompt: text(10_000),
    negative_prompt: text(10_000).optional(),
    width: z.number().int().min(64).max(4096).optional(),
    height: z.number().int().min(64).max(4096).optional(),
    steps: z.number().int().min(1).max(200).optional(),
    seed: z.number().int().optional(),
  }),
  ocr: z.strictObject({
    image_base64: Base64(8, 250_000),
    language: z
      .string()
      .regex(/^[a-z]{3}$/, 'must be a three-letter code such as eng')
      .default('eng'),
  }),
  language_detection: z.strictObject({ text: text(100_000) }),
  custom: z.strictObject({
    image: text(300).optional(),
    command: z.array(z.string().max(10_000)).min(1).max(100).optional(),
    input: Json.optional(),
  }),
} as const;

export type JobType = keyof typeof JOB_TYPES;
export const JOB_TYPE_NAMES = Object.keys(JOB_TYPES) as [JobType, ...JobType[]];
export const JobTypeName = z.enum(JOB_TYPE_NAMES);
export const isJobType = (name: string): name is JobType => Object.hasOwn(JOB_TYPES, name);

/** The model that a job asks for, by which it is matched; null when it names none. */
export const modelOfJob = (parameters: Readonly<Record<string, unknown>>): string | null => {
  const asked = (parameters.request ?? parameters) as Record<string, unknown>;
  return typeof asked.model === 'string' ? asked.model : null;
};
