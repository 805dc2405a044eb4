import { newId, routes } from '@aitbc/contracts';
import { eventually, rememberSecret } from '@aitbc/testing';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { KEYS } from '../testing/gateway.ts';
import { type Receiver, startReceiver } from './testing/receiver.ts';
import { type Stand, startStand, startTestWorker } from './testing/stand.ts';

const { changeWebhook, createWebhook, deleteWebhook, getWebhook, listDeliveries, listWebhooks } =
  routes.gateway;
const { redeliver, rotateWebhookSecret } = routes.gateway;

let stand: Stand;
let worker: Awaited<ReturnType<typeof startTestWorker>>;
let receiver: Receiver;
/** Ahead of the clock; what is due goes by it. */
let aheadMs = 0;
beforeAll(async () => {
  stand = await startStand(() => Date.now() + aheadMs);
  worker = await startTestWorker(stand.gateway);
});
afterAll(async () => {
  await worker.stop();
  await stand.stop();
});
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(async () => {
  await receiver.stop();
  const all = await stand.client.call(listWebhooks, { query: { limit: 500 } });
  if (all.ok)
    for (const { id } of all.body.items)
      await stand.client.call(deleteWebhook, { params: { webhook_id: id } });
});
const ended = (webhookId: string) =>
  eventually(async () => {
    const [one] = await stand.deliveries(webhookId);
    return one?.ended_at == null ? undefined : one;
  });

describe('an event', () => {
  test('reaches a webhook that asked for it, with a signature that the Standard Webhooks library takes', async () => {
    const hook = await stand.hook(receiver.url);
    const deaf = await stand.hook(receiver.url, ['job.failed']);
    const jobId = await stand.jobEnded();
    await eventually(() => receiver.taken.length === 1);
    const [{ body, headers }] = receiver.taken as [Receiver['taken'][number]];
    expect(new Webhook(hook.secret).verify(body, headers)).toEqual({
      type: 'job.completed',
      timestamp: expect.any(String),
      data: expect.objectContaining({ job_id: jobId, status: 'completed' }),
    });
    expect(() => new Webhook(deaf.secret).verify(body, headers)).toThrow();
    const delivery = await ended(hook.id);
    expect(delivery).toMatchObject({
      type: 'job.completed',
      object_id: jobId,
      status: 'delivered',
      event_id: headers['webhook-id'],
      attempts: [{ attempt: 1, status: 200, error: null }],
    });
    expect(await stand.deliveries(deaf.id)).toEqual([]);
    expect(await stand.webhook(hook.id)).toMatchObject({ waiting: 0, enabled: true });
  });

  test('that is everybody’s reaches all who asked', async () => {
    await stand.hook(receiver.url, ['proposal.passed']);
    await stand.hook(receiver.url, ['proposal.passed', 'proposal.executed']);
    await stand.hook(receiver.url, ['proposal.executed']);
    const proposal_id = newId();
    await stand.peers.send('governance.announced', {
      account_ids: null,
      object_id: proposal_id,
      at_ms: Date.now(),
      fact: { type: 'proposal.passed', data: { proposal_id, status: 'passed' } },
    });
    await eventually(() => receiver.taken.length === 2);
    expect(JSON.parse(receiver.taken[1]?.body ?? '')).toMatchObject({ data: { proposal_id } });
  });

  test('brings the result when that was asked for and fits', async () => {
    const hook = await stand.hook(receiver.url, ['job.completed'], { include_result: true });
    const results: unknown[] = [{ text: 'hello' }, { text: 'x'.repeat(21_000) }];
    stand.gateway.upstream.control.answer = (_heard, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ items: [{ result: results.shift() }] }));
    };
    await stand.jobEnded();
    await eventually(() => receiver.taken.length === 1);
    await stand.jobEnded();
    await eventually(() => receiver.taken.length === 2);
    const [small, large] = receiver.taken.map(({ body }) => (JSON.parse(body) as { data: object }).data);
    expect(small).toMatchObject({ result: { text: 'hello' } });
    expect(large).toMatchObject({ result_omitted: 'too_large' });
    expect(large).not.toHaveProperty('result');
    expect(stand.gateway.upstream.heard.at(-1)?.signed?.caller?.account_id).toBe(stand.accountId);
    await ended(hook.id);
  });

  test('arrives in order for one object, while another object goes on', async () => {
    let isDown = true;
    receiver.control.answer = ({ body }, response) => {
      response.statusCode = isDown && body.includes('"type":"job.failed"') ? 500 : 200;
      response.end();
    };
    const hook = await stand.hook(receiver.url, ['job.failed', 'job.completed']);
    const object_id = await stand.jobEnded({ status: 'failed' });
    await eventually(() => receiver.taken.length === 1);
    await stand.jobEnded({ status: 'completed', object_id });
    const other = await stand.jobEnded();
    await eventually(() => receiver.taken.some(({ body }) => body.includes(other)));
    expect(receiver.taken.some(({ body }) => body.includes('completed') && body.includes(object_id))).toBe(
      false,
    );
    isDown = false;
    await eventually(() => receiver.taken.filter(({ body }) => body.includes(object_id)).length === 3);
    const order = receiver.taken
      .filter(({ body }) => body.includes(object_id))
      .map(({ body }) => JSON.parse(body).type);
    expect(order).toEqual(['job.failed', 'job.failed', 'job.completed']);
    await eventually(async () => (await stand.webhook(hook.id)).waiting === 0);
  });
});

describe('a callback', () => {
  test('tells of its one job, signed by the secret of the account', async () => {
    const made = await stand.client.call(rotateWebhookSecret, {
      params: { webhook_id: 'callbacks' },
      body: {},
    });
    if (!made.ok) throw new Error('no secret');
    const secret = rememberSecret(made.body.secret);
    const jobId = await stand.jobEnded({ callback_url: `${receiver.url}/one?job=1`, status: 'cancelled' });
    await stand.jobEnded();
    await eventually(() => receiver.taken.length === 1);
    const [{ body, headers, path }] = receiver.taken as [Receiver['taken'][number]];
    expect(path).toBe('/one?job=1');
    expect(new Webhook(secret).verify(body, headers)).toMatchObject({
      type: 'job.cancelled',
      data: { job_id: jobId },
    });
    const all = await stand.client.call(listWebhooks, { query: {} });
    const callback = all.ok ? all.body.items.find(({ kind }) => kind === 'callback') : undefined;
    expect(callback).toMatchObject({ url: receiver.url });
    expect((await ended(callback?.id ?? '')).url).toBe(`${receiver.url}/one?job=1`);
    const refused = await stand.client.call(changeWebhook, {
      params: { webhook_id: callback?.id ?? '' },
      body: { url: 'https://example.org/' },
    });
    expect(refused.body).toMatchObject({ error: { code: 'VALIDATION_ERROR' } });
  });
});

describe('a secret', () => {
  test('that is rotated leaves the old one good until it ends', async () => {
    const hook = await stand.hook(receiver.url);
    const rotated = await stand.client.call(rotateWebhookSecret, {
      params: { webhook_id: hook.id },
      body: { overlap_seconds: 600 },
    });
    if (!rotated.ok) throw new Error('not rotated');
    const fresh = rememberSecret(rotated.body.secret);
    expect(fresh).not.toBe(hook.secret);
    expect((await stand.webhook(hook.id)).secret_expires_at).toBe(rotated.body.secret_expires_at);
    await stand.jobEnded();
    await eventually(() => receiver.taken.length === 1);
    const verify = (secret: string, { body, headers } = receiver.taken.at(-1) as Receiver['taken'][number]) =>
      new Webhook(secret).verify(body, headers);
    verify(fresh);
    verify(hook.secret);
    aheadMs += 601_000;
    await stand.jobEnded();
    await eventually(() => receiver.taken.length === 2);
    verify(fresh);
    expect(() => verify(hook.secret)).toThrow();
    expect((await stand.webhook(hook.id)).secret_expires_at).toBeNull();
  });
});

describe('a webhook that fails', () => {
  test('is tried again, switched off after three days, and begins anew when it is switched on', async () => {
    receiver.control.answer = (_taken, response) => void response.writeHead(500).end('not today');
    const hook = await stand.hook(receiver.url);
    await stand.jobEnded();
    await eventually(() => receiver.taken.length === 1);
    await eventually(async () => (await stand.webhook(hook.id)).failing_since !== null);
    // The next one, three days later.
    aheadMs += 3 * 86_400_000 + 1_000;
    await stand.jobEnded();
    const off = await eventually(async () => {
      const now = await stand.webhook(hook.id);
      return now.enabled ? undefined : now;
    });
    expect(off).toMatchObject({ disabled_reason: 'failing', disabled_at: expect.any(String) });
    const log = await stand.deliveries(hook.id);
    expect(log.at(-1)?.attempts[0]).toMatchObject({
      status: 500,
      error: 'bad_status',
      response: 'not today',
    });
    // What waited is given up, and what happens now is not sent.
    await eventually(
      async () => (await stand.deliveries(hook.id)).every(({ status }) => status === 'failed'),
      {
        withinMs: 30_000,
      },
    );
    await stand.jobEnded();
    const [delivery] = await stand.deliveries(hook.id);
    const params = { webhook_id: hook.id, delivery_id: delivery?.id ?? '' };
    expect((await stand.client.call(redeliver, { params })).body).toMatchObject({
      error: { code: 'WEBHOOK_DISABLED' },
    });
    receiver.control.answer = (_taken, response) => void response.end();
    const on = await stand.client.call(changeWebhook, {
      params: { webhook_id: hook.id },
      body: { enabled: true },
    });
    expect(on.body).toMatchObject({ enabled: true, disabled_reason: null, failing_since: null });
    expect((await stand.client.call(redeliver, { params })).status).toBe(202);
    await eventually(async () => (await stand.deliveries(hook.id))[0]?.status === 'delivered');
  });

  test('that says it is gone is switched off at once', async () => {
    receiver.control.answer = (_taken, response) => void response.writeHead(410).end();
    const hook = await stand.hook(receiver.url);
    await stand.jobEnded();
    await eventually(async () => (await stand.webhook(hook.id)).disabled_reason === 'gone');
  });
});

describe('webhooks', () => {
  test('are told to the services when the first comes and when the last goes', async () => {
    const heard = stand.peers.listen('market');
    const told = () =>
      heard.flatMap((message) =>
        message.name === 'gateway.listeners_changed' ? message.payload.accounts : [],
      );
    const hook = await stand.hook(receiver.url);
    await eventually(() => told().at(-1)?.listens === true);
    expect(told().at(-1)?.account_id).toBe(stand.accountId);
    await stand.client.call(changeWebhook, { params: { webhook_id: hook.id }, body: { enabled: false } });
    await eventually(() => told().at(-1)?.listens === false);
  });

  test('are nobody else’s, and bounded', async () => {
    const hook = await stand.hook(receiver.url);
    const other = stand.gateway.client(KEYS.client2);
    const params = { webhook_id: hook.id };
    for (const reply of [
      await other.call(getWebhook, { params }),
      await other.call(listDeliveries, { params, query: {} }),
      await other.call(deleteWebhook, { params }),
      await other.call(rotateWebhookSecret, { params, body: {} }),
    ])
      expect(reply.status).toBe(404);
    expect((await stand.gateway.client(KEYS.miner).call(getWebhook, { params })).status).toBe(403);
    const made = await Promise.all(
      Array.from({ length: 20 }, () => stand.hook(receiver.url).catch(() => null)),
    );
    expect(made.filter((one) => one === null)).toHaveLength(1);
    const refused = await stand.client.call(createWebhook, {
      body: { url: receiver.url, events: ['job.failed'] },
    });
    expect(refused.body).toMatchObject({ error: { code: 'WEBHOOK_LIMIT_REACHED' } });
  });

  test('that are deleted leave nothing behind', async () => {
    const hook = await stand.hook(receiver.url);
    await stand.jobEnded();
    await ended(hook.id);
    const params = { webhook_id: hook.id };
    expect((await stand.client.call(deleteWebhook, { params })).status).toBe(200);
    expect((await stand.client.call(getWebhook, { params })).status).toBe(404);
    await stand.jobEnded();
    expect(receiver.taken).toHaveLength(1);
  });
});
