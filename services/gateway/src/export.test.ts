import type { ServerResponse } from 'node:http';
import { newId, routes } from '@aitbc/contracts';
import { eventually, timeLimit } from '@aitbc/testing';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';
import type { Heard } from './testing/upstream.ts';

type Line = { type: string; data: Record<string, unknown> };

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway({ RATE_LIMIT_USER_PER_MINUTE: '100000' });
});
afterAll(() => gateway.stop());

const json = (response: ServerResponse, body: unknown, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
};
const EMPTY = { items: [], next_cursor: null };
const pathOf = ({ url }: Heard): string => new URL(url, 'http://x').pathname;
beforeEach(() => {
  gateway.upstream.heard.length = 0;
  gateway.upstream.control.answer = (_heard, response) => json(response, EMPTY);
});

const open = (key: string = KEYS.client, signal?: AbortSignal) =>
  fetch(`${gateway.url}/v1/users/me/export`, {
    headers: { 'x-api-key': key },
    ...(signal === undefined ? {} : { signal }),
  });
const read = async (key?: string): Promise<Line[]> => {
  const response = await open(key);
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/x-ndjson']);
  return (await response.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
};

test('all pages of all lists, as the caller itself may read them', async () => {
  const [first, second, proposal] = [newId(), newId(), newId()];
  gateway.upstream.control.answer = (heard, response) => {
    const { searchParams } = new URL(heard.url, 'http://x');
    const answers: Record<string, unknown> = {
      '/v1/client/jobs':
        searchParams.get('cursor') === null
          ? { items: [{ id: first, status: 'completed', result: 'Hi' }], next_cursor: 'more' }
          : { items: [{ id: second, status: 'failed' }], next_cursor: null },
      [`/v1/client/jobs/${first}/receipts`]: { items: [{ id: 'receipt', proof: 'p', result: 'Hi' }] },
      '/v1/users/me/transactions': { items: [{ hash: 'h' }], next_cursor: null },
      '/v1/governance/proposals': { items: [{ id: proposal }], next_cursor: null },
      [`/v1/governance/proposals/${proposal}/votes`]: { items: [{ vote: 'for' }], next_cursor: null },
    };
    json(response, answers[pathOf(heard)] ?? EMPTY);
  };
  const me = await gateway.client(KEYS.client).call(routes.gateway.me, {});
  if (!me.ok) throw new Error('nobody');
  expect(await read()).toEqual([
    { type: 'account', data: me.body },
    { type: 'job', data: { id: first, status: 'completed', result: 'Hi' } },
    { type: 'receipt', data: { id: 'receipt', proof: 'p' } },
    { type: 'job', data: { id: second, status: 'failed' } },
    { type: 'transaction', data: { hash: 'h' } },
    { type: 'vote', data: { vote: 'for' } },
    {
      type: 'end',
      data: {
        counts: { account: 1, job: 2, receipt: 1, transaction: 1, vote: 1 },
        // A client key may not read them by themselves either.
        left_out: ['api_key', 'miner'],
      },
    },
  ]);
  for (const { signed, url } of gateway.upstream.heard) {
    expect([url, signed?.caller]).toMatchObject([url, { account_id: me.body.user_id, scopes: ['client'] }]);
    if (url.includes('/votes')) expect(url).toContain(`voter_id=${me.body.user_id}`);
  }
});

test('who may not call it is told so, before a line', async () => {
  expect((await open(KEYS.miner)).status).toBe(403);
  expect((await fetch(`${gateway.url}/v1/users/me/export`)).status).toBe(401);
  const head = await fetch(`${gateway.url}/v1/users/me/export`, {
    method: 'HEAD',
    headers: { 'x-api-key': KEYS.client },
  });
  expect(head.status).toBe(405);
});

test('a slow reader: pages wait for it, nobody else does, and its place is free when it leaves', async () => {
  const page = {
    items: [{ id: newId(), status: 'failed', parameters: 'x'.repeat(200_000) }],
    next_cursor: 'on',
  };
  gateway.upstream.control.answer = (heard, response) =>
    json(response, pathOf(heard) === '/v1/client/jobs' ? page : EMPTY);
  const away = new AbortController();
  const slow = await open(KEYS.client, away.signal);
  expect(slow.status).toBe(200);
  const asked = () => gateway.upstream.heard.length;
  let before = -1;
  // Until the buffers of the connection are full: then it asks for nothing more.
  await eventually(
    () => {
      const isStill = asked() > 0 && asked() === before;
      before = asked();
      return isStill;
    },
    { everyMs: 300 },
  );
  expect(asked() * 0.2).toBeLessThan(20);

  const second = await open(KEYS.client);
  expect([second.status, second.headers.get('retry-after')]).toEqual([429, '30']);
  expect(await second.json()).toMatchObject({ error: { code: 'EXPORT_RUNNING' } });
  gateway.upstream.control.answer = (_heard, response) => json(response, EMPTY);
  expect((await read(KEYS.client2)).at(-1)?.type).toBe('end');
  away.abort();
  await eventually(async () => (await open(KEYS.client)).status === 200);
});

test(
  'a service that is away for a moment is asked again; one that stays away is said, and no end',
  async () => {
    let refusals = 2;
    gateway.upstream.control.answer = (heard, response) => {
      const isAway = pathOf(heard) === '/v1/marketplace/orders' && refusals > 0;
      if (isAway) refusals -= 1;
      json(response, EMPTY, isAway ? 503 : 200);
    };
    expect((await read(KEYS.client2)).at(-1)?.type).toBe('end');
    refusals = 1_000;
    const lines = await read(KEYS.client2);
    expect(lines.map(({ type }) => type)).toEqual(['account', 'error']);
    expect(lines.at(-1)?.data).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
  },
  timeLimit(30_000),
);
