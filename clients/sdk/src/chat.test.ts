import { afterEach, expect, test } from 'vitest';
import {
  Aitbc,
  type ChatEvent,
  ConnectionError,
  InsufficientFundsError,
  InvalidRequestError,
  NotFoundError,
  ServerError,
} from './index.ts';
import { cuts, refuses, type Step, says, scriptedServer, streams } from './testing/scripted-server.ts';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});
const against = async (...steps: Step[]) => {
  const server = await scriptedServer(...steps);
  open.push(server);
  return { server, client: new Aitbc({ baseUrl: server.url, apiKey: 'k' }) };
};

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const piece = (delta: object, more: object = {}): string =>
  data({ id: 'c', choices: [{ index: 0, delta, finish_reason: null, ...more }] });
const OF_JOB = { job_id: 'j', receipt_id: 'r', miner_id: 'm', price: 0.25 };
const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
const WHOLE = [
  ': queued, position 2\n\n',
  piece({ role: 'assistant', content: '', reasoning_content: 'hm' }),
  piece({ content: 'Guten ' }),
  piece({ content: 'Tag ☀' }),
  piece({}, { finish_reason: 'stop' }),
  data({ choices: [], usage: USAGE, aitbc: OF_JOB }),
  'data: [DONE]\n\n',
];
const ASKED = { model: 'm@0.25', messages: [{ role: 'user' as const, content: 'Hallo' }], temperature: 0 };
const END = {
  text: 'Guten Tag ☀',
  reasoning: 'hm',
  model: 'm@0.25',
  finish_reason: 'stop',
  usage: USAGE,
  ...OF_JOB,
};
const collect = async (events: AsyncIterable<ChatEvent>): Promise<ChatEvent[]> => {
  const seen: ChatEvent[] = [];
  for await (const event of events) seen.push(event);
  return seen;
};
const keys = (server: Awaited<ReturnType<typeof scriptedServer>>) =>
  server.asked.map(({ headers }) => headers['idempotency-key']);

test('an answer comes piece by piece, wherever its bytes are cut, and ends with what it came to', async () => {
  const bytes = Buffer.from(WHOLE.join(''));
  const parts = Array.from({ length: Math.ceil(bytes.length / 5) }, (_, at) =>
    bytes.subarray(at * 5, at * 5 + 5),
  );
  const { server, client } = await against(streams(parts, 'stay'));
  const seen = await collect(client.chat.stream(ASKED));
  expect(seen[0]).toEqual({ type: 'waiting', message: 'queued, position 2' });
  expect(seen.at(-1)).toEqual({ type: 'end', ...END });
  const deltas = seen.filter((event) => event.type === 'delta');
  expect(deltas.map(({ text }) => text)).toEqual(['', 'Guten ', 'Tag ☀', '']);
  expect(deltas.map(({ reasoning }) => reasoning)).toEqual(['hm', '', '', '']);
  expect(server.asked[0]?.path).toBe('/v1/chat/completions');
  expect(server.asked[0]?.body).toEqual({ ...ASKED, stream: true, stream_options: { include_usage: true } });
});

test('the whole answer at once', async () => {
  const { client } = await against(streams(WHOLE));
  expect(await client.chat.run(ASKED)).toEqual(END);
});

test('what is lost before the first piece is asked for again under the same key', async () => {
  const { server, client } = await against(
    cuts,
    refuses(503, 'overloaded', { 'retry-after': '0' }),
    streams([': working\n\n'], 'cut'),
    streams([data({ error: { message: 'it stops', type: 'server_error', code: 'overloaded' } })]),
    streams(WHOLE),
  );
  expect(await client.chat.run(ASKED)).toEqual(END);
  expect(keys(server)).toHaveLength(5);
  expect(new Set(keys(server)).size).toBe(1);
  await client.chat.run(ASKED);
  expect(new Set(keys(server)).size).toBe(2);
});

test('what is lost after it is an error: two answers would not fit together', async () => {
  const { server, client } = await against(streams(WHOLE.slice(0, 3), 'cut'));
  const texts: string[] = [];
  const reading = async () => {
    for await (const event of client.chat.stream(ASKED)) if (event.type === 'delta') texts.push(event.text);
  };
  await expect(reading()).rejects.toThrow(ConnectionError);
  expect(texts).toEqual(['', 'Guten ']);
  const ended = await against(streams(WHOLE.slice(0, 6)));
  await expect(ended.client.chat.run(ASKED)).rejects.toThrow('cut off before its end');
  expect(server.asked.length + ended.server.asked.length).toBe(2);
});

test('refusals are the errors that they are elsewhere, before the first byte and after it', async () => {
  const openai = (status: number, code: string, more = {}, headers = {}): Step =>
    says(status, { error: { message: `it is ${code}`, type: 't', param: null, code, ...more } }, headers);
  const final = { 'x-should-retry': 'false', 'retry-after': '0' };
  const refused = async (step: Step) => {
    const { server, client } = await against(step);
    const error = await client.chat.run(ASKED).catch((caught) => caught);
    expect(server.asked).toHaveLength(1);
    return error;
  };
  expect(await refused(openai(404, 'model_not_found'))).toBeInstanceOf(NotFoundError);
  expect(await refused(openai(503, 'no_capacity', {}, final))).toMatchObject({
    code: 'no_capacity',
    message: 'it is no_capacity',
    isFinal: true,
  });
  const field = await refused(openai(400, 'invalid_value', { param: 'temperature' }));
  expect(field).toBeInstanceOf(InvalidRequestError);
  expect(field.details).toEqual({ param: 'temperature' });

  const said = (type: string, code: string) =>
    refused(streams([': working\n\n', data({ error: { message: 'so', type, code, param: null } })]));
  expect(await said('insufficient_quota', 'insufficient_quota')).toBeInstanceOf(InsufficientFundsError);
  expect(await said('server_error', 'no_capacity')).toBeInstanceOf(ServerError);
});

test('who goes away lets the connection go', async () => {
  let closed = 0;
  const stays: Step = (response, asked) => {
    response.on('close', () => closed++);
    return streams(WHOLE.slice(0, 3), 'stay')(response, asked);
  };
  const { client } = await against(stays);
  for await (const event of client.chat.stream(ASKED)) if (event.type === 'delta') break;
  await expect.poll(() => closed).toBe(1);
  const leaving = new AbortController();
  const reading = async () => {
    for await (const event of client.chat.stream(ASKED, { signal: leaving.signal }))
      if (event.type === 'delta') leaving.abort(new Error('gone'));
  };
  await expect(reading()).rejects.toThrow('gone');
  await expect.poll(() => closed).toBe(2);
});
