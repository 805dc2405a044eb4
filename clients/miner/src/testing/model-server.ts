import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chunksOf, type Request, wholeOf, writtenOf } from './model-answers.ts';
import { embeddingsOf } from './model-vectors.ts';

/** An answer in place of a result: a body in the API's error shape, or one that something else wrote. */
interface Refusal {
  readonly status: number;
  readonly message?: string;
  readonly code?: string;
  readonly type?: string;
  readonly text?: string;
  readonly contentType?: string;
}

/** A tool that the model calls. `arguments` come in these pieces. */
export interface ToolCall {
  readonly id?: string;
  readonly name: string;
  readonly arguments: readonly string[];
}

/** How the server behaves. What is not named is as on a good day. */
export interface Script {
  pieces: readonly string[];
  /** Pieces of thinking, before those of the answer. */
  reasoning: readonly string[];
  /** In place of an answer, when the request brings tools and its last message is not what a tool said. */
  calls: readonly ToolCall[];
  finish: string;
  /**
   * How a stream ends. `cut` drops the connection before the end was said, `mute` ends the body in order without a word
   * of it, `error` says that the server failed; `hold` never ends it; `silent` never begins.
   */
  end: 'stop' | 'cut' | 'mute' | 'error' | 'hold' | 'silent';
  /** Before the first byte of an answer. */
  firstByteMs: number;
  /** Before each further chunk. */
  betweenMs: number;
  /** Stops before the chunk of this number until that. */
  pause: { readonly before: number; readonly until: Promise<unknown> } | undefined;
  /** Says `: still here` between chunks, as servers do that keep a connection from being closed. */
  comments: boolean;
  /** What a stream calls itself. */
  contentType: string;
  /** Answers the whole text at once, as servers do that do not stream. */
  whole: boolean;
  /** Counts what was read and written, in streams too when it is asked to. */
  countsUsage: boolean;
  /** Answers this instead of work; a function looks at the request first. */
  error: Refusal | ((body: Request) => Refusal | undefined) | undefined;
  /** More characters of prompt than this are refused as too long, in the words of vLLM. Told in `/models`. */
  contextLength: number | undefined;
  /** Before the answer to `/models`. */
  listMs: number;
  /** One request after the other, `/models` too. */
  oneThread: boolean;
}

const GOOD_DAY: Script = {
  pieces: ['Hello', ', ', 'world'],
  reasoning: [],
  calls: [],
  finish: 'stop',
  end: 'stop',
  firstByteMs: 0,
  betweenMs: 0,
  pause: undefined,
  comments: false,
  contentType: 'text/event-stream',
  whole: false,
  countsUsage: true,
  error: undefined,
  contextLength: undefined,
  listMs: 0,
  oneThread: false,
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const tooLong = (body: Request, length: number | undefined): Refusal | undefined => {
  const text = JSON.stringify(body.messages ?? body.prompt ?? body.input ?? '');
  if (length === undefined || text.length <= length) return undefined;
  const message = `This model's maximum context length is ${length} tokens. However, your request has ${text.length} input tokens. Please reduce the length of the input messages.`;
  return { status: 400, message, type: 'BadRequestError', code: 'context_length_exceeded' };
};

/**
 * A model server for tests: the OpenAI HTTP API on the wire as Ollama, vLLM and llama.cpp speak it (chat, completions,
 * embeddings, models, event streams). It does what the script says, and remembers what it was asked.
 * @param port 0 takes a free one.
 */
export const startModelServer = async (
  models: readonly string[],
  embeddingModels: readonly string[] = [],
  port = 0,
) => {
  const script: Script = { ...GOOD_DAY };
  const seen = {
    chats: [] as Request[],
    completions: [] as Request[],
    embeddings: [] as Request[],
    /** The model of each request for an embedding. */
    embedded: [] as string[],
    lists: 0,
    authorization: '',
    /** Requests for text whose caller went away before the end... */
    closedEarly: 0,
    /** ...and when the last of them did, by `performance.now()`. */
    closedEarlyAt: 0,
    /** Requests for text that are worked on now. */
    working: 0,
  };
  const list = [...models];
  const embedding = [...embeddingModels];
  let plan: (body: Request) => Partial<Script> | undefined = () => undefined;
  let listError = 0;
  let turn = Promise.resolve();
  let answers = 0;

  const answer = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  const refuse = (response: ServerResponse, refusal: Refusal): void => {
    const { status, message, text, contentType, code, type } = refusal;
    if (text === undefined) {
      const error = { message, type: type ?? 'invalid_request_error', param: null, code: code ?? null };
      return void answer(response, status, { error });
    }
    response.writeHead(status, { 'content-type': contentType ?? 'text/plain' });
    response.end(text);
  };
  const refusalOf = (body: Request, { error, contextLength }: Script): Refusal | undefined => {
    const scripted = typeof error === 'function' ? error(body) : error;
    if (scripted !== undefined) return scripted;
    if (!list.includes(body.model) && !embedding.includes(body.model))
      return { status: 404, message: `model "${body.model}" not found` };
    return tooLong(body, contextLength);
  };
  const scriptFor = (body: Request): Script => ({ ...script, ...plan(body) });

  const write = async (
    kind: 'chat' | 'completion',
    body: Request,
    response: ServerResponse,
    how: Script,
  ): Promise<void> => {
    seen.working += 1;
    response.on('close', () => {
      seen.working -= 1;
      if (response.writableFinished) return;
      seen.closedEarly += 1;
      seen.closedEarlyAt = performance.now();
    });
    if (how.end === 'silent') return;
    if (how.firstByteMs > 0) await sleep(how.firstByteMs);
    const refusal = refusalOf(body, how);
    if (refusal !== undefined) return refuse(response, refusal);
    answers += 1;
    const written = writtenOf(kind, body, how, answers);
    if (how.whole || body.stream !== true) return answer(response, 200, wholeOf(written));
    response.writeHead(200, { 'content-type': how.contentType, 'cache-control': 'no-cache' });
    const say = (data: unknown): void => {
      if (how.comments) response.write(': still here\n\n');
      response.write(`data: ${JSON.stringify(data)}\n\n`);
    };
    const { pieces, endings } = chunksOf(written);
    for (const [at, piece] of pieces.entries()) {
      if (at > 0 && how.betweenMs > 0) await sleep(how.betweenMs);
      if (at === how.pause?.before) await how.pause.until;
      if (response.destroyed) return;
      say(piece);
    }
    if (how.end === 'hold') return;
    if (how.end === 'cut') {
      // After the pieces have left, so that the reader sees a broken stream and not a refused one.
      return void response.write(': \n\n', () => response.destroy());
    }
    if (how.end === 'mute') return void response.end();
    if (how.end === 'error') {
      say({ error: { message: 'the card is out of memory', type: 'server_error', param: null, code: null } });
      return void response.end();
    }
    for (const ending of endings) say(ending);
    response.end('data: [DONE]\n\n');
  };

  const embeddings = (body: Request, response: ServerResponse, how: Script) => {
    seen.embeddings.push(body);
    seen.embedded.push(body.model);
    const refusal = refusalOf(body, how);
    if (refusal !== undefined) return refuse(response, refusal);
    if (!embedding.includes(body.model)) {
      return answer(response, 400, { error: { message: `${body.model} does not support embeddings` } });
    }
    answer(response, 200, embeddingsOf(body));
  };

  const entryOf = (id: string) => ({
    id,
    object: 'model',
    created: 1_700_000_000,
    owned_by: 'library',
    ...(script.contextLength === undefined ? {} : { max_model_len: script.contextLength }),
  });

  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    seen.authorization = request.headers.authorization ?? '';
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    if (request.url === '/v1/models') {
      seen.lists += 1;
      if (script.listMs > 0) await sleep(script.listMs);
      if (listError > 0) return answer(response, listError, { error: 'for a test' });
      return answer(response, 200, { object: 'list', data: [...list, ...embedding].map(entryOf) });
    }
    if (!request.url?.startsWith('/v1/') || text === '') return answer(response, 404, {});
    const body = JSON.parse(text) as Request;
    if (request.url === '/v1/chat/completions') {
      seen.chats.push(body);
      return write('chat', body, response, scriptFor(body));
    }
    if (request.url === '/v1/completions') {
      seen.completions.push(body);
      return write('completion', body, response, scriptFor(body));
    }
    if (request.url === '/v1/embeddings') return embeddings(body, response, scriptFor(body));
    answer(response, 404, {});
  };

  const server = createServer((request, response) => {
    const ended = new Promise<void>((resolve) => response.on('close', () => resolve()));
    const begin = script.oneThread ? turn : Promise.resolve();
    turn = begin.then(() => ended);
    void begin.then(() => handle(request, response)).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    script,
    seen,
    /** Models can be pulled and removed while the agent runs. */
    models: list,
    embeddingModels: embedding,
    /** What is different for single requests: a function looks at each, also while others are worked on. */
    plan(differences: (body: Request) => Partial<Script> | undefined): void {
      plan = differences;
    },
    failList(status: number): void {
      listError = status;
    },
    close(): Promise<void> {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
};
export type ModelServer = Awaited<ReturnType<typeof startModelServer>>;
