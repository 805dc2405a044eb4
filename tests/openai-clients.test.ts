import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { routes } from '@aitbc/contracts';
import { eventually, rememberSecret } from '@aitbc/testing';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import {
  APICallError,
  embedMany,
  generateText,
  jsonSchema,
  Output,
  streamText,
  type ToolSet,
  tool,
} from 'ai';
import OpenAI, {
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createChatCompletion, createTextCompletion } from '../clients/miner/src/executors/completion.ts';
import { createEmbedding } from '../clients/miner/src/executors/embedding.ts';
import { createOpenAiServer } from '../clients/miner/src/executors/openai-server.ts';
import { type AgentUnderTest, startAgent } from '../clients/miner/src/testing/agent-under-test.ts';
import { type ModelServer, startModelServer } from '../clients/miner/src/testing/model-server.ts';
import { type Coordinator, must, STARTING_MS, startCoordinator } from './coordinator.ts';

// OpenAI's own client, the AI SDK and LangChain against the running system, each as its users call it: what they send, read
// and throw is theirs. One stack for all.

const ROOT = join(import.meta.dirname, '..');
const MODEL = 'Org/Talker:1b';
const EMBEDDER = 'nomic-embed-text';
const LET_GO_MS = 2_000;

let coordinator: Coordinator;
let server: ModelServer;
let agent: AgentUnderTest;
let baseURL: string;
let apiKey: string;
/** For three requests a minute. */
let slowKey: string;
let minerKey: string;

beforeAll(async () => {
  [coordinator, server] = await Promise.all([startCoordinator(), startModelServer([MODEL], [EMBEDDER])]);
  baseURL = `${coordinator.url}/v1`;
  apiKey = coordinator.keys.client;
  const backend = createOpenAiServer(server.url, undefined);
  const miner = await coordinator.newAccount(['miner']);
  minerKey = miner.key;
  slowKey = rememberSecret(
    must(
      await coordinator.admin.call(routes.gateway.adminCreateKey, {
        body: { scopes: ['client'], label: 'slow', rate_limit_per_minute: 1 },
      }),
    ).key,
  );
  server.plan((body) => {
    const last = JSON.stringify(body.messages ?? body.prompt ?? '');
    if (last.includes('hold')) return { pieces: ['He'], end: 'hold' };
    if (last.includes('too long')) return { contextLength: 1 };
    if (body.response_format !== undefined) return { pieces: ['{"city":', '"Oslo"}'] };
    if (body.tools !== undefined) return { calls: [{ name: 'weather', arguments: ['{"city":', '"Oslo"}'] }] };
    return undefined;
  });
  const executors = [createChatCompletion(backend), createTextCompletion(backend), createEmbedding(backend)];
  agent = startAgent(coordinator, executors, {
    concurrency: 8,
    key: miner.key,
    timing: { probeMs: 60_000, drainMs: 100 },
  });
  const openai = new OpenAI({ baseURL, apiKey });
  await eventually(async () => (await openai.models.list()).data.length === 2, { withinMs: 30_000 });
}, STARTING_MS);
afterAll(async () => {
  await agent?.end();
  await server?.close();
  await coordinator?.stop();
});

const schema = {
  type: 'object' as const,
  properties: { city: { type: 'string' as const } },
  required: ['city'],
  additionalProperties: false,
};
const errorOf = async (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => expect.unreachable('it was answered'),
    (error: unknown) => error,
  );
/** A model server that is let go in time, and no job that goes on. */
const isLetGo = (before: number) =>
  eventually(() => server.seen.closedEarly > before, { withinMs: LET_GO_MS + 500, everyMs: 20 });

/** A block of code of the README, as its readers copy it. */
const fromReadme = (language: string): string => {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const [, section = ''] = text.split('<!-- openai clients -->');
  const [, code = ''] = section.split(`\`\`\`${language}\n`);
  return code.slice(0, code.indexOf('```'));
};

test.each([
  ['ts', process.execPath, ['--input-type=module-typescript', '-e']],
  ['bash', 'bash', ['-euc']],
])('the README’s lines of %s do what they say', async (language, program, args) => {
  const { stdout } = await promisify(execFile)(program, [...args, fromReadme(language)], {
    cwd: ROOT,
    env: { ...process.env, API: coordinator.url, CLIENT_KEY: apiKey, MODEL },
  });
  expect(stdout).toContain('Hello, world');
});

describe('openai', () => {
  const client = (more: object = {}) => new OpenAI({ baseURL, apiKey, maxRetries: 0, ...more });
  const messages = [{ role: 'user' as const, content: 'Hello' }];
  const tools = [{ type: 'function' as const, function: { name: 'weather', parameters: schema } }];

  test('lists the models, and finds one by a name with a slash', async () => {
    const { data } = await client().models.list();
    expect(data.map(({ id }) => id).sort()).toEqual([MODEL, EMBEDDER]);
    expect((await client().models.retrieve('org/talker:1b')).id).toBe(MODEL);
    expect((await client({ baseURL: `${coordinator.url}/api/v1` }).models.list()).data).toHaveLength(2);
  });

  test('chats', async () => {
    const asked = client().chat.completions.create({ model: MODEL, messages, temperature: 0.1 });
    const { data, response } = await asked.withResponse();
    expect(data.choices[0]).toMatchObject({ message: { content: 'Hello, world' }, finish_reason: 'stop' });
    expect(data.usage?.total_tokens).toBeGreaterThan(0);
    expect((data as { _request_id?: string })._request_id).toBe(response.headers.get('x-request-id'));
    const jobId = response.headers.get('x-aitbc-job-id') as string;
    expect(data.id).toBe(`chatcmpl-${jobId}`);
    const receipts = must(
      await coordinator.client.call(routes.jobs.receipts, { params: { job_id: jobId } }),
    ).items;
    expect(receipts.map(({ id }) => id)).toEqual([response.headers.get('x-aitbc-receipt-id')]);
    expect(JSON.stringify(server.seen.chats.at(-1))).not.toContain('aitbc');
  });

  test('streams a chat, with usage when it asks', async () => {
    const stream = await client().chat.completions.create({
      model: MODEL,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let total = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      total += chunk.usage?.total_tokens ?? 0;
    }
    expect(text).toBe('Hello, world');
    expect(total).toBeGreaterThan(0);
    const final = await client().chat.completions.stream({ model: MODEL, messages }).finalChatCompletion();
    expect(final.choices[0]).toMatchObject({ message: { content: 'Hello, world' }, finish_reason: 'stop' });
  });

  test('has tools called, whole and streamed', async () => {
    const whole = await client().chat.completions.create({ model: MODEL, messages, tools });
    const [choice] = whole.choices;
    expect(choice?.finish_reason).toBe('tool_calls');
    expect(choice?.message.tool_calls?.[0]).toMatchObject({
      type: 'function',
      function: { name: 'weather', arguments: '{"city":"Oslo"}' },
    });
    const streamed = await client()
      .chat.completions.stream({ model: MODEL, messages, tools })
      .finalChatCompletion();
    expect(streamed.choices[0]?.message.tool_calls?.[0]).toMatchObject({
      function: { name: 'weather', arguments: '{"city":"Oslo"}' },
    });
  });

  test('gets what a schema asks for', async () => {
    const { choices } = await client().chat.completions.parse({
      model: MODEL,
      messages,
      response_format: { type: 'json_schema', json_schema: { name: 'place', strict: true, schema } },
    });
    expect(JSON.parse(choices[0]?.message.content ?? '')).toEqual({ city: 'Oslo' });
    expect(server.seen.chats.at(-1)?.response_format).toMatchObject({
      json_schema: { name: 'place', schema },
    });
  });

  test('goes on with a text', async () => {
    const asked = { model: MODEL, prompt: 'Once' };
    expect((await client().completions.create(asked)).choices[0]?.text).toBe('Hello, world');
    let text = '';
    for await (const chunk of await client().completions.create({ ...asked, stream: true }))
      text += chunk.choices[0]?.text ?? '';
    expect(text).toBe('Hello, world');
  });

  test('embeds: as bytes by default, as numbers when asked, and the same', async () => {
    const asked = { model: EMBEDDER, input: ['a', 'bc'] };
    const bytes = await client().embeddings.create(asked);
    const numbers = await client().embeddings.create({ ...asked, encoding_format: 'float' });
    expect(bytes.data.map(({ index }) => index)).toEqual([0, 1]);
    expect(numbers.data[0]?.embedding.length).toBeGreaterThan(2);
    for (const [at, { embedding }] of numbers.data.entries())
      expect(bytes.data[at]?.embedding).toEqual([...new Float32Array(embedding)]);
  });

  test.each([false, true])('aborts (stream: %s), and the model server is let go', async (stream) => {
    const before = server.seen.closedEarly;
    const chats = server.seen.chats.length;
    const leaving = new AbortController();
    const asked = client().chat.completions.create(
      { model: MODEL, messages: [{ role: 'user', content: 'hold' }], stream },
      { signal: leaving.signal },
    );
    const failed = stream ? undefined : errorOf(asked);
    if (stream) await asked;
    await eventually(() => server.seen.chats.length > chats);
    leaving.abort();
    if (failed !== undefined) expect(await failed).toBeInstanceOf(APIUserAbortError);
    await isLetGo(before);
  });

  test('throws its own classes', async () => {
    const ask = (more: object, of = client()) =>
      errorOf(of.chat.completions.create({ model: MODEL, messages, ...more }));
    const wrong = await ask({}, client({ apiKey: 'sk-wrong-0123456789' }));
    expect(wrong).toBeInstanceOf(AuthenticationError);
    expect(wrong).toMatchObject({ status: 401, code: 'invalid_api_key', type: 'invalid_request_error' });
    expect(await ask({}, client({ apiKey: minerKey }))).toBeInstanceOf(PermissionDeniedError);
    const unknown = await ask({ model: 'Org/Walker:1b' });
    expect(unknown).toBeInstanceOf(NotFoundError);
    expect(unknown).toMatchObject({ code: 'model_not_found', param: 'model' });
    expect((unknown as Error).message).toContain(MODEL);
    const bad = await ask({ temperature: 3 });
    expect(bad).toBeInstanceOf(BadRequestError);
    expect(bad).toMatchObject({ param: 'temperature', code: 'invalid_value' });
    const picture = [{ type: 'image_url', image_url: { url: 'http://10.0.0.1/a.png' } }];
    expect(await ask({ messages: [{ role: 'user', content: picture }] })).toBeInstanceOf(BadRequestError);
    const long = await ask({ messages: [{ role: 'user', content: 'too long' }] });
    expect(long).toBeInstanceOf(BadRequestError);
    expect(long).toMatchObject({ code: 'context_length_exceeded' });
    const money = await ask({ model: `${MODEL}@9999999` });
    expect(money).toMatchObject({ status: 402, code: 'insufficient_quota' });
    const nobody = await ask({ aitbc: { region: 'nowhere', max_wait_seconds: 1 } });
    expect(nobody).toBeInstanceOf(InternalServerError);
    expect(nobody).toMatchObject({ status: 503, code: 'no_capacity' });
  });

  test('is told when it asks too often, and when to come back', async () => {
    const slow = client({ apiKey: slowKey });
    await slow.models.list();
    const error = await errorOf(slow.models.list());
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', type: 'requests' });
    const { headers } = error as RateLimitError;
    expect(Number(headers?.get('retry-after'))).toBeLessThanOrEqual(60);
    expect(headers?.get('x-ratelimit-limit-requests')).toBe('1');
  });
});

describe('AI SDK', () => {
  const provider = (key = apiKey) =>
    createOpenAICompatible({
      name: 'aitbc',
      baseURL,
      apiKey: key,
      includeUsage: true,
      supportsStructuredOutputs: true,
    });
  const model = (name = MODEL, key?: string) => provider(key)(name);

  test('chats, and streams', async () => {
    const whole = await generateText({ model: model(), prompt: 'Hello' });
    expect(whole.text).toBe('Hello, world');
    expect(whole.finishReason).toBe('stop');
    const streamed = streamText({ model: model(), prompt: 'Hello' });
    const pieces: string[] = [];
    for await (const piece of streamed.textStream) pieces.push(piece);
    expect(pieces.join('')).toBe('Hello, world');
    expect((await streamed.usage).totalTokens).toBeGreaterThan(0);
    expect(await streamed.finishReason).toBe('stop');
  });

  test('has tools called, whole and streamed', async () => {
    const weather = tool({ inputSchema: jsonSchema<{ city: string }>(schema) });
    // Its types do not hold with `exactOptionalPropertyTypes`.
    const asked = { prompt: 'Hello', tools: { weather } as unknown as ToolSet };
    const expected = [{ toolName: 'weather', input: { city: 'Oslo' } }];
    expect((await generateText({ model: model(), ...asked })).toolCalls).toMatchObject(expected);
    expect(await streamText({ model: model(), ...asked }).toolCalls).toMatchObject(expected);
  });

  test('gets what a schema asks for', async () => {
    const { output } = await generateText({
      model: model(),
      prompt: 'Hello',
      output: Output.object({ schema: jsonSchema<{ city: string }>(schema) }),
    });
    expect(output).toEqual({ city: 'Oslo' });
  });

  test('embeds', async () => {
    const { embeddings } = await embedMany({
      model: provider().embeddingModel(EMBEDDER),
      values: ['a', 'bc'],
    });
    expect(embeddings).toHaveLength(2);
    expect(embeddings[0]?.length).toBeGreaterThan(2);
  });

  test('aborts a stream, and the model server is let go', async () => {
    const before = server.seen.closedEarly;
    const leaving = new AbortController();
    const { fullStream } = streamText({ model: model(), prompt: 'hold', abortSignal: leaving.signal });
    for await (const part of fullStream) if (part.type === 'text-delta') leaving.abort();
    await isLetGo(before);
  });

  test('throws its own error', async () => {
    const ask = (of: ReturnType<typeof model>) =>
      errorOf(generateText({ model: of, prompt: 'Hello', maxRetries: 0 }));
    const wrong = await ask(model(MODEL, 'sk-wrong-0123456789'));
    expect(APICallError.isInstance(wrong)).toBe(true);
    expect(wrong).toMatchObject({ statusCode: 401, isRetryable: false });
    expect(await ask(model('no such'))).toMatchObject({ statusCode: 404, isRetryable: false });
    await fetch(`${baseURL}/models`, { headers: { authorization: `Bearer ${slowKey}` } });
    expect(await ask(model(MODEL, slowKey))).toMatchObject({ statusCode: 429, isRetryable: true });
  });
});

describe('LangChain', () => {
  const chat = (more: object = {}) =>
    new ChatOpenAI({ model: MODEL, apiKey, configuration: { baseURL }, maxRetries: 0, ...more });
  const place = { name: 'weather', description: 'the weather', schema };

  test('chats, and streams', async () => {
    const whole = await chat().invoke('Hello');
    expect(whole.content).toBe('Hello, world');
    expect(whole).toMatchObject({ usage_metadata: { total_tokens: expect.any(Number) } });
    let text = '';
    for await (const chunk of await chat().stream('Hello')) text += chunk.content;
    expect(text).toBe('Hello, world');
  });

  test('has tools called, whole and streamed', async () => {
    const withTools = chat().bindTools([{ type: 'function', function: { ...place, parameters: schema } }]);
    const expected = [{ name: 'weather', args: { city: 'Oslo' } }];
    expect((await withTools.invoke('Hello')).tool_calls).toMatchObject(expected);
    let all: Awaited<ReturnType<typeof withTools.invoke>> | undefined;
    for await (const chunk of await withTools.stream('Hello'))
      all = all === undefined ? chunk : all.concat(chunk);
    expect(all?.tool_calls).toMatchObject(expected);
  });

  test('gets what a schema asks for', async () => {
    const structured = chat().withStructuredOutput(schema, { name: 'place', method: 'jsonSchema' });
    expect(await structured.invoke('Hello')).toEqual({ city: 'Oslo' });
  });

  test('embeds', async () => {
    const embedder = new OpenAIEmbeddings({ model: EMBEDDER, apiKey, configuration: { baseURL } });
    const [one, other] = await embedder.embedDocuments(['a', 'bc']);
    const openai = new OpenAI({ baseURL, apiKey });
    const { data } = await openai.embeddings.create({
      model: EMBEDDER,
      input: ['a', 'bc'],
      encoding_format: 'float',
    });
    expect([one, other]).toEqual(data.map(({ embedding }) => [...new Float32Array(embedding)]));
  });

  test('aborts, and the model server is let go', async () => {
    const before = server.seen.closedEarly;
    const chats = server.seen.chats.length;
    const leaving = new AbortController();
    const failed = errorOf(chat().invoke('hold', { signal: leaving.signal }));
    await eventually(() => server.seen.chats.length > chats);
    leaving.abort();
    expect((await failed) as Error).toBeInstanceOf(Error);
    await isLetGo(before);
  });

  test('throws its own errors', async () => {
    const wrong = await errorOf(chat({ apiKey: 'sk-wrong-0123456789' }).invoke('Hello'));
    expect(wrong).toMatchObject({ status: 401, lc_error_code: 'MODEL_AUTHENTICATION' });
    const unknown = await errorOf(chat({ model: 'no such' }).invoke('Hello'));
    expect(unknown).toMatchObject({ status: 404, lc_error_code: 'MODEL_NOT_FOUND' });
    await fetch(`${baseURL}/models`, { headers: { authorization: `Bearer ${slowKey}` } });
    const often = await errorOf(chat({ apiKey: slowKey }).invoke('Hello'));
    expect(often).toMatchObject({ status: 429, lc_error_code: 'MODEL_RATE_LIMIT' });
  });
});
