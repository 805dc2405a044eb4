import { Agent, request } from 'node:http';

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
 * Asks through the OpenAI door and passes on each piece of the answer as it comes.
 * @throws when it did not come whole
 */
export const streamChat = (
  url: string,
  key: string,
  ask: { model: string; content: string },
  onText: (text: string) => void,
): Promise<Chat> =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify({
      model: ask.model,
      messages: [{ role: 'user', content: ask.content }],
      max_tokens: 120,
      stream: true,
      stream_options: { include_usage: true },
    });
    const at = performance.now();
    const sent = request(
      `${url}/v1/chat/completions`,
      {
        method: 'POST',
        agent: new Agent(),
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      },
      (response) => {
        let rest = '';
        let firstTokenMs: number | undefined;
        let tokens: number | undefined;
        let isDone = false;
        const take = (data: string): void => {
          if (data === '[DONE]') {
            isDone = true;
            return;
          }
          const chunk = JSON.parse(data);
          if (chunk.error !== undefined) throw new Error(chunk.error.message);
          tokens = chunk.usage?.completion_tokens ?? tokens;
          const delta = chunk.choices?.[0]?.delta ?? {};
          const text = delta.content ?? '';
          if (text === '') return;
          firstTokenMs ??= performance.now() - at;
          onText(text);
        };
        response.setEncoding('utf8').on('data', (piece: string) => {
          const lines = (rest + piece).split('\n');
          rest = lines.pop() ?? '';
          try {
            for (const line of lines) if (line.startsWith('data: ')) take(line.slice(6));
          } catch (error) {
            reject(error);
            sent.destroy();
          }
        });
        response.on('end', () => {
          const jobId = String(response.headers['x-aitbc-job-id']);
          if (isDone) resolve({ jobId, firstTokenMs: firstTokenMs ?? performance.now() - at, tokens });
          else reject(new Error(`the chat answered ${response.statusCode}: ${rest.slice(0, 300)}`));
        });
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
