import { networkReason } from '../coordinator.ts';
import {
  backendUnavailable,
  type Executor,
  invalidInput,
  JobFailure,
  optionalNumber,
  type Parameters,
  type RunContext,
  requiredText,
} from './executor.ts';
import { type Reply, readText } from './http-request.ts';
import { cleanWords, eventData, isRecord, type OpenAiServer } from './openai-server.ts';

/** The bound on a prompt in the contract's registry of job types. */
const PROMPT_MAX = 200_000;
const MESSAGES_MAX = 200;
/** When the client names no bound: some servers write until the context is full, and a job must end. */
const MAX_TOKENS_DEFAULT = 2_048;
const MAX_TOKENS_MAX = 131_072;
/** Far above 131,072 tokens of text, below the 4 MB of a result: a server that never stops is cut off here. */
const TEXT_MAX = 2_000_000;
/** A whole answer in one piece: the text as JSON may write it, and what stands around it. */
const ANSWER_MAX_BYTES = 16 * 1024 * 1024;
/** How an event stream begins, whatever its content type says. */
const STREAM_START_LENGTH = 8;
const STREAM_START = /^\s*(data|event|id|retry|):/;

export interface LlmResult {
  readonly model: string;
  readonly text: string;
  /** What the model thought before its answer; all there is when it got no further. */
  readonly reasoning?: string;
  readonly finish_reason: string | null;
  /** As the server counted; null when it did not say. */
  readonly usage: Record<string, unknown> | null;
}

const readMessages = (parameters: Parameters): { role: string; content: string }[] => {
  if (parameters.messages === undefined) {
    return [{ role: 'user', content: requiredText(parameters, 'prompt', PROMPT_MAX) }];
  }
  const { messages } = parameters;
  if (!Array.isArray(messages) || messages.length === 0 || messages.length > MESSAGES_MAX) {
    throw invalidInput(`messages must be a list of 1 to ${MESSAGES_MAX}`);
  }
  return messages.map((message: unknown) => {
    if (!isRecord(message)) throw invalidInput('each message must have role and content');
    return { role: requiredText(message, 'role', 32), content: requiredText(message, 'content', PROMPT_MAX) };
  });
};

/** @returns what one `choices[0]` adds, whether of a stream's chunk (`delta`) or of a whole answer (`message`). */
const readChoice = (body: Record<string, unknown>) => {
  const choice: unknown = Array.isArray(body.choices) ? body.choices[0] : undefined;
  if (!isRecord(choice)) return { text: '', reasoning: '', finishReason: null };
  const part = isRecord(choice.delta) ? choice.delta : isRecord(choice.message) ? choice.message : {};
  const thought = part.reasoning_content ?? part.reasoning;
  return {
    text: typeof part.content === 'string' ? part.content : '',
    reasoning: typeof thought === 'string' ? thought : '',
    finishReason: typeof choice.finish_reason === 'string' ? choice.finish_reason : null,
  };
};

const parseChunk = (data: string): Record<string, unknown> => {
  try {
    const body: unknown = JSON.parse(data);
    if (isRecord(body)) return body;
  } catch {
    // falls through: the same failure as a chunk that is not an object
  }
  throw new JobFailure('BACKEND_ERROR', 'the model server sent something unreadable', { retryable: true });
};

/** A piece put back in front of the rest that it was read from. */
async function* joined(first: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

const readAnswer = async (
  reply: Reply,
  requestedModel: string,
  maxTokens: number,
  { signal, progress }: RunContext,
): Promise<LlmResult> => {
  let model = requestedModel;
  let text = '';
  let reasoning = '';
  let tokens = 0;
  let finishReason: string | null = null;
  let usage: Record<string, unknown> | null = null;
  let ended = false;

  const take = (body: Record<string, unknown>): void => {
    if (body.error !== undefined) {
      const detail = isRecord(body.error) ? body.error.message : body.error;
      throw new JobFailure('BACKEND_ERROR', 'the model server failed while writing', {
        retryable: true,
        detail: typeof detail === 'string' ? cleanWords(detail) : undefined,
      });
    }
    if (typeof body.model === 'string' && body.model !== '') model = body.model;
    if (isRecord(body.usage)) usage = body.usage;
    const choice = readChoice(body);
    text += choice.text;
    reasoning += choice.reasoning;
    // Thinking spends tokens before the first word of the answer: progress counts it.
    if (choice.text !== '' || choice.reasoning !== '') tokens += 1;
    if (choice.finishReason !== null) {
      finishReason = choice.finishReason;
      ended = true;
    }
    if (text.length + reasoning.length > TEXT_MAX) {
      throw new JobFailure('RESULT_TOO_LARGE', `the answer is longer than ${TEXT_MAX} characters`, {
        retryable: false,
      });
    }
    progress(Math.min(0.99, tokens / maxTokens));
  };

  try {
    const pieces = reply.body[Symbol.asyncIterator]();
    // By what it says and not by its content type: some servers stream as text/plain.
    let start = Buffer.alloc(0);
    for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
      start = Buffer.concat([start, next.value]);
      if (start.toString('utf8').trim().length >= STREAM_START_LENGTH) break;
    }
    const body = joined(start, pieces);
    if (STREAM_START.test(start.toString('utf8', 0, 64))) {
      for await (const data of eventData(body)) {
        if (data === '[DONE]') ended = true;
        else if (data !== '') take(parseChunk(data));
      }
    } else {
      take(parseChunk(await readText({ ...reply, body }, ANSWER_MAX_BYTES)));
    }
  } catch (error) {
    if (error instanceof JobFailure || signal.aborted) throw error;
    throw backendUnavailable(`the model server broke off (${networkReason(error)})`);
  } finally {
    reply.drop();
  }
  // Half an answer is not an answer: the stream has to have said that it is over.
  if (!ended) throw backendUnavailable('the model server broke off before the end of the answer');
  if (text.trim() === '' && reasoning.trim() === '') {
    const message = `the model wrote nothing (finish reason ${finishReason ?? 'not said'})`;
    throw new JobFailure('EMPTY_ANSWER', message, { retryable: true });
  }
  return { model, text, ...(reasoning === '' ? {} : { reasoning }), finish_reason: finishReason, usage };
};

export const createLlmInference = (server: OpenAiServer): Executor => ({
  type: 'llm_inference',
  async probe(signal) {
    const list = await server.listModels('/chat/completions', signal);
    if (!list.ok) return { offered: false, reason: `${list.reason} (start Ollama or pass --llm-url)` };
    const models = list.models.filter((model) => !server.isEmbeddingModel(model));
    if (models.length === 0) {
      const reason = `the server at ${server.url} has no language model yet (for instance: ollama pull llama3.2:1b)`;
      return { offered: false, reason };
    }
    return {
      offered: true,
      detail: `${server.url}, ${models.length} model${models.length === 1 ? '' : 's'}`,
      models,
    };
  },
  async run(parameters, context) {
    const model = requiredText(parameters, 'model', 200);
    const messages = readMessages(parameters);
    const maxTokens = optionalNumber(parameters, 'max_tokens', 1, MAX_TOKENS_MAX) ?? MAX_TOKENS_DEFAULT;
    const temperature = optionalNumber(parameters, 'temperature', 0, 2);
    const seed = optionalNumber(parameters, 'seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    const request = {
      model,
      messages,
      max_tokens: maxTokens,
      ...(temperature === undefined ? {} : { temperature }),
      ...(seed === undefined ? {} : { seed }),
      stream: true,
      stream_options: { include_usage: true },
    };
    const reply = await server.post('/chat/completions', request, context.signal);
    return readAnswer(reply, model, maxTokens, context);
  },
});
