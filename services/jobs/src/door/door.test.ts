import { CALLER_HEADER, deriveKey, signCaller } from '@aitbc/chassis';
import { type Caller, jobsRoutes, newId, OpenAiErrorBody, sha256 } from '@aitbc/contracts';
import { eventually, TEST_SECRET } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type MinerWish, type Stack, startStack } from '../stack.fixture.ts';

// The door of a service in this process; the test plays the miners and says what the gateway would.

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const key = deriveKey(TEST_SECRET, 'caller');
const ask = (
  caller: Caller,
  path: string,
  body?: unknown,
  more: { headers?: Record<string, string>; signal?: AbortSignal } = {},
) => {
  const method = body === undefined ? 'GET' : 'POST';
  const envelope = { caller, request_id: newId(), at_ms: Date.now() };
  return fetch(stack.url + path, {
    method,
    headers: {
      [CALLER_HEADER]: signCaller(key, envelope, method, path),
      'content-type': 'application/json',
      ...more.headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(more.signal === undefined ? {} : { signal: more.signal }),
  });
};
const hello = [{ role: 'user', content: 'Hello' }];
const chatOf = (model: string, more: object = {}) => ({ model, messages: hello, ...more });
const chat = (caller: Caller, body: unknown, more: Parameters<typeof ask>[3] = {}) =>
  ask(caller, '/v1/chat/completions', body, more);
interface Body {
  readonly id: string;
  readonly created: number;
  readonly choices: { message: { content: string } }[];
  readonly items: { id: string }[];
  readonly aitbc?: { miners?: number };
  readonly data: { id: string; aitbc: { kinds: string[] } }[];
}
const bodyOf = async (response: Response): Promise<Body> => (await response.json()) as Body;
const errorOf = async (response: Response) => OpenAiErrorBody.parse(await response.json()).error;

/** A miner that the door knows of. */
const minerFor = async (model: string, wish: MinerWish) => {
  const miner = await stack.miner({ models: [model], ...wish });
  const path = `/v1/models/${encodeURIComponent(model)}`;
  await eventually(async () => (await ask(stack.client().caller, path)).status === 200);
  return miner;
};
const modern = (model: string, wish: MinerWish = {}) =>
  minerFor(model, { capabilities: ['chat_completion', 'text_completion', 'embedding'], ...wish });
type Miner = Awaited<ReturnType<typeof modern>>;
type Leased = { id: string; lease: string };
const say = (miner: Miner, { id, lease }: Leased, seq: number, ...chunks: object[]) =>
  miner.http.call(jobsRoutes.stream, {
    body: { job_id: id, lease, seq, chunks: chunks as Record<string, unknown>[] },
  });
const delta = (content: string) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
const written = (content: string, more: object = {}) => ({
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
  ...more,
});
const failed = (code: string, message: string) => ({ status: 'failed' as const, error: { code, message } });

/** Reads a stream to its end: the data of its events, and its comments. */
const readStream = async (response: Response) => {
  const text = await response.text();
  const lines = text.split('\n').filter((line) => line !== '');
  const data = lines.filter((line) => line.startsWith('data: ')).map((line) => line.slice(6));
  return {
    comments: lines.filter((line) => line.startsWith(':')),
    isDone: data.at(-1) === '[DONE]',
    chunks: data.filter((one) => one !== '[DONE]').map((one) => JSON.parse(one)),
  };
};
const textOf = (chunks: { choices?: { delta?: { content?: string } }[] }[]): string =>
  chunks.flatMap(({ choices = [] }) => choices.map(({ delta }) => delta?.content ?? '')).join('');

test('an account holds a share of large requests open and is told so; others are served', async () => {
  const [greedy, other] = [stack.client(), stack.client()];
  const miner = await modern('large', { concurrency: 32 });
  const leaving = new AbortController();
  const text = 'x'.repeat(3_900_000);
  const large = (caller: Caller) =>
    chat(
      caller,
      { model: 'large', messages: [{ role: 'user', content: text }] },
      { headers: { 'x-aitbc-max-wait': '600' }, signal: leaving.signal },
    );
  // 64 MB are seventeen of them; each was begun when the miner has its job.
  const asked: Promise<unknown>[] = [];
  for (let at = 0; at < 17; at++) {
    asked.push(large(greedy.caller));
    await miner.take();
  }
  const refused = await large(greedy.caller);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5']);
  expect(await errorOf(refused)).toMatchObject({ code: 'rate_limit_exceeded' });
  const served = chat(other.caller, chatOf('large'));
  await miner.complete(await miner.take(), written('Hi'));
  leaving.abort();
  await Promise.allSettled(asked);
  expect((await served).status).toBe(200);
}, 120_000);

describe('a whole answer', () => {
  test('is that of a job: its id, its receipt, the name asked for, and the usage as it was counted', async () => {
    const client = stack.client();
    const miner = await modern('Whole/Model:7b');
    const more = { user: 'ann@example.com', metadata: { a: 1 }, top_k: 40, stream: false, temperature: null };
    const asked = chat(client.caller, chatOf('whole/model:7B@free', more));
    const work = await miner.take();
    // As it was sent, less what is ours and what names a person.
    expect(work).toMatchObject({
      job_type: 'chat_completion',
      parameters: { request: { model: 'whole/model:7B', messages: hello, top_k: 40, temperature: null } },
    });
    expect(Object.keys(work.parameters.request as object).sort()).toEqual([
      'messages',
      'model',
      'temperature',
      'top_k',
    ]);
    await miner.complete(work, written('Hi'));
    const response = await asked;
    const body = await bodyOf(response);
    expect(response.status).toBe(200);
    const [receipt] = (await bodyOf(await ask(client.caller, `/v1/client/jobs/${work.id}/receipts`))).items;
    expect(body).toMatchObject({
      id: `chatcmpl-${work.id}`,
      object: 'chat.completion',
      model: 'whole/model:7B',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
      aitbc: { job_id: work.id, receipt_id: receipt?.id, miner_id: miner.id, price: 0 },
    });
    expect(Number.isInteger(body.created)).toBe(true);
    const headers = Object.fromEntries(response.headers);
    expect(headers).toMatchObject({
      'x-aitbc-job-id': work.id,
      'x-aitbc-receipt-id': receipt?.id,
      'x-aitbc-price': '0',
    });
  });

  test('of a miner that knows nothing of whole requests is a plain chat; what would be lost is not given to it', async () => {
    const client = stack.client();
    const old = await minerFor('older', { capabilities: ['llm_inference'] });
    const neutral = { top_p: 1, n: 1, temperature: 0.1, max_completion_tokens: 9 };
    const asked = chat(client.caller, chatOf('older', neutral));
    const work = await old.take();
    expect(work).toMatchObject({
      job_type: 'llm_inference',
      parameters: { model: 'older', messages: hello, temperature: 0.1, max_tokens: 9 },
    });
    await old.complete(work, {
      model: 'older',
      text: 'Hi',
      reasoning: 'hm',
      finish_reason: 'length',
      usage: null,
    });
    const body = await bodyOf(await asked);
    expect(body.choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: 'Hi', reasoning_content: 'hm' },
        logprobs: null,
        finish_reason: 'length',
      },
    ]);
    expect(body).not.toHaveProperty('usage');
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }];
    const refused = await chat(client.caller, chatOf('older', { tools }));
    expect(refused.status).toBe(404);
    expect(await errorOf(refused)).toMatchObject({ code: 'model_not_found', param: 'model' });
    for (const [name, value] of Object.entries({ __defineGetter__: 1, hasOwnProperty: 'top_p' }))
      expect((await chat(client.caller, chatOf('older', { [name]: value }))).status, name).toBe(404);
  });

  test('of a text, and of vectors as numbers or as bytes', async () => {
    const client = stack.client();
    const miner = await modern('texts');
    const text = ask(client.caller, '/v1/completions', { model: 'texts', prompt: 'Once', echo: true });
    const work = await miner.take();
    expect(work).toMatchObject({
      job_type: 'text_completion',
      parameters: { request: { prompt: 'Once', echo: true } },
    });
    await miner.complete(work, { choices: [{ text: 'Once upon' }] });
    expect(await bodyOf(await text)).toMatchObject({
      id: `cmpl-${work.id}`,
      object: 'text_completion',
      choices: [{ index: 0, text: 'Once upon', finish_reason: 'stop', logprobs: null }],
    });

    const vectors = [
      { object: 'embedding', index: 1, embedding: [1, -0.5] },
      { object: 'embedding', index: 0, embedding: [0.25, 3] },
    ];
    const embed = async (body: object, expected: object, result: unknown) => {
      const asked = ask(client.caller, '/v1/embeddings', { model: 'texts', ...body });
      const job = await miner.take();
      expect(job.parameters).toEqual(expected);
      await miner.complete(job, result);
      return (await (await asked).json()) as { data: { index: number; embedding: unknown }[] };
    };
    const whole = { request: { model: 'texts', input: [[1], [2]], dimensions: 2 } };
    const bytes = await embed({ input: [[1], [2]], dimensions: 2, encoding_format: 'base64' }, whole, {
      data: vectors,
    });
    expect(bytes.data.map(({ embedding }) => embedding)).toEqual(
      [
        [0.25, 3],
        [1, -0.5],
      ].map((vector) => Buffer.from(new Float32Array(vector).buffer).toString('base64')),
    );
    // What every miner for embeddings takes goes in the form that every one takes.
    const plain = { model: 'texts', input: ['a', 'b'] };
    const numbers = await embed({ input: ['a', 'b'] }, plain, { embeddings: [[1], [2]], usage: null });
    expect(numbers).toMatchObject({
      object: 'list',
      model: 'texts',
      data: [
        { object: 'embedding', index: 0, embedding: [1] },
        { object: 'embedding', index: 1, embedding: [2] },
      ],
    });
    expect(numbers).not.toHaveProperty('usage');
  });
});

describe('a stream', () => {
  test('passes on what is made while it is made, and is done when the receipt is signed', async () => {
    const client = stack.client();
    const miner = await modern('live');
    const asked = chat(
      client.caller,
      chatOf('live', { stream: true, stream_options: { include_usage: true } }),
    );
    const work = await miner.take();
    expect(work.stream).toBe(true);
    await say(miner, work, 0, delta('Hel'), delta('lo'));
    const response = await asked;
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    expect(response.headers.get('x-aitbc-job-id')).toBe(work.id);
    // The last batch was lost on its way: the rest comes from the result.
    await miner.complete(work, written('Hello there'));
    const { chunks, isDone } = await readStream(response);
    expect(isDone).toBe(true);
    expect(textOf(chunks)).toBe('Hello there');
    expect(chunks[0]).toMatchObject({
      id: `chatcmpl-${work.id}`,
      object: 'chat.completion.chunk',
      model: 'live',
      choices: [{ index: 0, delta: { role: 'assistant' }, finish_reason: null }],
    });
    expect(chunks.filter(({ choices }) => choices[0]?.finish_reason != null)).toHaveLength(1);
    expect(chunks.at(-2)).toMatchObject({ choices: [{ delta: {}, finish_reason: 'stop' }] });
    expect(chunks.at(-1)).toMatchObject({
      choices: [],
      usage: { total_tokens: 5 },
      aitbc: { job_id: work.id, miner_id: miner.id },
    });
  });

  test('of what comes whole is one piece, its end and nothing that was not asked for', async () => {
    const client = stack.client();
    const miner = await modern('at once');
    const asked = chat(client.caller, chatOf('at once', { stream: true }));
    const work = await miner.take();
    const calls = [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }];
    await miner.complete(work, {
      choices: [{ message: { role: 'assistant', content: null, tool_calls: calls }, finish_reason: 'stop' }],
    });
    const { chunks, isDone } = await readStream(await asked);
    expect(isDone).toBe(true);
    expect(chunks.map(({ choices }) => choices[0])).toMatchObject([
      { delta: { role: 'assistant' }, finish_reason: null },
      { delta: { tool_calls: [{ index: 0, ...calls[0] }] }, finish_reason: null },
      { delta: {}, finish_reason: 'tool_calls' },
    ]);
    expect(chunks.at(-1)).toMatchObject({ aitbc: { job_id: work.id } });
    expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
  });

  test('whose miner is lost in the middle ends with an error, and its job is cancelled', async () => {
    const client = stack.client();
    const miner = await modern('lost');
    const asked = chat(client.caller, chatOf('lost', { stream: true }));
    const work = await miner.take();
    await say(miner, work, 0, delta('Hal'));
    const response = await asked;
    await miner.report({ job_id: work.id, lease: work.lease, ...failed('X', 'x'), retryable: true });
    const { chunks, isDone } = await readStream(response);
    expect(isDone).toBe(false);
    expect(textOf(chunks)).toBe('Hal');
    expect(chunks.at(-1)).toEqual({
      error: { type: 'server_error', code: 'upstream_error', param: null, message: expect.any(String) },
    });
    await eventually(async () => (await client.get(work.id)).status === 'cancelled');
  });

  test('whose miner reports another answer than it had begun ends with an error', async () => {
    const client = stack.client();
    const miner = await modern('liar');
    const asked = chat(client.caller, chatOf('liar', { stream: true }));
    const work = await miner.take();
    await say(miner, work, 0, delta('Yes'));
    const response = await asked;
    await miner.complete(work, written('No'));
    const { chunks, isDone } = await readStream(response);
    expect(isDone).toBe(false);
    expect(chunks.at(-1).error).toMatchObject({ code: 'upstream_error' });
  });
});

describe('who goes away', () => {
  test.each([
    ['while the job runs, not streamed', false],
    ['in the middle of a stream', true],
  ])('%s: its job is cancelled, and its miner hears so at once', async (_when, stream) => {
    const client = stack.client();
    const name = `left ${stream}`;
    const miner = await modern(name);
    const leaving = new AbortController();
    const asked = chat(client.caller, chatOf(name, { stream }), { signal: leaving.signal }).catch(() => {});
    const work = await miner.take();
    expect(await say(miner, work, 0, delta('a'))).toMatchObject({ status: 200, body: { listening: true } });
    if (stream) await asked;
    leaving.abort();
    await eventually(async () => (await client.get(work.id)).status === 'cancelled');
    expect(await say(miner, work, 1, delta('b'))).toMatchObject({ status: 409 });
    await asked;
  });

  test('and asks again finds the answer that was made, once', async () => {
    const client = stack.client();
    const miner = await modern('again');
    const first = chat(client.caller, chatOf('again'));
    const work = await miner.take();
    await miner.complete(work, written('one'));
    await (await first).text();
    const again = { headers: { 'x-stainless-retry-count': '1' } };
    const second = await bodyOf(await chat(client.caller, chatOf('again'), again));
    expect(second).toMatchObject({ id: `chatcmpl-${work.id}`, choices: [{ message: { content: 'one' } }] });
  });

  test('or is sent away by a service that stops, finds the same job when it asks again', async () => {
    const client = stack.client();
    const miner = await modern('stopped');
    const first = chat(client.caller, chatOf('stopped'));
    const work = await miner.take();
    await stack.restartJobs();
    const sentAway = await first;
    expect(sentAway.status).toBe(503);
    expect(sentAway.headers.get('x-should-retry')).toBeNull();
    expect(await errorOf(sentAway)).toMatchObject({ code: 'overloaded' });
    const second = chat(client.caller, chatOf('stopped'), { headers: { 'x-stainless-retry-count': '1' } });
    await miner.complete(work, written('one'));
    expect((await bodyOf(await second)).id).toBe(`chatcmpl-${work.id}`);
    expect((await client.get(work.id)).attempt).toBe(1);
  });

  test('somebody else’s equal request, and one not said to come again, are jobs of their own', async () => {
    const client = stack.client();
    const miner = await modern('own');
    const ids = new Set<string>();
    for (const [caller, headers] of [
      [client.caller, {}],
      [stack.client().caller, { 'x-stainless-retry-count': '1' }],
      [client.caller, { 'x-stainless-retry-count': '0' }],
    ] as const) {
      const asked = chat(caller, chatOf('own'), { headers });
      const work = await miner.take();
      ids.add(work.id);
      await miner.complete(work, written('mine'));
      expect((await bodyOf(await asked)).id).toBe(`chatcmpl-${work.id}`);
    }
    expect(ids.size).toBe(3);
  });

  test('with an Idempotency-Key the same request is the same job, and another is refused', async () => {
    const client = stack.client();
    const miner = await modern('keyed');
    const headers = { 'idempotency-key': newId() };
    const first = chat(client.caller, chatOf('keyed'), { headers });
    const work = await miner.take();
    // Asked again while it runs: both get the one answer, and one that leaves does not end it for the other.
    const leaving = new AbortController();
    const gone = chat(client.caller, chatOf('keyed'), { headers, signal: leaving.signal }).catch(() => {});
    const second = chat(client.caller, chatOf('keyed'), { headers });
    leaving.abort();
    await gone;
    await miner.complete(work, written('one'));
    expect((await bodyOf(await first)).id).toBe(`chatcmpl-${work.id}`);
    expect((await bodyOf(await second)).id).toBe(`chatcmpl-${work.id}`);
    const other = await chat(client.caller, chatOf('keyed', { seed: 1 }), { headers });
    expect(other.status).toBe(400);
    expect(await errorOf(other)).toMatchObject({ code: 'idempotency_key_reused', param: 'Idempotency-Key' });
  });
});

test('a miner that is named in the place of a request makes the answer, of two that are equal', async () => {
  const client = stack.client();
  const equal = await modern('placed', { concurrency: 4 });
  const named = await modern('placed', { concurrency: 4 });
  for (const miner of [named, equal, named]) {
    const asked = chat(client.caller, chatOf('placed', { aitbc: { miner_id: miner.id } }));
    const others = [equal, named].filter(({ id }) => id !== miner.id);
    const work = await miner.take();
    for (const other of others) expect(await other.poll({ wait_seconds: 0 })).toEqual([]);
    expect(work.parameters).not.toHaveProperty('request.aitbc');
    await miner.complete(work, written('Hi'));
    expect((await asked).status).toBe(200);
  }
});

describe('what is refused', () => {
  test.each([
    ['no messages', { messages: [] }, 'invalid_value', 'messages'],
    ['none at all', { messages: undefined }, 'missing_required_parameter', 'messages'],
    ['a temperature of 3', { temperature: 3 }, 'invalid_value', 'temperature'],
    ['a region that is a number', { aitbc: { region: 3 } }, 'invalid_value', 'aitbc.region'],
    ['an unknown wish', { aitbc: { prise: 1 } }, 'invalid_value', 'aitbc.prise'],
    [
      'a picture at an address',
      {
        messages: [
          { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://a.example/b.png' } }] },
        ],
      },
      'invalid_value',
      'messages.0.content.0',
    ],
  ])('%s: 400, with the field', async (_what, more, code, param) => {
    const response = await chat(stack.client().caller, chatOf('m', more));
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ type: 'invalid_request_error', code, param });
  });

  test.each([
    ['X-AITBC-Price', 'a lot'],
    ['X-AITBC-Price', '0.123456789'],
    ['X-AITBC-Max-Wait', '601'],
    ['X-AITBC-Timeout', '1.5'],
  ])('%s: %s', async (name, value) => {
    const response = await chat(stack.client().caller, chatOf('m'), { headers: { [name]: value } });
    expect(response.status).toBe(400);
    expect(await errorOf(response)).toMatchObject({ param: name });
  });

  test('a model that nobody offers, with those that are near', async () => {
    await modern('near-llama:8b');
    await stack.miner({ capabilities: ['chat_completion'], models: ['asleep'], status: 'inactive' });
    const any = await stack.miner({ capabilities: ['chat_completion'], models: [] });
    const refused = await eventually(async () => {
      const response = await chat(stack.client().caller, chatOf('near-lama:8b'));
      const error = await errorOf(response);
      return error.message.includes('near-llama:8b') && { status: response.status, error };
    });
    expect(refused).toMatchObject({ status: 404, error: { code: 'model_not_found', param: 'model' } });
    expect((await chat(stack.client().caller, chatOf('asleep'))).status).toBe(404);
    await any.change({ status: 'inactive' });
  });

  test('a price below all miners’, with the least', async () => {
    await modern('dear', { price_per_job_minor: 2_000_000 });
    const refused = await eventually(async () => {
      const response = await chat(stack.client().caller, chatOf('dear@0.01'));
      return response.status === 402 && response;
    });
    const error = await errorOf(refused);
    expect(error).toMatchObject({ type: 'insufficient_quota', code: 'price_too_low' });
    expect(error.message).toContain('0.02');
  });

  test('what no miner takes in time', async () => {
    await modern('nobody polls');
    const refused = await eventually(async () => {
      const headers = { 'x-aitbc-max-wait': '1' };
      const response = await chat(stack.client().caller, chatOf('nobody polls'), { headers });
      return response.status !== 404 && response;
    });
    expect(refused.status).toBe(503);
    expect(refused.headers.get('x-should-retry')).toBe('false');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await errorOf(refused)).toMatchObject({ type: 'server_error', code: 'no_capacity' });
  });

  const reports = [
    [
      'MODEL_SERVER_REFUSED',
      'the model server refused the request (400 context_length_exceeded): 9000 tokens do not fit',
      400,
      'context_length_exceeded',
      '9000 tokens do not fit',
    ],
    [
      'MODEL_SERVER_REFUSED',
      'the model server refused the request (422): the prompt is too long for the context window',
      400,
      'context_length_exceeded',
      'the prompt is too long',
    ],
    ['BACKEND_ERROR', 'out of memory', 502, 'upstream_error', 'out of memory'],
  ] as const;
  test.each(reports)('%s: %s', async (code, message, status, expected, words) => {
    const model = `refusing ${sha256(message).slice(0, 8)}`;
    const miner = await modern(model);
    const asked = chat(stack.client().caller, chatOf(model, { aitbc: { max_attempts: 1 } }));
    const work = await miner.take();
    await miner.report({ job_id: work.id, lease: work.lease, ...failed(code, message) });
    const response = await asked;
    expect(response.status).toBe(status);
    expect(response.headers.get('x-aitbc-job-id')).toBe(work.id);
    expect(response.headers.get('x-should-retry')).toBe(status === 502 ? 'false' : null);
    const error = await errorOf(response);
    expect(error.code).toBe(expected);
    expect(error.message).toContain(words);
  });

  test('what is no answer to the request; nothing is signed or paid for it', async () => {
    const [client, miner] = [stack.client(), await modern('odd')];
    const asked = chat(client.caller, chatOf('odd', { aitbc: { max_attempts: 1 } }));
    const work = await miner.take();
    const report = { job_id: work.id, lease: work.lease, status: 'completed' as const };
    const verdict = await miner.report({ ...report, result: { choices: 'none' } });
    expect(verdict.body).toMatchObject({ status: 'failed', receipt: null });
    const again = await miner.report({ ...report, result: { choices: 'none' } });
    expect(again.body).toEqual(verdict.body);
    const response = await asked;
    expect([response.status, (await errorOf(response)).code]).toEqual([502, 'upstream_error']);
    const { body } = await client.http.call(jobsRoutes.get, { params: { job_id: work.id } });
    expect(body).toMatchObject({ status: 'failed', error: { code: 'RESULT_UNREADABLE' } });
  });
});

test('a price is held before, in its order: header, body, name, key', async () => {
  const client = stack.client();
  await modern('paid', { price_per_job_minor: 1_000_000 });
  const said = async (body: object, headers: Record<string, string> = {}, caller = client.caller) => {
    const leaving = new AbortController();
    const asked = chat(caller, body, { headers, signal: leaving.signal }).catch(() => {});
    const before = stack.toPayments.length;
    const heard = await eventually(() =>
      stack.toPayments
        .slice(before)
        .find(
          ({ name, payload }) =>
            name === 'jobs.submitted' &&
            'account_id' in payload &&
            payload.account_id === client.caller.account_id,
        ),
    );
    leaving.abort();
    await asked;
    return (heard.payload as { payment_amount_minor: number }).payment_amount_minor;
  };
  await eventually(async () => (await ask(client.caller, '/v1/models/paid')).status === 200);
  expect(await said(chatOf('paid@0.25'))).toBe(25_000_000);
  expect(await said(chatOf('paid@0.25', { aitbc: { price: 0.5 } }))).toBe(50_000_000);
  expect(await said(chatOf('paid@0.25', { aitbc: { price: 0.5 } }), { 'x-aitbc-price': '0.75' })).toBe(
    75_000_000,
  );
  const priced = { ...client.caller, default_price_minor: 12_500_000 };
  expect(await said(chatOf('paid'), {}, priced)).toBe(12_500_000);
  expect(await said(chatOf('paid@0.25'), {}, priced)).toBe(25_000_000);
  const free = await chat(priced, chatOf('paid@free'));
  expect([free.status, (await errorOf(free)).code]).toEqual([402, 'price_too_low']);
});

test('models are what active miners offer, folded to one name', async () => {
  const client = stack.client();
  await stack.miner({
    capabilities: ['constructor', '__proto__', 'chat_completion', 'embedding'],
    models: ['Org/Listed:latest', 'listed-embed'],
    concurrency: 2,
    price_per_job_minor: 3_000_000,
  });
  await stack.miner({
    capabilities: ['llm_inference'],
    models: ['org/listed'],
    concurrency: 3,
    price_per_job_minor: 1_000_000,
  });
  const model = await eventually(async () => {
    const response = await ask(client.caller, '/v1/models/org%2Flisted');
    const body = await bodyOf(response);
    return body.aitbc?.miners === 2 && body;
  });
  expect(model).toMatchObject({
    id: 'Org/Listed',
    object: 'model',
    owned_by: 'aitbc',
    aitbc: {
      kinds: ['chat'],
      miners: 2,
      free_slots: 5,
      price_min: 0.01,
      price_median: 0.03,
      usual_wait_seconds: null,
    },
  });
  const { data } = await bodyOf(await ask(client.caller, '/v1/models'));
  expect(data).toContainEqual(model);
  const listed = data.find(({ id }) => id === 'listed-embed');
  expect(listed?.aitbc.kinds).toEqual(['embedding']);
  const missing = await ask(client.caller, '/v1/models/nothing');
  expect(missing.status).toBe(404);
  expect(await errorOf(missing)).toMatchObject({ code: 'model_not_found' });
});
