import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../testing/eventually.ts';
import { type ModelServer, startModelServer } from '../testing/model-server.ts';
import { QUIET } from '../testing/quiet.ts';
import { createEmbedding } from './embedding.ts';
import { JobFailure } from './executor.ts';
import { createLlmInference, type LlmResult } from './llm_inference.ts';
import { createOpenAiServer } from './openai-server.ts';

let api: ModelServer;
const { signal } = new AbortController();

const llm = () => createLlmInference(createOpenAiServer(api.url, 'sk-llm'));
const embedding = () => createEmbedding(createOpenAiServer(api.url, undefined));
const ask = (
  parameters: Record<string, unknown>,
  context = { signal, progress: (_: number) => {}, ...QUIET },
) => llm().run({ model: 'tiny', prompt: 'Hi', ...parameters }, context) as Promise<LlmResult>;
const failureOf = async (run: Promise<unknown>): Promise<JobFailure> => {
  const error: unknown = await run.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(JobFailure);
  return error as JobFailure;
};

beforeEach(async () => {
  api = await startModelServer(['tiny', 'large'], ['nomic-embed-text']);
});
afterEach(() => api.close());

describe('llm_inference', () => {
  it('is offered with the models the server lists, without those that only embed', async () => {
    expect(await llm().probe(signal)).toEqual({
      offered: true,
      detail: `${api.url}, 2 models`,
      models: ['large', 'tiny'],
    });
    expect(api.seen.authorization).toBe('Bearer sk-llm');
  });

  it('is not offered without a server, without a model, or with a server that is something else', async () => {
    api.failList(401);
    expect(await llm().probe(signal)).toMatchObject({
      offered: false,
      reason: expect.stringContaining('--llm-key'),
    });
    api.failList(404);
    expect(await llm().probe(signal)).toMatchObject({
      offered: false,
      reason: expect.stringContaining('answered 404'),
    });
    api.failList(0);
    api.models.length = 0;
    expect(await llm().probe(signal)).toMatchObject({
      offered: false,
      reason: expect.stringContaining('no language model'),
    });
    await api.close();
    expect(await llm().probe(signal)).toEqual({
      offered: false,
      reason: `no server at ${api.url} (start Ollama or pass --llm-url)`,
    });
  });

  it('streams the answer and reports progress by tokens', async () => {
    const seen: number[] = [];
    const result = await ask(
      { max_tokens: 6, temperature: 0, seed: 7 },
      { signal, progress: (value) => seen.push(value), ...QUIET },
    );
    expect(result).toEqual({
      model: 'tiny',
      text: 'Hello, world',
      finish_reason: 'stop',
      usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 },
    });
    expect(Math.max(...seen)).toBeCloseTo(0.5);
    expect(api.seen.chats[0]).toMatchObject({
      messages: [{ role: 'user', content: 'Hi' }],
      max_tokens: 6,
      temperature: 0,
      seed: 7,
    });
  });

  it('passes messages on, and bounds an answer that the client left open', async () => {
    const messages = [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'Hi' },
    ];
    await ask({ prompt: undefined, messages });
    expect(api.seen.chats[0]).toMatchObject({ messages, max_tokens: 2048 });
    expect(api.seen.chats[0]).not.toHaveProperty('temperature');
  });

  it('reads the answer of a server that does not stream', async () => {
    api.script.whole = true;
    expect(await ask({})).toMatchObject({ text: 'Hello, world', finish_reason: 'stop' });
  });

  it('never returns half an answer', async () => {
    api.script.end = 'cut';
    expect(await failureOf(ask({}))).toMatchObject({ code: 'BACKEND_UNAVAILABLE', retryable: true });
  });

  it('ends the request when the job is stopped', async () => {
    api.script.end = 'hold';
    const controller = new AbortController();
    const run = ask({}, { signal: controller.signal, progress: () => {}, ...QUIET });
    await eventually(() => expect(api.seen.chats).toHaveLength(1));
    controller.abort();
    await expect(run).rejects.toThrow();
    await eventually(() => expect(api.seen.closedEarly).toBe(1));
  });

  it('returns the thoughts of a model that got no further', async () => {
    Object.assign(api.script, { reasoning: ['Let me', ' see'], pieces: [], finish: 'length' });
    expect(await ask({})).toMatchObject({ text: '', reasoning: 'Let me see', finish_reason: 'length' });
    api.script.whole = true;
    expect(await ask({})).toMatchObject({ text: '', reasoning: 'Let me see', finish_reason: 'length' });
  });

  it('does not take silence for an answer', async () => {
    api.script.pieces = [];
    expect(await failureOf(ask({}))).toMatchObject({ code: 'EMPTY_ANSWER', retryable: true });
    api.script.pieces = ['\n'];
    expect(await failureOf(ask({}))).toMatchObject({ code: 'EMPTY_ANSWER', retryable: true });
  });

  it('reads a stream, whatever it calls itself', async () => {
    api.script.contentType = 'text/plain; charset=utf-8';
    expect(await ask({})).toMatchObject({ text: 'Hello, world', usage: { completion_tokens: 3 } });
    api.script.contentType = 'application/json';
    expect(await ask({})).toMatchObject({ text: 'Hello, world' });
  });

  it('waits for the first byte as long as the job may run', async () => {
    const fetched = Symbol.for('undici.globalDispatcher.1');
    await fetch(`${api.url}/models`);
    const dispatchers = globalThis as unknown as Record<symbol, object>;
    const usual = dispatchers[fetched] as object;
    const Impatient = usual.constructor as new (limits: object) => object;
    // Node’s fetch gives up after five minutes without a header; here after half a second.
    dispatchers[fetched] = new Impatient({ headersTimeout: 500, bodyTimeout: 500 });
    try {
      api.script.firstByteMs = 3_000;
      expect(await ask({})).toMatchObject({ text: 'Hello, world' });
    } finally {
      dispatchers[fetched] = usual;
    }
  });

  it('knows a model by its other spellings', async () => {
    api.models.push('Llama3.2:latest');
    const executor = llm();
    await executor.probe(signal);
    for (const [asked, listed] of [
      ['llama3.2', 'Llama3.2:latest'],
      ['TINY:latest', 'tiny'],
    ]) {
      await executor.run({ model: asked, prompt: 'Hi' }, { signal, progress: () => {}, ...QUIET });
      expect(api.seen.chats.at(-1)).toMatchObject({ model: listed });
    }
  });

  it.each([
    [
      'plain text',
      { text: 'prompt is too long: 9,000 tokens\u001b[31m\n' },
      'prompt is too long: 9,000 tokens [31m',
    ],
    ['much of it', { text: 'x'.repeat(5_000) }, 'x'.repeat(500)],
    ['a page', { text: '<html><h1>Bad request</h1></html>', contentType: 'text/html' }, undefined],
  ])('its words about a bad request reach the client: %s', async (_, body, detail) => {
    api.script.error = { status: 400, ...body };
    const failure = await failureOf(ask({}));
    expect(failure).toMatchObject({ code: 'MODEL_SERVER_REFUSED', retryable: false });
    expect(failure.detail).toBe(detail);
  });

  it('takes a page or an unknown path for a wrong address, not for a missing model', async () => {
    for (const body of [
      { text: '<html>404</html>', contentType: 'text/html' },
      { text: '{"detail":"Not Found"}' },
    ]) {
      api.script.error = { status: 404, ...body };
      const failure = await failureOf(ask({}));
      expect(failure).toMatchObject({ code: 'BACKEND_UNAVAILABLE', notStarted: true, withdraws: 'type' });
      expect(failure.message).toContain('is the address right?');
    }
  });

  it('is not offered once the server refused the key for work, until it takes it again', async () => {
    const executor = llm();
    expect(await executor.probe(signal)).toMatchObject({ offered: true });
    api.script.error = { status: 401, message: 'no' };
    const context = { signal, progress: () => {}, ...QUIET };
    const failure = await failureOf(executor.run({ model: 'tiny', prompt: 'Hi' }, context));
    expect(failure).toMatchObject({ notStarted: true, withdraws: 'type' });
    const refused = { offered: false, reason: expect.stringContaining('--llm-key') };
    expect(await executor.probe(signal)).toMatchObject(refused);
    expect(await executor.probe(signal)).toMatchObject(refused);
    api.script.error = undefined;
    expect(await executor.probe(signal)).toMatchObject({ offered: true });
    expect(api.seen.chats.at(-1)).toMatchObject({ model: 'tiny', max_tokens: 1 });
  });

  it('believes a slow list, and a server that works instead of listing', async () => {
    const server = createOpenAiServer(api.url, undefined, [], 300);
    const executor = createLlmInference(server);
    api.script.oneThread = true;
    expect(await executor.probe(signal)).toMatchObject({ offered: true });
    api.script.firstByteMs = 900;
    const run = executor.run({ model: 'tiny', prompt: 'Hi' }, { signal, progress: () => {}, ...QUIET });
    await eventually(() => expect(api.seen.chats).toHaveLength(1));
    expect(await executor.probe(signal)).toMatchObject({ offered: true });
    await run;
    // Nothing runs any more, and it says nothing: now it is dead.
    api.script.listMs = 5_000;
    expect(await executor.probe(signal)).toMatchObject({ offered: false });
  });

  it('gives the list fifteen seconds', async () => {
    api.script.listMs = 6_000;
    expect(await llm().probe(signal)).toMatchObject({ offered: true });
  });

  it.each([
    [400, 'MODEL_SERVER_REFUSED', false],
    [401, 'BACKEND_UNAVAILABLE', true],
    [429, 'BACKEND_BUSY', true],
    [500, 'BACKEND_ERROR', true],
  ])('a server that answers %i is %s', async (status, code, retryable) => {
    api.script.error = { status, message: 'context is full' };
    const failure = await failureOf(ask({}));
    expect(failure).toMatchObject({ code, retryable });
    expect(failure.message).not.toContain('context is full');
    if (status === 400) expect(failure.detail).toBe('context is full');
  });

  it('a model that the server does not have may be elsewhere', async () => {
    expect(await failureOf(ask({ model: 'huge' }))).toMatchObject({
      code: 'MODEL_NOT_AVAILABLE',
      retryable: true,
    });
  });

  it('a server that is down is retryable', async () => {
    await api.close();
    expect(await failureOf(ask({}))).toMatchObject({ code: 'BACKEND_UNAVAILABLE', retryable: true });
  });

  it.each([
    { prompt: '' },
    { prompt: 'x'.repeat(200_001) },
    { model: 7 },
    { max_tokens: 0 },
    { prompt: undefined, messages: [] },
  ])('bad input is final', async (parameters) => {
    expect((await failureOf(ask(parameters))).retryable).toBe(false);
    expect(api.seen.chats).toEqual([]);
  });
});

describe('embedding', () => {
  it('is offered only once a model really answered, and tried again only when the list changes', async () => {
    const executor = embedding();
    expect(await executor.probe(signal)).toMatchObject({ offered: true, models: ['nomic-embed-text'] });
    await executor.probe(signal);
    expect(api.seen.embedded).toEqual(['nomic-embed-text']);
    api.models.push('bge-small');
    await executor.probe(signal);
    expect(api.seen.embedded).toEqual(['nomic-embed-text', 'bge-small']);
  });

  it('is offered with every model that answered', async () => {
    api.embeddingModels.push('bge-m3:latest', 'all-minilm');
    api.models.push('snowflake-arctic-embed');
    expect(await embedding().probe(signal)).toMatchObject({
      offered: true,
      models: ['all-minilm', 'bge-m3:latest', 'nomic-embed-text'],
    });
  });

  it('asks no model to embed that does not look like one, which would load it for nothing', async () => {
    const other = await startModelServer(['tiny', 'large', 'huge', 'vast']);
    const found = await createEmbedding(createOpenAiServer(other.url, undefined)).probe(signal);
    expect(found).toMatchObject({ offered: false, reason: expect.stringContaining('no embedding model') });
    expect(other.seen.embedded).toEqual([]);
    await other.close();
  });

  it('tries what the owner names, whatever it is called', async () => {
    api.embeddingModels.push('house-vectors');
    const server = createOpenAiServer(api.url, undefined, ['house-vectors']);
    expect(await createEmbedding(server).probe(signal)).toMatchObject({
      models: ['house-vectors', 'nomic-embed-text'],
    });
    expect(await createLlmInference(server).probe(signal)).toMatchObject({ models: ['large', 'tiny'] });
  });

  it('returns a vector for each text, in their order', async () => {
    const run = embedding().run(
      { model: 'nomic-embed-text', input: ['a', 'bbb'] },
      { signal, progress: () => {}, ...QUIET },
    );
    expect(await run).toEqual({
      model: 'nomic-embed-text',
      embeddings: [
        [1, 0.123456789, -1],
        [3, 0.123456789, -1],
      ],
      usage: { prompt_tokens: 2, total_tokens: 2 },
    });
  });

  it('takes a single text', async () => {
    const run = embedding().run(
      { model: 'nomic-embed-text', input: 'ab' },
      { signal, progress: () => {}, ...QUIET },
    );
    expect(await run).toMatchObject({ embeddings: [[2, 0.123456789, -1]] });
  });

  it.each([{ input: '' }, { input: [] }, { input: [1] }, { input: Array.from({ length: 513 }, () => 'a') }])(
    'bad input is final',
    async (parameters) => {
      const run = embedding().run(
        { model: 'nomic-embed-text', ...parameters },
        { signal, progress: () => {}, ...QUIET },
      );
      expect((await failureOf(run)).retryable).toBe(false);
    },
  );
});
