import { isRecord } from '@aitbc/contracts';
import type { Asked } from './asked.ts';

// What miners report, which are strangers, read as answers of a model server.

export type Fields = Record<string, unknown>;

const listOf = (value: unknown): Fields[] | null =>
  Array.isArray(value) && value.length > 0 && value.every(isRecord) ? value : null;

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
