import { isRecord } from '../record.ts';
import { createAssembly } from './assembly.ts';
import {
  backendUnavailable,
  type Executor,
  invalidInput,
  type Parameters,
  type RunContext,
  requiredText,
} from './executor.ts';
import { type OpenAiServer, offerLanguageModels } from './openai-server.ts';
import { readPieces } from './openai-stream.ts';
import { speedOf } from './speed.ts';

/** What a bar shows when the request names no bound. */
const TOKENS_GUESSED = 2_048;

/** The body of a request to a model server that a job carries. */
export const readRequest = (parameters: Parameters): Record<string, unknown> & { model: string } => {
  const { request } = parameters;
  if (!isRecord(request)) throw invalidInput('request must be an object');
  return { ...request, model: requiredText(request, 'model', 200) };
};

const boundOf = (request: Record<string, unknown>): number => {
  const bound = request.max_completion_tokens ?? request.max_tokens;
  return typeof bound === 'number' && bound > 0 ? bound : TOKENS_GUESSED;
};

/**
 * A whole request of OpenAI's API, posted as it is. Always as a stream, whoever waits: so that the server notices when nobody does
 * any more, and the answer is passed on while it is made.
 */
const createCompletion = (
  server: OpenAiServer,
  type: 'chat_completion' | 'text_completion',
  path: '/chat/completions' | '/completions',
): Executor => ({
  type,
  probe: (signal) => offerLanguageModels(server, path, signal),
  async run(parameters, { signal, progress, output, measured }: RunContext) {
    const request = readRequest(parameters);
    const tokensMax = boundOf(request);
    const options = isRecord(request.stream_options) ? request.stream_options : {};
    const body = { ...request, stream: true, stream_options: { ...options, include_usage: true } };
    const assembly = createAssembly(type === 'chat_completion' ? 'chat' : 'text');
    const speed = speedOf();
    const reply = await server.post(path, body, signal);
    const isDone = await readPieces(reply, signal, (piece) => {
      const passed = assembly.add(piece);
      if (assembly.tokens() > 0) speed.began();
      output(passed);
      progress(Math.min(0.99, assembly.tokens() / tokensMax));
    });
    // Half an answer is not an answer: the stream has to have said that it is over.
    if (assembly.isEmpty() || (!isDone && !assembly.isFinished()))
      throw backendUnavailable('the model server broke off before the end of the answer');
    const counted = assembly.usage()?.completion_tokens;
    measured(speed.of(typeof counted === 'number' ? counted : assembly.tokens()));
    return assembly.response();
  },
});

export const createChatCompletion = (server: OpenAiServer): Executor =>
  createCompletion(server, 'chat_completion', '/chat/completions');
export const createTextCompletion = (server: OpenAiServer): Executor =>
  createCompletion(server, 'text_completion', '/completions');
