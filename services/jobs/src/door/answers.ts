import { fromMinor, isRecord } from '@aitbc/contracts';
import { assertContent } from '../commands/wipe.ts';
import { receiptOf } from '../store/receipts.ts';
import type { JobRow } from '../tables.ts';
import type { Work } from '../work.ts';
import type { Asked, Kind } from './asked.ts';

export type Fields = Record<string, unknown>;

const listOf = (value: unknown): Fields[] | null =>
  Array.isArray(value) && value.length > 0 && value.every(isRecord) ? value : null;

/** What a job's answer says of it. */
export interface OfJob {
  readonly job_id: string;
  readonly receipt_id: string;
  readonly miner_id: string | null;
  readonly price: number;
}

const PREFIX = { chat: 'chatcmpl', completion: 'cmpl', embedding: 'embd' } as const;
const OBJECT = { chat: 'chat.completion', completion: 'text_completion' } as const;

/** By which the job is found where headers cannot be seen. */
export const answerId = (kind: Kind, jobId: string): string => `${PREFIX[kind]}-${jobId}`;

export const createdSeconds = (job: Pick<JobRow, 'created_at_ms'>): number =>
  Math.floor(job.created_at_ms / 1_000);

/** As the model server counted. When it did not there is none: zeros would be a lie. */
const usageOf = (result: Fields): { usage?: Fields } =>
  isRecord(result.usage) ? { usage: result.usage } : {};

const chatChoice = (choice: Fields, at: number): Fields | null => {
  const { message } = choice;
  if (!isRecord(message)) return null;
  const calls = Array.isArray(message.tool_calls) && message.tool_calls.length > 0;
  const reason = typeof choice.finish_reason === 'string' ? choice.finish_reason : 'stop';
  return {
    ...choice,
    index: typeof choice.index === 'number' ? choice.index : at,
    message: { content: null, ...message, role: 'assistant' },
    logprobs: choice.logprobs ?? null,
    // Agents wait for ever on a call that "stopped".
    finish_reason: calls && reason === 'stop' ? 'tool_calls' : reason,
  };
};

const textChoice = (choice: Fields, at: number): Fields | null =>
  typeof choice.text !== 'string'
    ? null
    : {
        ...choice,
        index: typeof choice.index === 'number' ? choice.index : at,
        logprobs: choice.logprobs ?? null,
        finish_reason: typeof choice.finish_reason === 'string' ? choice.finish_reason : 'stop',
      };

/** The result of a plain `llm_inference`. */
const plainChoice = ({ text, reasoning, finish_reason: reason }: Fields): Fields => ({
  index: 0,
  message: {
    role: 'assistant',
    content: text,
    ...(typeof reasoning === 'string' && reasoning !== '' ? { reasoning_content: reasoning } : {}),
  },
  logprobs: null,
  finish_reason: typeof reason === 'string' ? reason : 'stop',
});

/** @returns what a model wrote, in OpenAI's form; null when a stranger's result holds nothing of the kind. */
export const readWritten = (kind: 'chat' | 'completion', result: unknown): Fields | null => {
  if (!isRecord(result)) return null;
  if (kind === 'chat' && typeof result.text === 'string')
    return { choices: [plainChoice(result)], ...usageOf(result) };
  const given = listOf(result.choices);
  const choices = given?.map(kind === 'chat' ? chatChoice : textChoice);
  if (choices === undefined || choices.includes(null)) return null;
  const { system_fingerprint: fingerprint } = result;
  return {
    choices,
    ...usageOf(result),
    ...(typeof fingerprint === 'string' ? { system_fingerprint: fingerprint } : {}),
  };
};

const isVector = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((number) => typeof number === 'number');

const toBase64 = (vector: readonly number[]): string => {
  const bytes = Buffer.alloc(vector.length * 4);
  for (const [at, value] of vector.entries()) bytes.writeFloatLE(value, at * 4);
  return bytes.toString('base64');
};

/** @returns vectors in the order of the input, exactly as they were asked for: some clients read lists as bytes. */
export const readVectors = (result: unknown, encoding: Asked['encoding']): Fields | null => {
  if (!isRecord(result)) return null;
  const given: Fields[] = Array.isArray(result.embeddings)
    ? result.embeddings.map((embedding: unknown) => ({ embedding }))
    : (listOf(result.data) ?? []);
  const vectors: number[][] = [];
  for (const [at, { index = at, embedding }] of given.entries())
    if (typeof index === 'number' && isVector(embedding)) vectors[index] = embedding;
  if (given.length === 0 || vectors.length !== given.length || vectors.includes(undefined as never))
    return null;
  return {
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: encoding === 'base64' ? toBase64(vector) : vector,
    })),
    ...usageOf(result),
  };
};

/** What a completed job is worth: its result and its receipt, which was signed with it. */
export const readEnd = async (work: Work, job: JobRow): Promise<{ result: unknown; of: OfJob } | null> => {
  await assertContent(work, job);
  const receipt = await receiptOf(work.store.read, job.seq);
  if (receipt === undefined) return null;
  return {
    result: JSON.parse(receipt.result),
    of: {
      job_id: job.id,
      receipt_id: receipt.id,
      miner_id: job.miner_id,
      price: fromMinor(job.lease_price_minor),
    },
  };
};

/** A whole answer. @returns null when the result is none. */
export const wholeAnswer = (asked: Asked, job: JobRow, result: unknown, of: OfJob): Fields | null => {
  const { kind, model } = asked;
  if (kind === 'embedding') {
    const vectors = readVectors(result, asked.encoding);
    return vectors === null ? null : { object: 'list', model, ...vectors, aitbc: of };
  }
  const written = readWritten(kind, result);
  if (written === null) return null;
  return {
    id: answerId(kind, job.id),
    object: OBJECT[kind],
    created: createdSeconds(job),
    model,
    ...written,
    aitbc: of,
  };
};
