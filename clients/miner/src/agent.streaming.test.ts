import { afterEach, beforeEach, expect, it } from 'vitest';
import { createChatCompletion } from './executors/completion.ts';
import { createLlmInference } from './executors/llm_inference.ts';
import { createOpenAiServer } from './executors/openai-server.ts';
import { type AgentUnderTest, startAgent } from './testing/agent-under-test.ts';
import { type CoordinatorServer, startCoordinatorServer } from './testing/coordinator-server.ts';
import { eventually } from './testing/eventually.ts';
import { type ModelServer, startModelServer } from './testing/model-server.ts';

let coordinator: CoordinatorServer;
let server: ModelServer;
let agent: AgentUnderTest;

beforeEach(async () => {
  coordinator = await startCoordinatorServer();
  server = await startModelServer(['tiny']);
  const backend = createOpenAiServer(server.url, undefined);
  agent = startAgent(coordinator, [createChatCompletion(backend), createLlmInference(backend)]);
});
afterEach(async () => {
  await agent.end();
  await coordinator.close();
  await server.close();
});

const submit = (options: { isListened?: boolean } = {}) =>
  coordinator.submit(
    'chat_completion',
    { request: { model: 'tiny', messages: [{ role: 'user', content: 'Hi' }] } },
    options,
  );
const requestsFor = (id: string) => coordinator.seen.streamed.filter(({ job_id }) => job_id === id);
/** What the coordinator has, each chunk once, whatever was sent twice. */
const textOf = (id: string): string => {
  const chunks: Record<string, unknown>[] = [];
  for (const { seq, chunks: sent } of requestsFor(id))
    for (const [at, chunk] of sent.entries()) chunks[seq + at] = chunk;
  return chunks
    .flatMap((chunk) => chunk.choices as { delta?: { content?: string } }[])
    .map((choice) => choice.delta?.content ?? '')
    .join('');
};

it('passes on what it makes while it makes it, all of it before the result', async () => {
  const words = Array.from({ length: 60 }, (_, at) => `word${at} `);
  Object.assign(server.script, { pieces: words, betweenMs: 10, end: 'stop' });
  const id = submit({ isListened: true });
  await eventually(() => expect(requestsFor(id).length).toBeGreaterThan(0));
  expect(coordinator.stateOf(id)).toBe('running');
  await eventually(() => expect(coordinator.stateOf(id)).toBe('completed'));
  expect(textOf(id)).toBe(words.join(''));
  const requests = requestsFor(id);
  // One each 50 ms and no more, and two for the first and the last word.
  const tookMs = (requests.at(-1)?.at ?? 0) - (requests[0]?.at ?? 0);
  expect(requests.length).toBeLessThan(tookMs / 50 + 4);
  expect(requests.length).toBeGreaterThan(4);
  expect(coordinator.reportOf(id)).toMatchObject({
    result: { choices: [{ message: { content: words.join('') } }] },
    metrics: { tokens: 60, first_token_ms: expect.any(Number), tokens_per_second: expect.any(Number) },
  });
});

it('passes on nothing while nobody listens, and all of it to one who comes late', async () => {
  Object.assign(server.script, { pieces: ['one ', 'two ', 'three'], end: 'hold' });
  const id = submit();
  await eventually(() => expect(server.seen.working).toBe(1));
  // The first chunk asks; then it asks without.
  await eventually(() => expect(requestsFor(id)).toHaveLength(2), 3_000);
  expect(requestsFor(id).map(({ seq, chunks }) => [seq, chunks.length])).toEqual([
    [0, 1],
    [0, 0],
  ]);
  coordinator.listen(id);
  await eventually(() => expect(textOf(id)).toBe('one two three'), 4_000);
});

it('sends again what was not answered, and never out of order', async () => {
  Object.assign(server.script, { pieces: ['one ', 'two ', 'three'], end: 'hold' });
  coordinator.fail('stream', 'cut', { status: 503 });
  const id = submit({ isListened: true });
  await eventually(() => expect(textOf(id)).toBe('one two three'), 6_000);
});

it('lets the model server go at once when the coordinator does not want the job any more', async () => {
  Object.assign(server.script, { pieces: Array(10_000).fill('word '), betweenMs: 5 });
  const id = submit({ isListened: true });
  await eventually(() => expect(requestsFor(id).length).toBeGreaterThan(1));
  // The heartbeat tells it too: here it is not to.
  coordinator.holdBeats();
  const cancelledAt = performance.now();
  coordinator.cancel(id);
  await eventually(() => expect(server.seen.closedEarly).toBe(1));
  expect(server.seen.closedEarlyAt - cancelledAt).toBeLessThan(1_000);
});

it('carries all its streams in one request each 50 ms', async () => {
  await agent.end();
  const backend = createOpenAiServer(server.url, undefined);
  agent = startAgent(coordinator, [createChatCompletion(backend)], { concurrency: 20 });
  const words = Array.from({ length: 60 }, (_, at) => `word${at} `);
  Object.assign(server.script, { pieces: words, betweenMs: 10 });
  const requestsBefore = coordinator.seen.streamRequests;
  const ids = Array.from({ length: 20 }, () => submit({ isListened: true }));
  await eventually(() => {
    for (const id of ids) expect(coordinator.stateOf(id)).toBe('completed');
  });
  for (const id of ids) expect(textOf(id)).toBe(words.join(''));
  const times = coordinator.seen.streamed.map(({ at }) => at);
  const tookMs = Math.max(...times) - Math.min(...times);
  // The first and the last words of twenty are in a hurry.
  expect(coordinator.seen.streamRequests - requestsBefore).toBeLessThan(tookMs / 50 + 45);
});

it('passes on texts of llm_inference', async () => {
  const id = coordinator.submit('llm_inference', { model: 'tiny', prompt: 'Hi' }, { isListened: true });
  await eventually(() => expect(coordinator.stateOf(id)).toBe('completed'));
  expect(requestsFor(id).flatMap(({ chunks }) => chunks)).toEqual([
    { text: 'Hello' },
    { text: ', ' },
    { text: 'world' },
  ]);
});
