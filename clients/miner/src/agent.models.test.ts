import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createEmbedding } from './executors/embedding.ts';
import { createLlmInference } from './executors/llm_inference.ts';
import { createOpenAiServer } from './executors/openai-server.ts';
import { type AgentUnderTest, startAgent } from './testing/agent-under-test.ts';
import { type CoordinatorServer, startCoordinatorServer } from './testing/coordinator-server.ts';
import { eventually } from './testing/eventually.ts';
import { type ModelServer, startModelServer } from './testing/model-server.ts';

let coordinator: CoordinatorServer;
let api: ModelServer;
let running: AgentUnderTest | undefined;

const LIST_TIMEOUT_MS = 200;

/** One that probes once a minute must not miss its first list on a busy machine. */
const PATIENT_MS = 10_000;

const start = (options: Parameters<typeof startAgent>[2] = {}): AgentUnderTest => {
  const listMs = (options?.timing?.probeMs ?? 0) > LIST_TIMEOUT_MS ? PATIENT_MS : LIST_TIMEOUT_MS;
  const server = createOpenAiServer(api.url, undefined, [], listMs);
  running = startAgent(coordinator, [createLlmInference(server), createEmbedding(server)], options);
  return running;
};
const submit = (prompt: string, model = 'tiny'): string =>
  coordinator.submit('llm_inference', { model, prompt });
const promptOf = (body: Record<string, unknown>): string =>
  (body.messages as { content: string }[] | undefined)?.[0]?.content ?? '';
/** Fails each job that says so, as servers do that break on some prompts. */
const failBad = (): void => {
  api.script.error = (body) =>
    promptOf(body).startsWith('bad') ? { status: 502, message: 'no backend' } : undefined;
};
const completed = (id: string) => eventually(() => expect(coordinator.stateOf(id)).toBe('completed'));
const offered = () => coordinator.seen.registrations.at(-1);

beforeEach(async () => {
  coordinator = await startCoordinatorServer();
  api = await startModelServer(['tiny', 'large'], ['nomic-embed-text']);
});
afterEach(async () => {
  await running?.end();
  running = undefined;
  await Promise.all([coordinator.close(), api.close()]);
});

describe('trouble', () => {
  it('of two jobs keeps no other waiting', async () => {
    failBad();
    const agent = start({ concurrency: 1, timing: { troubleBackoff: { baseMs: 60_000, capMs: 60_000 } } });
    const bad = [submit('bad 1'), submit('bad 2')];
    const good = submit('good');
    await completed(good);
    for (const id of bad) {
      expect(coordinator.reportOf(id)).toMatchObject({ retryable: true, error: { code: 'BACKEND_ERROR' } });
      expect(coordinator.reportOf(id)).not.toHaveProperty('not_started');
    }
    expect(agent.events()).not.toContain('trouble');
  });

  it('of one model pauses that one alone, and for a while', async () => {
    failBad();
    start({ concurrency: 1, timing: { troubleBackoff: { baseMs: 2_000, capMs: 2_000 } } });
    for (const n of [1, 2, 3]) submit(`bad ${n}`);
    await eventually(() => expect(offered()?.models).toEqual(['large', 'nomic-embed-text']));
    expect(offered()?.status_note).toContain('tiny');
    await completed(submit('good', 'large'));
    await eventually(() => expect(offered()?.models).toContain('tiny'));
    expect(offered()).not.toHaveProperty('status_note');
  });
});

describe('what the server does not do any more is offered no more', () => {
  it('a model that it says is gone, before the job is on its way elsewhere', async () => {
    start({ timing: { probeMs: 60_000 } });
    await eventually(() => expect(offered()?.models).toContain('large'));
    api.models.splice(api.models.indexOf('large'), 1);
    const order: string[] = [];
    const id = submit('hello', 'LARGE:latest');
    await eventually(() => {
      if (offered()?.models?.includes('large') === false && !order.includes('offer')) order.push('offer');
      if (coordinator.seen.reports.length > 0 && !order.includes('report')) order.push('report');
      expect(order).toHaveLength(2);
    });
    expect(coordinator.seen.reportedAfter(id)).toBe(coordinator.seen.registrations.length);
    expect(coordinator.reportOf(id)).toMatchObject({
      error: { code: 'MODEL_NOT_AVAILABLE' },
      retryable: true,
      not_started: true,
    });
    expect(offered()?.models).toEqual(['nomic-embed-text', 'tiny']);
    await completed(submit('hello', 'tiny'));
  });

  it('a model that the list goes on naming stays away for a while', async () => {
    start();
    api.script.error = (body) =>
      body.model === 'large' ? { status: 404, message: 'model "large" not found' } : undefined;
    submit('hello', 'large');
    await eventually(() => expect(offered()?.models).toEqual(['nomic-embed-text', 'tiny']));
    const lists = api.seen.lists;
    await eventually(() => expect(api.seen.lists).toBeGreaterThan(lists + 2));
    expect(offered()?.models).toEqual(['nomic-embed-text', 'tiny']);
  });

  it('all work, when the key is refused for it; the owner reads why', async () => {
    api.script.error = { status: 401, message: 'no' };
    api.embeddingModels.length = 0;
    start();
    const id = submit('hello');
    await eventually(() => expect(coordinator.reportOf(id)).toMatchObject({ not_started: true }));
    await eventually(() =>
      expect(offered()).toMatchObject({
        capabilities: [],
        status_note: expect.stringContaining('--llm-key'),
      }),
    );
    const trials = api.seen.chats.length;
    await eventually(() => expect(api.seen.chats.length).toBeGreaterThan(trials + 1));
    expect(offered()?.capabilities).toEqual([]);
    api.script.error = undefined;
    await eventually(() => expect(offered()?.capabilities).toEqual(['llm_inference']));
    await completed(submit('again'));
  });
});

describe('a busy server', () => {
  it('that does one thing at a time keeps its offer, and its next job follows at once', async () => {
    api.script.oneThread = true;
    start({ concurrency: 1 });
    await eventually(() => expect(offered()?.capabilities).toHaveLength(2));
    api.script.firstByteMs = 4 * LIST_TIMEOUT_MS;
    const ids = [submit('one'), submit('two')];
    for (const id of ids) await completed(id);
    expect(coordinator.seen.registrations).toHaveLength(1);
  });

  it('that says nothing is let go within two seconds of a cancel', async () => {
    coordinator.setHeartbeatSeconds(13);
    api.script.end = 'silent';
    start({ concurrency: 1 });
    const id = submit('hello');
    await eventually(() => expect(api.seen.chats).toHaveLength(1));
    const at = performance.now();
    coordinator.cancel(id);
    await eventually(() => expect(api.seen.closedEarly).toBe(1));
    expect(performance.now() - at).toBeLessThan(2_000);
    api.script.end = 'stop';
    await completed(submit('next'));
    // At the start, and after the cancel: no more requests than beats without a job.
    expect(coordinator.seen.heartbeats.length).toBeLessThanOrEqual(3);
  });
});

describe('two agents under one name', () => {
  it('the second waits with a sentence, and takes over when the first is gone', async () => {
    const leave = coordinator.occupy('box');
    const agent = start();
    await eventually(() => expect(agent.log()).toContain('MINER_NAME_IN_USE'));
    expect(coordinator.seen.polls).toEqual([]);
    leave();
    await completed(submit('hello'));
    expect(offered()?.instance_id).toBe(coordinator.seen.heartbeats.at(-1)?.instance_id);
    expect(agent.events().filter((event) => event === 'name-in-use')).toHaveLength(1);
  });

  it('one that lost its name takes no more work until it has it again', async () => {
    const agent = start();
    await completed(submit('hello'));
    const leave = coordinator.occupy('box');
    await eventually(() => expect(agent.events()).toContain('name-in-use'));
    await eventually(() => expect(coordinator.openPolls()).toBe(0));
    const id = submit('for another');
    leave();
    await completed(id);
  });
});
