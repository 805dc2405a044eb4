import { createServer } from 'node:http';
import { connect } from 'node:net';
import { allRoutes, newId, routes } from '@aitbc/contracts';
import { eventually, openPeers } from '@aitbc/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway({
    RATE_LIMIT_CLIENT_PER_MINUTE: '100000',
    RATE_LIMIT_MINER_PER_MINUTE: '100000',
    RATE_LIMIT_USER_PER_MINUTE: '100000',
  });
});
afterAll(() => gateway.stop());
beforeEach(() => {
  gateway.upstream.heard.length = 0;
  gateway.upstream.control.begin = () => false;
  gateway.upstream.control.answer = (_heard, response) => void response.end('{}');
});

const get = (path: string, headers: Record<string, string> = {}, init: RequestInit = {}) =>
  fetch(gateway.url + path, { headers, ...init });
const asClient = { 'x-api-key': KEYS.client };
const errorOf = async (response: Response) =>
  ((await response.json()) as { error: { code: string; message: string; details: object } }).error;
const lastHeard = () => {
  const heard = gateway.upstream.heard.at(-1);
  if (heard === undefined) throw new Error('nothing came through');
  return heard;
};

describe('a request that goes through', () => {
  test('carries a signed caller, its own id, and nothing else of who sent it', async () => {
    const response = await get('/v1/client/jobs?limit=5', {
      ...asClient,
      cookie: 'a=b',
      authorization: 'Basic eDp5',
      'x-forwarded-for': '10.0.0.1',
      'x-request-id': 'order-2026-0001',
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('x-request-id')).toBe('order-2026-0001');
    expect(response.headers.get('cache-control')).toBe('no-store');
    const { url, headers, signed } = lastHeard();
    expect(url).toBe('/v1/client/jobs?limit=5');
    expect(signed).toMatchObject({ request_id: 'order-2026-0001', caller: { scopes: ['client'] } });
    expect(Object.keys(headers).sort()).toEqual(['accept', 'connection', 'host', 'x-caller', 'x-request-id']);
    expect(JSON.stringify(headers)).not.toContain(KEYS.client);
  });

  test('two keys are two accounts, one key is always the same', async () => {
    for (const key of [KEYS.client, KEYS.client2, KEYS.client])
      await get('/v1/client/jobs', { 'x-api-key': key });
    const [first, second, third] = gateway.upstream.heard.map((one) => one.signed?.caller?.account_id);
    expect(first).toBe(third);
    expect(first).not.toBe(second);
  });

  test('/api/v1 is /v1, for the services and for the gateway itself', async () => {
    await get('/api/v1/client/jobs?limit=1', asClient);
    expect(lastHeard()).toMatchObject({ url: '/v1/client/jobs?limit=1', signed: expect.anything() });
    expect((await get('/api/v1/users/me', asClient)).status).toBe(200);
  });

  test('its body arrives byte for byte, also in chunks and also after 100-continue', async () => {
    const body = JSON.stringify({ text: 'Grüße 🌍'.repeat(2_000) });
    const init = { method: 'POST', headers: { ...asClient, 'content-type': 'application/json' } };
    await fetch(`${gateway.url}/v1/client/jobs`, { ...init, body });
    expect(lastHeard().body).toBe(body);
    const stream = new Blob([body]).stream();
    await fetch(`${gateway.url}/v1/client/jobs`, { ...init, body: stream, duplex: 'half' } as RequestInit);
    expect(lastHeard().body).toBe(body);
  });

  test('HEAD is answered for every GET, without a body, but where it would take work or never end', async () => {
    gateway.upstream.control.answer = (_heard, response) => void response.end('{"a":1}');
    const refused = new Map([
      ['/v1/miner/jobs', 'GET'],
      ['/v1/client/jobs/:job_id/events', 'GET'],
      ['/v1/users/me/export', 'GET'],
      ['/v1/miners/poll', 'GET, POST, DELETE'],
    ]);
    const paths = allRoutes.filter((route) => route.method === 'GET' && route.internal !== true);
    for (const { path, who } of paths) {
      const filled = path.replace(/:[a-z_]+/g, newId());
      const keys = {
        client: KEYS.client,
        user: KEYS.client,
        miner: KEYS.miner,
        admin: KEYS.admin,
        public: '',
      };
      const key = keys[who[0] as keyof typeof keys];
      const headers: Record<string, string> = key === '' ? {} : { 'x-api-key': key };
      gateway.upstream.heard.length = 0;
      const response = await get(filled, headers, { method: 'HEAD' });
      expect([path, await response.text()]).toEqual([path, '']);
      const allowed = refused.get(path);
      if (allowed !== undefined) {
        expect([path, response.status, response.headers.get('allow')]).toEqual([path, 405, allowed]);
        expect(gateway.upstream.heard).toEqual([]);
      } else expect([path, response.status]).not.toEqual([path, 405]);
    }
    expect(paths.map(({ path }) => path)).toEqual(expect.arrayContaining([...refused.keys()]));
  });

  test('HEAD is answered where GET is', async () => {
    const response = await get('/v1/miners', {}, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(lastHeard()).toMatchObject({ method: 'HEAD', signed: { caller: null } });
  });

  test('an event stream comes through event by event, its headers before its first event', async () => {
    let say: (text: string) => void = () => {};
    gateway.upstream.control.answer = (_heard, response) => {
      response.setHeader('content-type', 'text/event-stream');
      response.flushHeaders();
      say = (text) => void response.write(text);
    };
    const response = await get(`/v1/client/jobs/${newId()}/events`, asClient);
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    for (const text of ['data: 1\n\n', 'data: 2\n\n']) {
      say(text);
      const { value } = await reader.read();
      expect(Buffer.from(value as Uint8Array).toString()).toBe(text);
    }
    await reader.cancel();
  });

  test('ends upstream at once when its caller goes away', async () => {
    let isOpen = false;
    gateway.upstream.control.begin = (request, response) => {
      if (request.url?.startsWith('/v1/miner/jobs') !== true) return false;
      isOpen = true;
      response.on('close', () => {
        isOpen = false;
      });
      return true;
    };
    const leaving = new AbortController();
    const poll = get(
      '/v1/miner/jobs?wait_seconds=25',
      { 'x-api-key': KEYS.miner },
      { signal: leaving.signal },
    );
    await eventually(() => isOpen);
    leaving.abort();
    await expect(poll).rejects.toThrow();
    await eventually(() => !isOpen, { withinMs: 2_000 });
  });
});

describe('a request that does not', () => {
  test.each([
    ['no credential', '/v1/client/jobs', {}, 401, 'UNAUTHENTICATED'],
    ['an unknown key', '/v1/client/jobs', { 'x-api-key': 'no-such-key-anywhere' }, 401, 'UNAUTHENTICATED'],
    [
      'an unknown key where none is needed',
      '/v1/miners',
      { 'x-api-key': 'no-such-key-anywhere' },
      401,
      'UNAUTHENTICATED',
    ],
    ['an unknown session', '/v1/users/me', { 'x-session-token': 'st_nothing' }, 401, 'UNAUTHENTICATED'],
    ['two credentials', '/v1/users/me', { ...asClient, 'x-session-token': 'x' }, 400, 'BAD_REQUEST'],
    ['another scope', '/v1/client/jobs', { 'x-api-key': KEYS.miner }, 403, 'FORBIDDEN'],
    ['no such path', '/v1/nothing', asClient, 404, 'NOT_FOUND'],
    ['an inner path', '/internal/dead-letters', { 'x-api-key': KEYS.admin }, 404, 'NOT_FOUND'],
    ['a slash too many', '/v1/client/jobs/', asClient, 404, 'NOT_FOUND'],
    ['another case', '/V1/client/jobs', asClient, 404, 'NOT_FOUND'],
  ])('%s', async (_name, path, headers, status, code) => {
    const response = await get(path, headers as Record<string, string>);
    expect(response.status).toBe(status);
    expect(await errorOf(response)).toMatchObject({ code, details: {} });
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(gateway.upstream.heard).toEqual([]);
  });

  test('a wrong method is told the right ones', async () => {
    const response = await get('/v1/client/jobs', asClient, { method: 'DELETE' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, HEAD, POST');
  });

  test('a body that is too large is refused before it is read', async () => {
    const response = await fetch(`${gateway.url}/v1/client/jobs`, {
      method: 'POST',
      headers: asClient,
      body: 'x'.repeat(5_000_000),
    });
    expect(response.status).toBe(413);
    expect(await errorOf(response)).toMatchObject({ code: 'BODY_TOO_LARGE' });
    expect(gateway.upstream.heard).toEqual([]);
  });

  test('an id of the caller that is not fit for a log is replaced', async () => {
    expect((await get('/v1/miners', { 'x-request-id': '7' })).headers.get('x-request-id')).toBe('7');
    const response = await get('/v1/miners', { 'x-request-id': 'a'.repeat(500) });
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('a service that fails', () => {
  test('breaks off: 502', async () => {
    gateway.upstream.control.begin = (request) => {
      request.socket.destroy();
      return true;
    };
    const response = await get('/v1/client/jobs', asClient);
    expect([response.status, (await errorOf(response)).code]).toEqual([502, 'BAD_GATEWAY']);
  });

  test('talks nonsense: 502', async () => {
    gateway.upstream.control.begin = (request) => {
      request.socket.end('HTTP/1.1 banana\r\n\r\n');
      return true;
    };
    expect((await get('/v1/client/jobs', asClient)).status).toBe(502);
  });

  test('is away: 503 with Retry-After; the others and the gateway still answer, and readiness names it', async () => {
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const port = (gone.address() as { port: number }).port;
    await new Promise((resolve) => gone.close(resolve));
    const second = await startTestGateway({ MARKET_URL: `http://127.0.0.1:${port}` }, gateway);
    const away = await fetch(`${second.url}/v1/marketplace/gpu/list`);
    expect([away.status, (await errorOf(away)).code]).toEqual([503, 'SERVICE_UNAVAILABLE']);
    expect(away.headers.get('retry-after')).toBe('1');
    expect((await fetch(`${second.url}/v1/miners`)).status).toBe(200);
    const ready = await fetch(`${second.url}/health/ready`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({
      status: 'unavailable',
      dependencies: {
        market: { ok: false, message: 'does not answer' },
        jobs: { ok: true },
        redis: { ok: true, required: false },
        database: { ok: true },
      },
    });
    expect((await fetch(`${second.url}/health`)).status).toBe(200);
    await second.stop();
  });

  test('stops in the middle of an answer: the caller sees a broken connection, not a whole answer', async () => {
    gateway.upstream.control.answer = (_heard, response) => {
      response.setHeader('content-length', 100);
      response.write('{"half":');
      setImmediate(() => response.destroy());
    };
    await expect(get('/v1/client/jobs', asClient).then((response) => response.text())).rejects.toThrow();
  });
});

describe('operations', () => {
  test('metrics are those of all services, one TYPE line each, by route template', async () => {
    gateway.upstream.control.metrics = [
      '# HELP active_jobs Jobs that have not ended',
      '# TYPE active_jobs gauge',
      'active_jobs{service="jobs"} 3',
      '# HELP process_cpu_seconds_total CPU',
      '# TYPE process_cpu_seconds_total counter',
      'process_cpu_seconds_total{service="jobs"} 77',
    ].join('\n');
    await get(`/v1/client/jobs/${newId()}`, asClient);
    const text = await eventually(async () => {
      const body = await (await get('/metrics')).text();
      return body.includes('active_jobs{service="jobs"} 3') && body;
    });
    expect(text).toMatch(
      /api_requests_total\{method="GET",route="\/v1\/client\/jobs\/:job_id",status="200",service="gateway"\} \d/,
    );
    expect(text).toMatch(
      /api_request_duration_seconds_bucket\{le="0.005",service="gateway",method="GET",route="\/v1/,
    );
    expect(text).not.toContain('process_cpu_seconds_total{service="jobs"}');
    const types = text.split('\n').filter((line) => line.startsWith('# TYPE '));
    expect(new Set(types).size).toBe(types.length);
    expect(text).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-7/);
  });

  test('stats add up what the services count', async () => {
    const admin = gateway.client(KEYS.admin);
    const { body } = await admin.call(routes.gateway.stats, {});
    expect(body).toMatchObject({ accounts: 4, api_keys: 4, services: expect.any(Array) });
  });

  test('an operator is told who he is, and what waits in each mailbox with who empties it', async () => {
    const admin = gateway.client(KEYS.admin);
    expect((await admin.call(routes.gateway.me, {})).body).toMatchObject({ scopes: ['admin'] });
    const mailbox = await eventually(async () => {
      const { body } = await admin.call(routes.gateway.stats, {});
      const all = 'mailboxes' in body ? (body.mailboxes ?? []) : [];
      expect(all.map(({ destination }) => destination)).toContain('dispatcher');
      return all.find(({ destination, workers }) => destination === 'gateway' && workers > 0);
    });
    expect(mailbox).toMatchObject({ workers: 1, failed: 0 });
  });

  test('dead letters of the gateway itself are listed, tried again and dropped', async () => {
    const peers = await openPeers(gateway.env.REDIS_URL as string);
    const admin = gateway.client(KEYS.admin);
    const list = async (service?: 'gateway') => {
      const { body } = await admin.call(routes.gateway.deadLetters, {
        query: service === undefined ? {} : { service },
      });
      return 'items' in body ? body.items : [];
    };
    // A vote for a value outside the parameter's bounds: governance never sends it, and nobody can apply it.
    await peers.send('governance.parameter_changed', {
      name: 'rate_limit_client_per_minute',
      value: 'many',
      version: 1,
      proposal_id: newId(),
    });
    const letter = await eventually(async () => (await list('gateway'))[0]);
    expect(letter).toMatchObject({ service: 'gateway', name: 'governance.parameter_changed' });
    const act = (action: 'replay' | 'drop', id: string) =>
      admin.call(routes.gateway.actOnDeadLetter, { body: { service: 'gateway', id, action } });
    expect((await act('replay', letter.id)).status).toBe(200);
    await eventually(async () => ((await list('gateway'))[0]?.attempts ?? 0) >= 1);
    expect((await act('drop', letter.id)).status).toBe(200);
    expect(await list('gateway')).toEqual([]);
    expect((await act('drop', letter.id)).status).toBe(404);
    const { body } = await admin.call(routes.gateway.audit, { query: { limit: 2 } });
    const details = { message: 'governance.parameter_changed', stream: letter.stream };
    expect(body).toMatchObject({
      items: [
        { action: 'dead_letter.dropped', object: letter.id, details },
        { action: 'dead_letter.replayed', object: letter.id, details },
      ],
    });
    await peers.close();
  });

  test('a vote changes a limit at once', async () => {
    const peers = await openPeers(gateway.env.REDIS_URL as string);
    const limit = async () =>
      /q=(\d+)/.exec((await get('/v1/miners')).headers.get('ratelimit-policy') ?? '')?.[1];
    expect(await limit()).toBe('100000');
    await peers.send('governance.parameter_changed', {
      name: 'rate_limit_user_per_minute',
      value: 777,
      version: 1,
      proposal_id: newId(),
    });
    await eventually(async () => (await limit()) === '777');
    await peers.close();
  });

  test('stopping answers open long-polls: 503, come back', async () => {
    const second = await startTestGateway({}, gateway);
    let isOpen = false;
    gateway.upstream.control.begin = () => {
      isOpen = true;
      return true;
    };
    const { hostname, port } = new URL(second.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `GET /v1/miner/jobs?wait_seconds=25 HTTP/1.1\r\nHost: ${hostname}\r\nX-Api-Key: ${KEYS.miner}\r\n\r\n`,
    );
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    const ended = new Promise((resolve) => socket.once('close', resolve));
    await eventually(() => isOpen);
    await second.stop();
    await ended;
    expect(answer).toMatch(/^HTTP\/1\.1 503 /);
    expect(answer).toMatch(/retry-after: 1\r\n/i);
    expect(answer).toContain('"code":"SERVICE_UNAVAILABLE"');
  });
});

describe('the queue dashboard', () => {
  const basic = (password: string) => ({
    authorization: `Basic ${Buffer.from(`operator:${password}`).toString('base64')}`,
  });

  test('is shown to an admin key, as a header or as a password', async () => {
    for (const headers of [{ 'x-api-key': KEYS.admin }, basic(KEYS.admin)] as Record<string, string>[]) {
      const response = await get('/admin/queues', headers);
      const page = await response.text();
      expect([response.status, page]).toEqual([200, expect.stringContaining('AITBC mailboxes')]);
      expect(response.headers.get('www-authenticate')).toBeNull();
    }
    const queues = await get('/admin/queues/api/queues', basic(KEYS.admin));
    expect(await queues.text()).toContain('payments-inbox');
  });

  test('is shown to nobody else', async () => {
    const asked = await get('/admin/queues');
    expect([asked.status, asked.headers.get('www-authenticate')]).toEqual([
      401,
      'Basic realm="AITBC operators", charset="UTF-8"',
    ]);
    for (const path of ['/admin/queues', '/admin/queues/api/queues', '/admin/queues/static/favicon.ico']) {
      expect((await get(path)).status).toBe(401);
      expect((await get(path, basic('no-such-key-anywhere'))).status).toBe(401);
      expect((await get(path, basic(KEYS.client))).status).toBe(403);
    }
    expect((await get('/admin/queuesX', basic(KEYS.admin))).status).toBe(404);
  });

  test('lets nobody change anything', async () => {
    for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
      const path = '/admin/queues/api/queues/jobs-inbox/empty';
      const response = await get(path, basic(KEYS.admin), { method });
      expect([method, response.status]).toEqual([method, 405]);
    }
  });
});

describe('the documents', () => {
  test('are OpenAPI 3.1 of every contract, the same bytes for the same tag', async () => {
    const response = await get('/openapi.json');
    const document = (await response.json()) as { openapi: string; paths: Record<string, object> };
    expect(document.openapi).toBe('3.1.0');
    const operations = Object.values(document.paths).flatMap((path) => Object.keys(path));
    const published = allRoutes.filter((route) => route.internal !== true);
    expect(operations.length).toBe(published.length + 3);
    const again = await get('/openapi.json', { 'if-none-match': response.headers.get('etag') as string });
    expect(again.status).toBe(304);
  });

  test.each(['/docs', '/redoc'])('%s names no other host and is held to this one', async (path) => {
    const response = await get(path);
    const policy = response.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'; script-src 'self';");
    expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
    const page = await response.text();
    expect(page).not.toMatch(/https?:\/\//);
    const files = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string);
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) expect([file, (await get(file)).status]).toEqual([file, 200]);
  });

  test('serve no file but their own', async () => {
    for (const path of ['/docs/', '/docs/assets/', '/docs/assets/package.json', '/docs/assets/constructor']) {
      expect([path, (await get(path)).status]).toEqual([path, 404]);
    }
  });
});

describe('pages of other origins', () => {
  test('may call with the key header and read what they need', async () => {
    const preflight = await get(
      '/v1/client/jobs',
      { origin: 'https://app.example', 'access-control-request-method': 'POST' },
      { method: 'OPTIONS' },
    );
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toContain('X-Api-Key');
    const response = await get('/v1/client/jobs', { ...asClient, origin: 'https://app.example' });
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
    expect(response.headers.get('access-control-allow-credentials')).toBeNull();
    expect(response.headers.get('access-control-expose-headers')).toContain('X-Request-Id');
  });

  test('are held to the list when there is one', async () => {
    const second = await startTestGateway({ CORS_ORIGINS: 'https://app.example' }, gateway);
    const allowed = async (origin: string) =>
      (await fetch(`${second.url}/v1/miners`, { headers: { origin } })).headers.get(
        'access-control-allow-origin',
      );
    expect(await allowed('https://app.example')).toBe('https://app.example');
    expect(await allowed('https://other.example')).toBeNull();
    await second.stop();
  });
});
