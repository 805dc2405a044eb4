import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a chat answer goes: the pieces of the stream, and what happens after the last. */
interface Script {
  pieces: string[];
  /** `cut` drops the connection before the end was said; `hold` never ends it. */
  end: 'stop' | 'cut' | 'hold';
  /** Answers this instead of a stream. */
  error?: { status: number; message: string };
  /** Answers the whole text at once, as servers do that do not stream. */
  whole?: boolean;
}

/** A server with the OpenAI HTTP API for tests: it says what the script says, and remembers what it was asked. */
export const startOpenAiApi = async (models: string[], embeddingModels: string[] = []) => {
  const script: Script = { pieces: ['Hello', ', ', 'world'], end: 'stop' };
  const seen = { chats: [] as Record<string, unknown>[], embeddings: 0, authorization: '', closedEarly: 0 };
  const list = [...models];
  let listError = 0;

  const answer = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };

  const chat = (body: Record<string, unknown>, response: ServerResponse) => {
    seen.chats.push(body);
    const model = String(body.model);
    if (!list.includes(model))
      return answer(response, 404, { error: { message: `model "${model}" not found` } });
    if (script.error !== undefined) {
      return answer(response, script.error.status, { error: { message: script.error.message } });
    }
    const usage = {
      prompt_tokens: 3,
      completion_tokens: script.pieces.length,
      total_tokens: 3 + script.pieces.length,
    };
    if (script.whole === true) {
      const message = { role: 'assistant', content: script.pieces.join('') };
      return answer(response, 200, { model, choices: [{ index: 0, message, finish_reason: 'stop' }], usage });
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.on('close', () => {
      if (!response.writableFinished) seen.closedEarly += 1;
    });
    const say = (data: unknown): void => void response.write(`data: ${JSON.stringify(data)}\n\n`);
    for (const content of script.pieces)
      say({ model, choices: [{ index: 0, delta: { content }, finish_reason: null }] });
    if (script.end === 'hold') return;
    if (script.end === 'cut') {
      // After the pieces have left, so that the reader sees a broken stream and not a refused one.
      return void response.write(': \n\n', () => response.destroy());
    }
    say({ model, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    say({ model, choices: [], usage });
    response.end('data: [DONE]\n\n');
  };

  const embeddings = (body: Record<string, unknown>, response: ServerResponse) => {
    seen.embeddings += 1;
    const model = String(body.model);
    if (!embeddingModels.includes(model)) {
      return answer(response, 400, { error: { message: `${model} does not support embeddings` } });
    }
    const input = Array.isArray(body.input) ? body.input : [body.input];
    // Out of order on purpose: `index` is what counts.
    const data = input
      .map((text, index) => ({ index, embedding: [String(text).length, 0.1234567890123, -1] }))
      .reverse();
    answer(response, 200, {
      model,
      data,
      usage: { prompt_tokens: input.length, total_tokens: input.length },
    });
  };

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    seen.authorization = request.headers.authorization ?? '';
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    if (request.url === '/v1/models') {
      if (listError > 0) return answer(response, listError, { error: 'for a test' });
      const known = [...list, ...embeddingModels];
      return answer(response, 200, { object: 'list', data: known.map((id) => ({ id, object: 'model' })) });
    }
    const body = JSON.parse(text) as Record<string, unknown>;
    if (request.url === '/v1/chat/completions') return chat(body, response);
    if (request.url === '/v1/embeddings') return embeddings(body, response);
    answer(response, 404, {});
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    script,
    seen,
    /** Models can be pulled while the agent runs. */
    models: list,
    failList(status: number): void {
      listError = status;
    },
    close(): Promise<void> {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
};
export type OpenAiApi = Awaited<ReturnType<typeof startOpenAiApi>>;
