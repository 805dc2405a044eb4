import type { Reply } from '../http-request.ts';
import { isRecord } from '../record.ts';
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
import { type OpenAiServer, offerLanguageModels } from './openai-server.ts';
import { readPieces } from './openai-stream.ts';
import { type Speed, speedOf } from './speed.ts';

/** The bound on a prompt in the contract's registry of job types. */
const PROMPT_MAX = 200_000;
const MESSAGES_MAX = 200;
/** When the client names no bound: some servers write until the context is full, and a job must end. */
const MAX_TOKENS_DEFAULT = 2_048;
const MAX_TOKENS_MAX = 131_072;
/** Far above 131,072 tokens of text, below the 4 MB of a result: a server that never stops is cut off here. */
const TEXT_MAX = 2_000_000;
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

const readAnswer = async (
  reply: Reply,
  requestedModel: string,
  maxTokens: number,
  speed: Speed,
  { signal, progress, output, measured }: RunContext,
): Promise<LlmResult> => {
  let model = requestedModel;
  let text = '';
  let reasoning = '';
  let tokens = 0;
  let finishReason: string | null = null;
  let usage: Record<string, unknown> | null = null;
  let ended = false;

  const take = (body: Record<string, unknown>): void => {
    if (typeof body.model === 'string' && body.model !== '') model = body.model;
    if (isRecord(body.usage)) usage = body.usage;
    const choice = readChoice(body);
    text += choice.text;
    reasoning += choice.reasoning;
    // Thinking spends tokens before the first word of the answer: progress counts it.
    if (choice.text !== '' || choice.reasoning !== '') {
      tokens += 1;
      speed.began();
      output({
        ...(choice.text === '' ? {} : { text: choice.text }),
        ...(choice.reasoning === '' ? {} : { reasoning: choice.reasoning }),
      });
    }
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

  if (await readPieces(reply, signal, take)) ended = true;
  // Half an answer is not an answer: the stream has to have said that it is over.
  if (!ended) throw backendUnavailable('the model server broke off before the end of the answer');
  if (text.trim() === '' && reasoning.trim() === '') {
    const message = `the model wrote nothing (finish reason ${finishReason ?? 'not said'})`;
    throw new JobFailure('EMPTY_ANSWER', message, { retryable: true });
  }
  const counted = (usage as Record<string, unknown> | null)?.completion_tokens;
  measured(speed.of(typeof counted === 'number' ? counted : tokens));
  return { model, text, ...(reasoning === '' ? {} : { reasoning }), finish_reason: finishReason, usage };
};

export const createLlmInference = (server: OpenAiServer): Executor => ({
  type: 'llm_inference',
  probe: (signal) => offerLanguageModels(server, '/chat/completions', signal),
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
    const speed = speedOf();
    const reply = await server.post('/chat/completions', request, context.signal);
    return readAnswer(reply, model, maxTokens, speed, context);
  },
});
