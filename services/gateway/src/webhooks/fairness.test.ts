import { type Batch, createPostal, openSender } from '@aitbc/chassis';
import { createClient, newId, type Payload, routes, toTimestamp } from '@aitbc/contracts';
import { eventually, rememberSecret, TEST_PREFIX, TEST_SECRET } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KEYS } from '../testing/gateway.ts';
import { type Receiver, startReceiver } from './testing/receiver.ts';
import { type Stand, startStand, startTestWorker } from './testing/stand.ts';

// The dead cost nobody else. WEBHOOK_EVENTS=10000 for the long way, on a quiet machine.

const EVENTS = Number(process.env.WEBHOOK_EVENTS ?? 600);
/** As the outbox of jobs does. */
const LINGER_MS = 100;
const PER_SECOND = Number(process.env.WEBHOOK_EVENTS_PER_SECOND ?? 60);
const ENDPOINTS = 100;
const DEAD = 30;
const WITHIN_MS = 2_000;

const postal = createPostal({ SECRET_KEY: TEST_SECRET, REDIS_PREFIX: TEST_PREFIX });
let stand: Stand;
let worker: Awaited<ReturnType<typeof startTestWorker>>;
let live: Receiver;
let dead: Receiver;
beforeAll(async () => {
  stand = await startStand();
  worker = await startTestWorker(stand.gateway);
  live = await startReceiver();
  // A third refuses, a third hangs, and at the last nobody listens.
  dead = await startReceiver((taken, response) => {
    if (taken.path.endsWith('0')) response.writeHead(503).end();
  });
});
afterAll(async () => {
  await worker.stop();
  await stand.stop();
  await Promise.all([live.stop(), dead.stop()]);
});

const accountWith = async (url: string): Promise<string> => {
  const made = await stand.gateway
    .client(KEYS.admin)
    .call(routes.gateway.adminCreateKey, { body: { scopes: ['client'], label: 'webhooks' } });
  if (!made.ok) throw new Error(made.body.error.message);
  const client = createClient(stand.gateway.url, { 'x-api-key': rememberSecret(made.body.key) });
  const hook = await client.call(routes.gateway.createWebhook, { body: { url, events: ['job.completed'] } });
  if (!hook.ok) throw new Error(hook.body.error.message);
  rememberSecret(hook.body.secret);
  return made.body.account_id;
};

test(`${EVENTS} events to ${ENDPOINTS} endpoints, of which ${DEAD} are dead: the others get theirs within 2 s`, {
  timeout: 60_000 + (EVENTS / PER_SECOND) * 2_000,
}, async () => {
  const accounts: string[] = [];
  for (let at = 0; at < ENDPOINTS; at += 1) {
    const isDead = at < DEAD;
    const url = !isDead
      ? `${live.url}/${at}`
      : at % 3 === 2
        ? 'http://127.0.0.1:9/'
        : `${dead.url}/${at % 3}`;
    accounts.push(await accountWith(url));
  }
  const sentAt = new Map<string, number>();
  const startedAt = performance.now();
  const sender = openSender({ from: 'jobs', to: 'gateway', redis: stand.peers.redis, postal });
  let waiting: Batch['messages'] = [];
  let sentLastAt = startedAt;
  const flush = async (): Promise<void> => {
    const batch = { stream: `jobs-${accounts[0]}`, messages: waiting };
    waiting = [];
    sentLastAt = performance.now();
    if (batch.messages.length > 0) await sender.send(batch);
  };
  for (let n = 0; n < EVENTS; n += 1) {
    const dueMs = (n / PER_SECOND) * 1_000 - (performance.now() - startedAt);
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
    const object_id = newId();
    const at_ms = Date.now();
    if (n % ENDPOINTS >= DEAD) sentAt.set(object_id, at_ms);
    const payload: Payload<'jobs.announced'> = {
      account_ids: [accounts[n % ENDPOINTS] as string],
      object_id,
      at_ms,
      fact: {
        type: 'job.completed',
        data: {
          job_id: object_id,
          status: 'completed',
          miner_id: null,
          payment_id: null,
          price: 0,
          ended_at: toTimestamp(at_ms),
        },
      },
    };
    waiting.push({ seq: n + 1, name: 'jobs.announced', version: 1, payload });
    if (performance.now() - sentLastAt >= LINGER_MS) await flush();
  }
  await flush();
  const arrivedAt = new Map<string, number>();
  await eventually(
    () => {
      for (const { body, atMs } of live.taken) {
        const { data } = JSON.parse(body) as { data: { job_id: string } };
        if (!arrivedAt.has(data.job_id)) arrivedAt.set(data.job_id, atMs);
      }
      return arrivedAt.size === sentAt.size;
    },
    { withinMs: 60_000, everyMs: 250 },
  );
  const delays = [...sentAt].map(([id, at]) => (arrivedAt.get(id) as number) - at).sort((a, b) => a - b);
  const p = (share: number) => delays[Math.ceil(delays.length * share) - 1] as number;
  console.log(`webhooks: p50 ${p(0.5)} ms, p99 ${p(0.99)} ms, max ${p(1)} ms of ${delays.length}`);
  await sender.close();
  expect(p(0.99)).toBeLessThanOrEqual(WITHIN_MS);
  // A dead one was called now and then, and not with each event.
  expect(dead.taken.length).toBeLessThan(EVENTS * (DEAD / ENDPOINTS));
});
