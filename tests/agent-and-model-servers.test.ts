import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, request as forward, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { type Client, routes } from '@aitbc/contracts';
import { eventually, keepOutput } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ModelServer, startModelServer } from '../clients/miner/src/testing/model-server.ts';
import { type Coordinator, must, passes, STARTING_MS, startCoordinator } from './coordinator.ts';

// The agent as its owner starts it, beside model servers as they are: slow, of one thread, broken, refusing. Each has
// models of its own, so that all run at once.

const MAIN = fileURLToPath(new URL('../clients/miner/src/main.ts', import.meta.url));
/** An hour ahead, as this machine's owner never noticed. */
const CLOCK_AHEAD = `data:text/javascript,${encodeURIComponent(`
  const Real = Date;
  globalThis.Date = class extends Real {
    constructor(...given) { given.length === 0 ? super(Real.now() + 3600000) : super(...given); }
    static now() { return Real.now() + 3600000; }
  };`)}`;

let coordinator: Coordinator;
let client: Client;
let slow: ModelServer;
let owner: { key: string; caller: Client };
const children: ChildProcess[] = [];
const apis: ModelServer[] = [];
const proxies: Server[] = [];

interface Agent {
  readonly child: ChildProcess;
  said(): string;
}
const startAgent = (name: string, api: ModelServer, more: { url?: string; node?: string[] } = {}): Agent => {
  const args = ['--coordinator', more.url ?? coordinator.url, '--llm-url', api.url, '--name', name];
  const child = spawn(
    process.execPath,
    [...(more.node ?? []), MAIN, ...args, '--only', 'llm_inference,embedding'],
    { env: { ...process.env, AITBC_MINER_KEY: owner.key }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (data) => {
      output += data;
    });
  keepOutput(child);
  children.push(child);
  return { child, said: () => output };
};
const startApi = async (...models: string[]): Promise<ModelServer> => {
  const api = await startModelServer(models);
  apis.push(api);
  return api;
};
/** A proxy that takes the `Date` header off, which would tell the agent what time it is. */
const startProxy = async (to: string): Promise<string> => {
  const server = createServer((request, response) => {
    response.sendDate = false;
    const { pathname, search } = new URL(request.url ?? '/', to);
    const onward = forward(
      new URL(pathname + search, to),
      { method: request.method, headers: request.headers },
      (reply) => {
        const { date: _, ...headers } = reply.headers;
        response.writeHead(reply.statusCode ?? 502, headers);
        reply.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxies.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
};

const ask = async (model: string, prompt: string, more: object = {}): Promise<string> =>
  must(
    await client.call(routes.jobs.submit, {
      body: { job_type: 'llm_inference', parameters: { model, prompt }, ...more },
    }),
  ).id;
const jobOf = async (job_id: string) => must(await client.call(routes.jobs.get, { params: { job_id } }));
const becomes = (job_id: string, wanted: object, withinMs = 30_000) =>
  passes(async () => expect(await jobOf(job_id)).toMatchObject(wanted), { withinMs });
const minerOf = async (name: string) =>
  must(await owner.caller.call(routes.miners.me, { query: {} })).items.find((miner) => miner.name === name);
const offers = (name: string, wanted: object) =>
  passes(async () => expect(await minerOf(name)).toMatchObject(wanted), { withinMs: 40_000 });

beforeAll(async () => {
  coordinator = await startCoordinator();
  client = coordinator.client;
  owner = await coordinator.newAccount(['miner']);
  // Its lists take their time while the others are at work.
  slow = await startApi('slow-one');
  Object.assign(slow.script, { listMs: 6_000, oneThread: true });
  startAgent('slow', slow);
}, STARTING_MS);
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const proxy of proxies) proxy.close().closeAllConnections();
  await Promise.all(apis.map((api) => api.close()));
  await coordinator?.stop();
});

const promptOf = (body: Record<string, unknown>): string =>
  (body.messages as { content: string }[] | undefined)?.[0]?.content ?? '';

test('one server through a bad day: each trouble costs its own job alone', async () => {
  const api = await startModelServer(['llama3.2:latest', 'mistral'], ['nomic-embed-text']);
  apis.push(api);
  api.script.error = (body) => {
    if (promptOf(body).startsWith('bad')) return { status: 502, message: 'no backend' };
    if (promptOf(body) === 'long') return { status: 400, text: 'prompt is too long: 9000 > 4096' };
    return undefined;
  };
  startAgent('day', api);
  await offers('day', {
    models: ['llama3.2:latest', 'mistral', 'nomic-embed-text'],
    capabilities: ['llm_inference', 'embedding'],
  });
  // No chat model was loaded to see whether it embeds.
  expect(new Set(api.seen.embedded)).toEqual(new Set(['nomic-embed-text']));

  // What fails again and again does not stand before what runs; the client's spelling is not the server's.
  const bad = [
    await ask('llama3.2', 'bad 1', { max_attempts: 10 }),
    await ask('llama3.2', 'bad 2', { max_attempts: 10 }),
  ];
  for (const id of bad)
    await passes(async () => expect((await jobOf(id)).attempt).toBeGreaterThan(0), { withinMs: 30_000 });
  await becomes(
    await ask('LLama3.2', 'good'),
    { status: 'completed', result: { text: 'Hello, world' } },
    15_000,
  );
  for (const job_id of bad) must(await client.call(routes.jobs.cancel, { params: { job_id } }));

  await becomes(await ask('mistral', 'long'), {
    status: 'failed',
    error: { message: expect.stringContaining('prompt is too long: 9000 > 4096') },
  });

  Object.assign(api.script, { reasoning: ['Hm', '…'], pieces: [], finish: 'length' });
  await becomes(await ask('mistral', 'think'), {
    status: 'completed',
    result: { text: '', reasoning: 'Hm…' },
  });
  Object.assign(api.script, { reasoning: [] });
  await becomes(await ask('mistral', 'say nothing', { max_attempts: 1 }), {
    status: 'failed',
    error: { code: 'EMPTY_ANSWER' },
  });
  Object.assign(api.script, { pieces: ['Hello', ', ', 'world'], finish: 'stop', contentType: 'text/plain' });
  await becomes(await ask('mistral', 'plain'), { status: 'completed', result: { text: 'Hello, world' } });

  // A cancel frees a silent model. Once of three: other tests may have the machine for a moment.
  api.script.end = 'silent';
  const freedAfterMs: number[] = [];
  while (freedAfterMs.length < 3 && freedAfterMs.every((ms) => ms >= 2_000)) {
    const [chats, closedBefore] = [api.seen.chats.length, api.seen.closedEarly];
    const job_id = await ask('mistral', 'silence');
    await eventually(() => api.seen.chats.length > chats, { withinMs: 30_000 });
    const cancelledAt = performance.now();
    must(await client.call(routes.jobs.cancel, { params: { job_id } }));
    await eventually(() => api.seen.closedEarly > closedBefore, { withinMs: 20_000 });
    freedAfterMs.push(performance.now() - cancelledAt);
  }
  expect(Math.min(...freedAfterMs)).toBeLessThan(2_000);
  api.script.end = 'stop';

  // A model that was removed is withdrawn at the first refusal, at no cost to the job.
  api.models.splice(api.models.indexOf('llama3.2:latest'), 1);
  const gone = await ask('llama3.2', 'where are you?', { max_attempts: 1 });
  await offers('day', { models: ['mistral', 'nomic-embed-text'] });
  await passes(async () =>
    expect(
      must(await client.call(routes.jobs.status, { params: { job_id: gone }, query: {} })),
    ).toMatchObject({
      status: 'pending',
      waiting_reason: 'no_capable_miner',
    }),
  );

  // The list needs no key, work does: nothing is offered, and the owner reads why.
  api.script.error = { status: 401, message: 'no' };
  const refused = await ask('mistral', 'who are you?', { max_attempts: 1 });
  await passes(async () => {
    const miner = await minerOf('day');
    expect(miner?.capabilities).not.toContain('llm_inference');
    expect(miner?.status_note).toContain('--llm-key');
  });
  await becomes(refused, { status: 'pending', error: null });
}, 150_000);

test('a server that is slow to list and does one thing at a time is offered, and its jobs follow each other', async () => {
  await offers('slow', { models: ['slow-one'], capabilities: ['llm_inference'] });
  Object.assign(slow.script, { firstByteMs: 1_500, listMs: 0 });
  const ids = [await ask('slow-one', 'one'), await ask('slow-one', 'two'), await ask('slow-one', 'three')];
  for (const id of ids) await becomes(id, { status: 'completed', attempt: 1 }, 20_000);
}, 90_000);

test('a clock that is an hour ahead, where no header tells the time, costs no job', async () => {
  const api = await startApi('ahead');
  startAgent('ahead', api, {
    url: await startProxy(coordinator.url),
    node: ['--import', CLOCK_AHEAD],
  });
  await becomes(await ask('ahead', 'what time is it?', { max_attempts: 1 }), {
    status: 'completed',
    attempt: 1,
    result: { text: 'Hello, world' },
  });
}, 60_000);

test('two agents under one name beside different servers: the second waits and says so, then takes over', async () => {
  const [alpha, beta] = [await startApi('alpha'), await startApi('beta')];
  const first = startAgent('twin', alpha);
  await offers('twin', { models: ['alpha'] });
  const second = startAgent('twin', beta);
  await eventually(() => second.said().includes('Trying again until it is free'), { withinMs: 30_000 });
  await becomes(await ask('alpha', 'still here?', { max_attempts: 1 }), { status: 'completed', attempt: 1 });
  expect(await minerOf('twin')).toMatchObject({ models: ['alpha'] });
  first.child.kill('SIGKILL');
  await becomes(
    await ask('beta', 'and you?', { max_attempts: 1 }),
    { status: 'completed', attempt: 1 },
    60_000,
  );
  expect(beta.seen.chats).toHaveLength(1);
}, 120_000);

test('one account holds its share of long polls and is told so; another is served at once', async () => {
  const [greedy, other] = [
    await coordinator.newAccount(['client']),
    await coordinator.newAccount(['client']),
  ];
  const waiting = async ({ caller }: typeof greedy) =>
    must(
      await caller.call(routes.jobs.submit, {
        body: { job_type: 'custom', parameters: {}, constraints: { region: 'nowhere' } },
      }),
    ).id;
  const [mine, theirs] = [await waiting(greedy), await waiting(other)];
  const statusOf = (caller: Client, job_id: string, wait_seconds: number) =>
    caller.call(routes.jobs.status, { params: { job_id }, query: { wait_seconds } });
  // Each asks again when its time is over, or when the probe below has the last place: a busy machine takes its time. At
  // once nearly: with half a second between, twenty of a thousand would always be away after the first 25 s.
  const hold = () =>
    eventually(
      async () => {
        const answer = await statusOf(greedy.caller, mine, 25);
        return answer.ok && answer.body.status === 'cancelled';
      },
      { withinMs: 80_000, everyMs: 50 },
    );
  const held = Array.from({ length: 1_000 }, hold);
  const full = await eventually(
    async () => {
      const answer = await statusOf(greedy.caller, mine, 1);
      return !answer.ok && answer;
    },
    { withinMs: 40_000 },
  );
  expect(full).toMatchObject({
    status: 429,
    body: { error: { code: 'TOO_MANY_POLLS', details: { limit: 1_000 } } },
  });
  expect(full.headers.get('retry-after')).not.toBeNull();
  // Who does not wait is answered, and so is everybody else.
  must(await statusOf(greedy.caller, mine, 0));
  must(await statusOf(other.caller, theirs, 1));
  must(await greedy.caller.call(routes.jobs.cancel, { params: { job_id: mine } }));
  await Promise.all(held);
  must(await statusOf(greedy.caller, mine, 25));
}, 90_000);
