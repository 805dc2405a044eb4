import { isRecord, JOB_TYPES } from '@aitbc/contracts';

// What miners that know nothing of whole requests can do all the same: a chat of texts as `llm_inference`, and texts as vectors.

type Fields = Readonly<Record<string, unknown>>;

const CARRIED = new Set(['model', 'messages', 'max_tokens', 'max_completion_tokens', 'temperature', 'seed']);
/** What clients send unasked, and that asks for nothing. A Map: a request may name a field `constructor`. */
const MEANS_NOTHING = new Map<string, (value: unknown) => boolean>([
  ['top_p', (value) => value === 1],
  ['n', (value) => value === 1],
  ['presence_penalty', (value) => value === 0],
  ['frequency_penalty', (value) => value === 0],
  ['logprobs', (value) => value === false],
  ['parallel_tool_calls', () => true],
  ['tools', (value) => Array.isArray(value) && value.length === 0],
  ['tool_choice', (value) => value === 'none'],
  ['response_format', (value) => isRecord(value) && value.type === 'text'],
  ['stop', (value) => Array.isArray(value) && value.length === 0],
]);

const textOf = (content: unknown): string | null => {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return null;
  const texts = content.map((part: unknown) =>
    isRecord(part) && part.type === 'text' && typeof part.text === 'string' ? part.text : null,
  );
  return texts.includes(null) ? null : texts.join('\n');
};

/** @returns the chat as parameters of `llm_inference`; null when something of it would be lost. */
export const asPlainChat = (request: Fields): Record<string, unknown> | null => {
  for (const [name, value] of Object.entries(request)) {
    if (CARRIED.has(name) || value === null || value === undefined) continue;
    if (MEANS_NOTHING.get(name)?.(value) !== true) return null;
  }
  if (!Array.isArray(request.messages)) return null;
  const messages: { role: unknown; content: string }[] = [];
  for (const message of request.messages as unknown[]) {
    if (!isRecord(message)) return null;
    const content = textOf(message.content);
    if (content === null || message.tool_calls !== undefined) return null;
    messages.push({ role: message.role === 'developer' ? 'system' : message.role, content });
  }
  const parsed = JOB_TYPES.llm_inference.safeParse({
    model: request.model,
    messages,
    max_tokens: request.max_completion_tokens ?? request.max_tokens ?? undefined,
    temperature: request.temperature ?? undefined,
    seed: request.seed ?? undefined,
  });
  return parsed.success ? parsed.data : null;
};

/** @returns texts alone as parameters that every miner for embeddings takes; null when there is more to them. */
export const asPlainEmbedding = (request: Fields): Record<string, unknown> | null => {
  const parsed = JOB_TYPES.embedding.safeParse(request);
  return parsed.success ? (parsed.data as Record<string, unknown>) : null;
};
