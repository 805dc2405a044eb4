import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../testing/eventually.ts';
import { type ModelServer, startModelServer } from '../testing/model-server.ts';
import { createAssembly } from './assembly.ts';
import { createChatCompletion, createTextCompletion } from './completion.ts';
import { createEmbedding } from './embedding.ts';
import { type Executor, JobFailure } from './executor.ts';
import { createOpenAiServer } from './openai-server.ts';

type Fields = Record<string, unknown>;

let server: ModelServer;
beforeEach(async () => {
  server = await startModelServer(['tiny'], ['nomic-embed-text']);
});
afterEach(() => server.close());

const hello = [{ role: 'user', content: 'Hi' }];
const run = async (executor: Executor, request: Fields, signal = new AbortController().signal) => {
  const chunks: Fields[] = [];
  const metrics: Record<string, number> = {};
  const result = (await executor.run(
    { request },
    {
      signal,
      progress: () => {},
      output: (chunk) => void chunks.push(chunk as Fields),
      measured: (measured) => void Object.assign(metrics, measured),
    },
  )) as Fields;
  return { result, chunks, metrics };
};
const chat = (request: Fields = {}, signal?: AbortSignal) =>
  run(
    createChatCompletion(createOpenAiServer(server.url, undefined)),
    { model: 'tiny', messages: hello, ...request },
    signal,
  );
const text = (request: Fields = {}) =>
  run(createTextCompletion(createOpenAiServer(server.url, undefined)), {
    model: 'tiny',
    prompt: 'Hi',
    ...request,
  });
const failureOf = async (running: Promise<unknown>): Promise<JobFailure> => {
  const error: unknown = await running.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(JobFailure);
  return error as JobFailure;
};

describe('a chat', () => {
  it('reaches the server as it is, always as a stream that counts, and comes back whole', async () => {
    const request = { temperature: 0.2, top_k: 40, chat_template_kwargs: { thinking: false }, stop: null };
    const { result, chunks, metrics } = await chat(request);
    expect(server.seen.chats[0]).toEqual({
      model: 'tiny',
      messages: hello,
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    const usage = { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6 };
    expect(result).toMatchObject({
      object: 'chat.completion',
      model: 'tiny',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello, world' },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage,
    });
    // What is passed on is the server's own, less what names its request.
    expect(chunks).toEqual([
      { choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] },
      ...['Hello', ', ', 'world'].map((content) => ({
        choices: [{ index: 0, delta: { content }, finish_reason: null }],
      })),
      { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
      { choices: [], usage },
    ]);
    expect(metrics).toMatchObject({ tokens: 3, first_token_ms: expect.any(Number) });
  });

  it('measures when it began, and how fast it came', async () => {
    Object.assign(server.script, { firstByteMs: 60, betweenMs: 100, pieces: ['a', 'b', 'c', 'd', 'e'] });
    const { metrics } = await chat();
    expect(metrics.first_token_ms).toBeGreaterThanOrEqual(55);
    expect(metrics.tokens_per_second).toBeGreaterThan(1);
    // Ten are sent in a second. It looks like more where the first is seen late: by a fifth of a second, like twenty.
    expect(metrics.tokens_per_second).toBeLessThan(20);
  });

  it('may think, answer several times, and say how sure it is', async () => {
    Object.assign(server.script, { reasoning: ['Let me', ' see'], pieces: ['Ye', 's'] });
    const { result } = await chat({ n: 2, logprobs: true });
    const logprobs = { content: [{ token: 'Ye' }, { token: 's' }] };
    expect(result.choices).toMatchObject(
      [0, 1].map((index) => ({
        index,
        message: { reasoning_content: 'Let me see', content: 'Yes' },
        logprobs,
      })),
    );
  });

  it('calls tools, whose arguments come in pieces', async () => {
    server.script.calls = [
      { id: 'call_a', name: 'weather', arguments: ['{"city":', '"Paris"}'] },
      { id: 'call_b', name: 'time', arguments: ['{}'] },
    ];
    const { result } = await chat({ tools: [{ type: 'function', function: { name: 'weather' } }] });
    expect(result.choices).toMatchObject([
      {
        finish_reason: 'tool_calls',
        message: {
          content: '',
          tool_calls: [
            {
              id: 'call_a',
              type: 'function',
              function: { name: 'weather', arguments: '{"city":"Paris"}' },
            },
            { id: 'call_b', type: 'function', function: { name: 'time', arguments: '{}' } },
          ],
        },
      },
    ]);
  });

  it('is read from servers that comment, call themselves something else, do not stream, or count nothing', async () => {
    const wholeText = { choices: [{ message: { content: 'Hello, world' }, finish_reason: 'stop' }] };
    server.script.comments = true;
    expect((await chat()).result).toMatchObject(wholeText);
    server.script.contentType = 'text/plain';
    expect((await chat()).result).toMatchObject(wholeText);
    server.script.countsUsage = false;
    const { result, metrics } = await chat();
    expect(result).not.toHaveProperty('usage');
    expect(metrics.tokens).toBe(3);
    server.script.whole = true;
    const { result: answer, chunks } = await chat();
    expect(answer).toMatchObject(wholeText);
    expect(chunks).toMatchObject([
      { choices: [{ delta: { role: 'assistant', content: 'Hello, world' }, finish_reason: 'stop' }] },
    ]);
  });

  it.each(['cut', 'mute', 'error'] as const)('that ends with %s is no answer', async (end) => {
    server.script.end = end;
    expect(await failureOf(chat())).toMatchObject({
      code: end === 'error' ? 'BACKEND_ERROR' : 'BACKEND_UNAVAILABLE',
      retryable: true,
    });
  });

  it('that is refused says so in the server’s words, and is no reason to try again', async () => {
    server.script.contextLength = 20;
    expect(await failureOf(chat({ messages: [{ role: 'user', content: 'x'.repeat(100) }] }))).toMatchObject({
      code: 'MODEL_SERVER_REFUSED',
      retryable: false,
      message: 'the model server refused the request (400 context_length_exceeded)',
      detail: expect.stringContaining('maximum context length is 20 tokens'),
    });
    server.script.error = { status: 422, text: 'no such grammar', contentType: 'text/plain' };
    expect(await failureOf(chat())).toMatchObject({
      code: 'MODEL_SERVER_REFUSED',
      message: 'the model server refused the request (422)',
      detail: 'no such grammar',
    });
  });

  it('lets the server go when it is stopped', async () => {
    server.script.end = 'hold';
    const stopping = new AbortController();
    const running = chat({}, stopping.signal);
    await eventually(() => expect(server.seen.working).toBe(1));
    stopping.abort();
    await expect(running).rejects.toThrow();
    await eventually(() => expect(server.seen.closedEarly).toBe(1));
  });
});

describe('tool calls of careless servers', () => {
  const piece = (call: Fields, finish_reason: string | null = null) => ({
    choices: [{ index: 0, delta: { tool_calls: [call] }, finish_reason }],
  });
  const put = (...pieces: Fields[]) => {
    const assembly = createAssembly('chat');
    const passed = pieces.map((one) => assembly.add(one));
    assembly.add({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    const [choice] = assembly.response().choices as [
      { message: { tool_calls: Fields[] }; finish_reason: string },
    ];
    return { passed, calls: choice.message.tool_calls, finish: choice.finish_reason };
  };
  const callOf = (passed: Fields): Fields =>
    (passed.choices as { delta: { tool_calls: Fields[] } }[])[0]?.delta.tool_calls[0] as Fields;

  it('without numbers are told apart by their ids', () => {
    const { passed, calls, finish } = put(
      piece({ id: 'a', function: { name: 'f', arguments: '{' } }),
      piece({ function: { arguments: '}' } }),
      piece({ id: 'b', function: { name: 'g', arguments: '[]' } }),
    );
    expect(calls).toEqual([
      { id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } },
      { id: 'b', type: 'function', function: { name: 'g', arguments: '[]' } },
    ]);
    expect(passed.map((one) => callOf(one).index)).toEqual([0, 0, 1]);
    // A call is no `stop`.
    expect(finish).toBe('tool_calls');
  });

  it('under one number are told apart by their ids', () => {
    const { passed } = put(
      piece({ index: 0, id: 'a', function: { name: 'f', arguments: '{}' } }),
      piece({ index: 0, id: 'b', function: { name: 'g', arguments: '{' } }),
      piece({ index: 0, function: { arguments: '}' } }),
    );
    expect(passed.map((one) => callOf(one).index)).toEqual([0, 1, 1]);
  });

  it('say id and name once, and get an id when they have none', () => {
    const { passed, calls } = put(
      piece({ index: 0, function: { name: 'f', arguments: '' } }),
      piece({ index: 0, function: { name: 'f', arguments: { a: 1 } } }),
    );
    expect(callOf(passed[1] as Fields)).toEqual({ index: 0, function: { arguments: '{"a":1}' } });
    expect(calls).toEqual([
      {
        id: callOf(passed[0] as Fields).id,
        type: 'function',
        function: { name: 'f', arguments: '{"a":1}' },
      },
    ]);
    expect(calls[0]?.id).toMatch(/^call_\w{24}$/);
  });
});

describe('a text completion', () => {
  it('comes back whole, one answer for each prompt', async () => {
    const { result, chunks } = await text({ prompt: ['a', 'b'], echo: false });
    expect(server.seen.completions[0]).toMatchObject({ prompt: ['a', 'b'], echo: false, stream: true });
    expect(result).toMatchObject({
      object: 'text_completion',
      choices: [0, 1].map((index) => ({ index, text: 'Hello, world', finish_reason: 'stop' })),
    });
    expect(chunks[0]).toEqual({
      choices: [{ index: 0, text: 'Hello', logprobs: null, finish_reason: null }],
    });
  });
});

describe('a whole request for embeddings', () => {
  it('is posted as it is and comes back in the order of its inputs', async () => {
    const embedding = createEmbedding(createOpenAiServer(server.url, undefined));
    const request = {
      model: 'nomic-embed-text',
      input: [[1, 2], [3]],
      dimensions: 4,
      encoding_format: 'base64',
    };
    const { result, metrics } = await run(embedding, request);
    expect(server.seen.embeddings[0]).toEqual({ ...request, encoding_format: 'float' });
    expect(result).toEqual({
      object: 'list',
      model: 'nomic-embed-text',
      data: [
        { object: 'embedding', index: 0, embedding: [2, 0.123456789, -1, 0.428571429] },
        { object: 'embedding', index: 1, embedding: [1, 0.123456789, -1, 0.428571429] },
      ],
      usage: { prompt_tokens: 2, total_tokens: 2 },
    });
    expect(metrics).toEqual({ tokens: 2 });
    expect((await run(embedding, { model: 'nomic-embed-text', input: [5, 6, 7] })).result.data).toHaveLength(
      1,
    );
  });
});
