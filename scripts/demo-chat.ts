import OpenAI from 'openai';

/** Where model servers listen when nobody says otherwise. */
const USUAL = [
  ['Ollama', 'http://127.0.0.1:11434/v1'],
  ['llama.cpp', 'http://127.0.0.1:8080/v1'],
  ['vLLM', 'http://127.0.0.1:8000/v1'],
  ['LM Studio', 'http://127.0.0.1:1234/v1'],
] as const;
const LOOK_MS = 2_000;

export const HOW_TO_GET_ONE =
  'No model server was found (Ollama, llama.cpp, vLLM, LM Studio). With one, this ends with a streamed chat:\n' +
  '  curl -fsSL https://ollama.com/install.sh | sh && ollama pull llama3.2:1b && npm run demo\n' +
  '  or any other with the OpenAI API: AITBC_LLM_URL=http://host:port/v1 npm run demo';

export interface ModelServer {
  readonly name: string;
  readonly url: string;
}

/** @returns one that is there and has a model, if any. */
export const findModelServer = async (given: string | undefined): Promise<ModelServer | undefined> => {
  const candidates = given === undefined ? USUAL : ([['AITBC_LLM_URL', given]] as const);
  for (const [name, url] of candidates) {
    try {
      const answer = await fetch(`${url}/models`, { signal: AbortSignal.timeout(LOOK_MS) });
      const { data } = (await answer.json()) as { data?: unknown[] };
      if (answer.ok && Array.isArray(data) && data.length > 0) return { name, url };
    } catch {
      // not there, or something else
    }
  }
  return undefined;
};

/** What a streamed chat was. */
export interface Chat {
  readonly jobId: string;
  readonly firstTokenMs: number;
  readonly tokens: number | undefined;
}

/**
 * Asks through the OpenAI door, with OpenAI's own client, and passes on each piece of the answer as it comes.
 * @throws when it did not come whole
 */
export const streamChat = async (
  url: string,
  key: string,
  ask: { model: string; content: string },
  onText: (text: string) => void,
): Promise<Chat> => {
  const at = performance.now();
  const { data: chunks, response } = await new OpenAI({ baseURL: `${url}/v1`, apiKey: key }).chat.completions
    .create({
      model: ask.model,
      messages: [{ role: 'user', content: ask.content }],
      max_tokens: 120,
      stream: true,
      stream_options: { include_usage: true },
    })
    .withResponse();
  let firstTokenMs: number | undefined;
  let tokens: number | undefined;
  let isFinished = false;
  for await (const { choices, usage } of chunks) {
    tokens = usage?.completion_tokens ?? tokens;
    const [choice] = choices;
    isFinished ||= typeof choice?.finish_reason === 'string';
    const text = choice?.delta.content ?? '';
    if (text === '') continue;
    firstTokenMs ??= performance.now() - at;
    onText(text);
  }
  if (!isFinished) throw new Error('the chat broke off');
  const jobId = String(response.headers.get('x-aitbc-job-id'));
  return { jobId, firstTokenMs: firstTokenMs ?? performance.now() - at, tokens };
};
