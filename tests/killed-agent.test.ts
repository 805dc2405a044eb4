import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Client, newId, routes } from '@aitbc/contracts';
import { eventually, keepOutput } from '@aitbc/testing';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startModelServer } from '../clients/miner/src/testing/model-server.ts';
import {
  type Coordinator,
  must,
  passes,
  registerMiner,
  STARTING_MS,
  startCoordinator,
  takeWork,
} from './coordinator.ts';
import { openEvents } from './events.ts';

const MAIN = fileURLToPath(new URL('../clients/miner/src/main.ts', import.meta.url));
/** From the kill to the second attempt: the name is free after 2 s, then three beats of 5 s, then the job rests 1 s. */
const AGAIN_WITHIN_MS = 20_000;
/** What a miner is told to wait between beats while it has work in hand. */
const BEAT_MS = 5_000;

let coordinator: Coordinator;
let client: Client;
const children: ChildProcess[] = [];
beforeAll(async () => {
  coordinator = await startCoordinator();
  client = coordinator.client;
}, STARTING_MS);
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(() => coordinator?.stop());

const statusOf = async (job_id: string) =>
  must(await client.call(routes.jobs.status, { params: { job_id }, query: {} }));
const submit = async (job_type: 'chat_completion' | 'custom', parameters: object, more: object = {}) =>
  must(
    await client.call(routes.jobs.submit, {
      body: { job_type, parameters: parameters as Record<string, unknown>, timeout_seconds: 3_600, ...more },
    }),
  );

test('an agent that is killed and started again runs its job again within 20 seconds, and is paid once', async () => {
  const account = await coordinator.newAccount(['miner']);
  const { user_id } = must(await client.call(routes.gateway.me, {}));
  must(
    await coordinator.admin.call(routes.payments.credit, {
      params: { account_id: user_id },
      body: { amount: 2, reason: 'to pay with' },
    }),
  );
  const api = await startModelServer(['slow-thinker']);
  try {
    // It dies in the middle of an answer.
    Object.assign(api.script, { pieces: ['I', ' am'], end: 'hold' });
    const start = (): ChildProcess => {
      const args = ['--coordinator', coordinator.url, '--llm-url', api.url, '--name', 'box'];
      const child = spawn(process.execPath, [MAIN, ...args], {
        env: { ...process.env, AITBC_MINER_KEY: account.key },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      keepOutput(child);
      children.push(child);
      return child;
    };
    const first = start();
    const request = { model: 'slow-thinker', messages: [{ role: 'user', content: 'How are you?' }] };
    const job = await submit('chat_completion', { request }, { payment_amount: 2 });
    const events = await openEvents(`${coordinator.url}/v1/client/jobs/${job.id}/events`, {
      'x-api-key': coordinator.keys.client,
    });
    const told = events.all();
    const names = () => events.seen.map(({ event }) => event);
    await passes(
      async () => expect(await statusOf(job.id)).toMatchObject({ status: 'running', attempt: 1 }),
      {
        withinMs: 30_000,
      },
    );
    await eventually(() => api.seen.chats.length === 1);
    await eventually(() => names().includes('delta'));

    const at = performance.now();
    first.kill('SIGKILL');
    Object.assign(api.script, { pieces: ['Well.'], end: 'stop' });
    start();
    await passes(async () => expect((await statusOf(job.id)).attempt).toBe(2), { withinMs: 60_000 });
    const againMs = performance.now() - at;
    await passes(async () =>
      expect(await statusOf(job.id)).toMatchObject({ status: 'completed', attempt: 2 }),
    );
    // Who listened heard that it begins anew, and nothing of two attempts as one.
    await told;
    const kinds = names().filter((name) => ['delta', 'restarted', 'end'].includes(name));
    expect(kinds.slice(0, kinds.indexOf('restarted')).every((name) => name === 'delta')).toBe(true);
    expect(kinds.slice(kinds.indexOf('restarted') + 1)).not.toContain('restarted');
    expect(events.seen.at(-1)).toMatchObject({
      event: 'end',
      data: { attempt: 2, result: { choices: [{ message: { content: 'Well.' } }] } },
    });
    console.log(`killed agent: its job ran again after ${(againMs / 1_000).toFixed(1)} s`);
    expect(againMs).toBeLessThan(AGAIN_WITHIN_MS);
    const receipts = must(await client.call(routes.jobs.receipts, { params: { job_id: job.id } }));
    expect(receipts.items).toHaveLength(1);
    await passes(async () =>
      expect(must(await client.call(routes.payments.getByJob, { params: { job_id: job.id } }))).toMatchObject(
        { status: 'released', amount: 2 },
      ),
    );
    const { user_id: payee } = must(await account.caller.call(routes.gateway.me, {}));
    const { fee } = must(await client.call(routes.payments.getByJob, { params: { job_id: job.id } }));
    expect(
      must(await account.caller.call(routes.payments.balance, { params: { user_id: payee } })),
    ).toMatchObject({ balance: 2 - fee, held: 0 });
    // Nothing of the lost attempt holds its slot.
    await passes(async () =>
      expect(must(await account.caller.call(routes.miners.me, { query: {} })).items).toMatchObject([
        { inflight: 0, idle_reason: 'no_matching_jobs' },
      ]),
    );
  } finally {
    await api.close();
  }
}, 120_000);

test('a miner that came back says by three beats that it has nothing: its job waits again', async () => {
  const { caller } = await coordinator.newAccount(['miner']);
  const region = `r-${newId()}`;
  const offer = { name: 'by-hand', capabilities: ['custom'], concurrency: 1, region };
  const { id } = await registerMiner(caller, offer);
  const job = await submit('custom', {}, { constraints: { region } });
  const [lost] = await takeWork(caller, id);
  expect(lost?.id).toBe(job.id);

  // The lease is news to who hears the beats: a beat before that is no word about it.
  await passes(async () =>
    expect(must(await caller.call(routes.miners.me, { query: {} })).items).toMatchObject([{ inflight: 1 }]),
  );
  // It died, and is back under its name.
  expect((await registerMiner(caller, offer)).id).toBe(id);
  const at = performance.now();
  const beats: number[] = [];
  await eventually(
    async () => {
      if (performance.now() - at >= beats.length * BEAT_MS) {
        beats.push(performance.now() - at);
        must(await caller.call(routes.miners.heartbeat, { body: { miner_id: id, inflight: [] } }));
      }
      return (await statusOf(job.id)).status === 'pending';
    },
    { withinMs: 4 * BEAT_MS },
  );
  expect(beats.length).toBeLessThanOrEqual(3);
  const [again] = await takeWork(caller, id);
  expect(again).toMatchObject({ id: job.id, attempt: 2 });
  const report = { job_id: job.id, status: 'completed' as const, result: {} };
  expect(
    await caller.call(routes.jobs.result, { body: { ...report, lease: lost?.lease as string } }),
  ).toMatchObject({ status: 409, body: { error: { code: 'STALE_LEASE' } } });
  must(await caller.call(routes.jobs.result, { body: { ...report, lease: again?.lease as string } }));
}, 60_000);

test('a beat that was sent before the poll was answered takes no work away', async () => {
  const { caller } = await coordinator.newAccount(['miner']);
  const region = `r-${newId()}`;
  const { id } = await registerMiner(caller, {
    name: 'racing',
    capabilities: ['custom'],
    concurrency: 64,
    region,
  });
  const held: { id: string; lease: string }[] = [];
  const beat = async () =>
    must(
      await caller.call(routes.miners.heartbeat, {
        body: { miner_id: id, inflight: held.map((job) => job.id) },
      }),
    );
  for (let round = 0; round < 50; round += 1) {
    const [, taken] = await Promise.all([
      submit('custom', {}, { constraints: { region } }),
      takeWork(caller, id),
      // On its way while the poll is answered: it cannot name what comes with that answer.
      beat(),
    ]);
    held.push(...taken);
  }
  await beat();
  for (const { id: jobId } of held)
    expect(await statusOf(jobId)).toMatchObject({ status: 'running', attempt: 1 });
}, 60_000);
