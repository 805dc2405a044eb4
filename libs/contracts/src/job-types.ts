import { z } from 'zod';
import { Base64 } from './base64.ts';
import { Json } from './json.ts';
import { Text } from './text.ts';

const text = (max: number) => z.string().min(1).max(max);
const Model = Text(1, 200).meta({ example: 'llama3.2:1b' });

const ChatMessage = z.strictObject({
  role: z.enum(['system', 'user', 'assistant']),
  content: text(200_000),
});

/**
 * The registry of job types: what each takes as `parameters`. A new type is a new entry here, an executor in
 * clients/miner and nothing else. Text bounds stand below the 256 KB body limit.
 */
export const JOB_TYPES = {
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
  embedding: z.strictObject({
    model: Model,
    input: z.union([text(200_000), z.array(text(50_000)).min(1).max(512)]),
  }),
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
