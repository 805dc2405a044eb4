import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An answer in place of a result: a body in the API's error shape, or one that something else wrote. */
interface Refusal {
  readonly status: number;
  readonly message?: string;
  readonly text?: string;
  readonly contentType?: string;
}

/** How the server behaves. What is not named is as on a good day. */
interface Script {
  pieces: string[];
  /** Pieces of thinking, before those of the answer. */
  reasoning: string[];
  finish: 'stop' | 'length';
  /** `cut` drops the connection before the end was said; `hold` never ends it; `silent` never begins. */
  end: 'stop' | 'cut' | 'hold' | 'silent';
  /** Before the first byte of an answer. */
  firstByteMs: number;
  /** What a stream calls itself. */
  contentType: string;
  /** Answers the whole text at once, as servers do that do not stream. */
  whole?: boolean;
  /** Answers this instead of work; a function looks at the request first. */
  error?: Refusal | ((body: Record<string, unknown>) => Refusal | undefined) | undefined;
  /** Before the answer to `/models`. */
  listMs: number;
  /** One request after the other, `/models` too. */
  oneThread?: boolean;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A server with the OpenAI HTTP API for tests: it does what the script says, and remembers what it was asked. */
export const startOpenAiApi = async (models: string[], embeddingModels: string[] = []) => {
  const script: Script = {
    pieces: ['Hello', ', ', 'world'],
    reasoning: [],
    finish: 'stop',
    end: 'stop',
    firstByteMs: 0,
    contentType: 'text/event-stream',
    listMs: 0,
  };
  const seen = {
    chats: [] as Record<string, unknown>[],
    /** The model of each request for an embedding. */
    embedded: [] as string[],
    lists: 0,
    authorization: '',
    closedEarly: 0,
  };
  const list = [...models];
  let listError = 0;
  let turn = Promise.resolve();

  const answer = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  const refuse = (response: ServerResponse, { status, message, text, contentType }: Refusal): void => {
    if (text === undefined) return void answer(response, status, { error: { message } });
    response.writeHead(status, { 'content-type': contentType ?? 'text/plain' });
    response.end(text);
  };
  const refusalOf = (body: Record<string, unknown>): Refusal | undefined => {
    const model = String(body.model);
    const { error } = script;
    const scripted = typeof error === 'function' ? error(body) : error;
    if (scripted !== undefined) return scripted;
    const isKnown = list.includes(model) || embeddingModels.includes(model);
    return isKnown ? undefined : { status: 404, message: `model "${model}" not found` };
  };

  const chat = async (body: Record<string, unknown>, response: ServerResponse) => {
    seen.chats.push(body);
    const model = String(body.model);
    response.on('close', () => {
      if (!response.writableFinished) seen.closedEarly += 1;
    });
    if (script.end === 'silent') return;
    if (script.firstByteMs > 0) await sleep(script.firstByteMs);
    const refusal = refusalOf(body);
    if (refusal !== undefined) return refuse(response, refusal);
    const written = script.reasoning.length + script.pieces.length;
    const usage = { prompt_tokens: 3, completion_tokens: written, total_tokens: 3 + written };
    if (script.whole === true) {
      const reasoning = script.reasoning.join('');
      const message = {
        role: 'assistant',
        content: script.pieces.join(''),
        ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
      };
      const choices = [{ index: 0, message, finish_reason: script.finish }];
      return answer(response, 200, { model, choices, usage });
    }
    response.writeHead(200, { 'content-type': script.contentType });
    const say = (data: unknown): void => void response.write(`data: ${JSON.stringify(data)}\n\n`);
    const deltas = [
      ...script.reasoning.map((reasoning_content) => ({ reasoning_content })),
      ...script.pieces.map((content) => ({ content })),
    ];
    for (const delta of deltas) say({ model, choices: [{ index: 0, delta, finish_reason: null }] });
    if (script.end === 'hold') return;
    if (script.end === 'cut') {
      // After the pieces have left, so that the reader sees a broken stream and not a refused one.
      return void response.write(': \n\n', () => response.destroy());
    }
    say({ model, choices: [{ index: 0, delta: {}, finish_reason: script.finish }] });
    say({ model, choices: [], usage });
    response.end('data: [DONE]\n\n');
  };

  const embeddings = (body: Record<string, unknown>, response: ServerResponse) => {
    const model = String(body.model);
    seen.embedded.push(model);
    const refusal = refusalOf(body);
    if (refusal !== undefined) return refuse(response, refusal);
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
      seen.lists += 1;
      if (script.listMs > 0) await sleep(script.listMs);
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
    const ended = new Promise<void>((resolve) => response.on('close', () => resolve()));
    const begin = script.oneThread === true ? turn : Promise.resolve();
    turn = begin.then(() => ended);
    void begin.then(() => handle(request, response)).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/v1`,
    script,
    seen,
    /** Models can be pulled and removed while the agent runs. */
    models: list,
    embeddingModels,
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
