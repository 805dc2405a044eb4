import { once } from 'node:events';
import { request } from 'node:http';
import { type Caller, newId } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  TEST_SECRET,
} from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CALLER_HEADER, deriveKey, signCaller } from './index.ts';
import { effectsOf, standInRoutes, startStandIn } from './testing-processes/stand-in.ts';

const client = someone(['client']);
const key = deriveKey(TEST_SECRET, 'caller');
const slow = standInRoutes.slow.path;
const say = standInRoutes.say.path;
let service: Awaited<ReturnType<typeof startStandIn>>;

beforeAll(async () => {
  const env = serviceEnv('jobs', scratchDirectory(), await scratchRedis());
  service = await startStandIn('jobs', env, (reason) => expect.fail(reason));
});
afterAll(() => service.stop());

const sign = (method: string, path: string, caller: Caller | null = client, at_ms = Date.now()) =>
  signCaller(key, { caller, request_id: newId(), at_ms }, method, path);
const send = async (
  method: string,
  path: string,
  options: { body?: string | Buffer; headers?: Record<string, string>; caller?: Caller | null } = {},
) => {
  const response = await fetch(service.url + path, {
    method,
    headers: {
      [CALLER_HEADER]: sign(method, path, options.caller === undefined ? client : options.caller),
      'content-type': 'application/json',
      ...options.headers,
    },
    ...(options.body === undefined ? {} : { body: options.body }),
  });
  const text = await response.text();
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    body: text === '' ? undefined : JSON.parse(text),
    text,
  };
};
const json = (value: unknown) => JSON.stringify(value);
const deep = (levels: number) => `{"ms":0,"value":${'['.repeat(levels)}${']'.repeat(levels)}}`;

test.each([
  ['invalid JSON', 400, 'INVALID_JSON', 'POST', slow, '{"ms":'],
  ['no body', 400, 'INVALID_JSON', 'POST', slow, undefined],
  ['an empty body', 400, 'INVALID_JSON', 'POST', slow, ''],
  ['no object', 422, 'VALIDATION_ERROR', 'POST', slow, 'null'],
  ['too large', 413, 'BODY_TOO_LARGE', 'POST', slow, json({ ms: 0, value: 'x'.repeat(2_048) })],
  [
    'bytes that are no text',
    400,
    'INVALID_JSON',
    'POST',
    slow,
    Buffer.from('7b226d73223a302c2276616c7565223a22ff227d', 'hex'),
  ],
  ['too deep', 422, 'VALIDATION_ERROR', 'POST', slow, deep(33)],
  ['far too deep', 422, 'VALIDATION_ERROR', 'POST', slow, deep(1_000)],
  ['an unknown route', 404, 'NOT_FOUND', 'GET', '/v1/test/nothing', undefined],
  ['another method', 404, 'NOT_FOUND', 'DELETE', slow, undefined],
  ['an id that cannot be', 404, 'NOT_FOUND', 'GET', `/v1/test/effects/${'x'.repeat(41)}`, undefined],
  ['a bad escape', 400, 'BAD_REQUEST', 'GET', '/v1/test/effects/%E0%A4%A', undefined],
  ['a long address', 414, 'URI_TOO_LONG', 'GET', `/v1/test/effects/x?limit=${'1'.repeat(4_096)}`, undefined],
] as const)('%s is %i %s', async (_name, status, code, method, path, body) => {
  const reply = await send(method, path, body === undefined ? {} : { body });
  expect(reply).toMatchObject({ status, body: { error: { code, details: {} } } });
  expect(Object.keys(reply.body)).toEqual(['error']);
  expect(Object.keys(reply.body.error).sort()).toEqual(['code', 'details', 'message']);
  expect(reply.text).not.toMatch(/ at |node_modules|\.ts|SyntaxError|Unexpected token/);
});

test("the gateway's word is checked when a request begins, however long its body takes to come", async () => {
  const body = json({ ms: 0, value: 1 });
  const post = (at_ms: number) => {
    const headers = {
      [CALLER_HEADER]: sign('POST', slow, client, at_ms),
      'content-length': body.length,
    };
    const asked = request(service.url + slow, { method: 'POST', headers });
    asked.write(body.slice(0, 5));
    return asked;
  };
  // Good for 30 s: half a second of them is left.
  const at_ms = Date.now() - 29_500;
  const asked = post(at_ms);
  const answered = once(asked, 'response');
  await eventually(() => Date.now() > at_ms + 30_100);
  asked.end(body.slice(5));
  const [answer] = await answered;
  expect(answer.statusCode).toBe(200);
  answer.resume();
  // Refused before its body comes.
  const late = post(at_ms);
  const [refused] = await once(late, 'response');
  expect(refused.statusCode).toBe(401);
  late.destroy();
});

test.each([
  ['a wrong type', json({ ms: '1' }), 'ms'],
  ['a missing field', json({}), 'ms'],
  ['an unknown field', json({ ms: 0, extra: 1 }), 'extra'],
  ['a field __proto__', '{"ms":0,"__proto__":{"admin":true}}', '__proto__'],
  ['a field __proto__ deep', '{"ms":0,"value":{"a":{"__proto__":1}}}', 'value.a.__proto__'],
  ['a hidden __proto__', '{"ms":0,"__pr\\u006fto__":{"admin":true}}', '__proto__'],
  ['a hidden __proto__ deep', '{"ms":0,"value":[{"__pr\\u006fto__":1}]}', 'value.0.__proto__'],
  ['a field that stands twice', '{"ms":0,"value":{"a":1,"\\u0061":2}}', 'value.a'],
  ['no number', '{"ms":1e999}', 'ms'],
  ['no number deep', '{"ms":0,"value":{"x":[1,-1e999]}}', 'value.x.1'],
  ['a number that would be rounded', '{"ms":0,"value":{"x":9007199254740993}}', 'value.x'],
])('%s is 422 and named', async (_name, body, path) => {
  const reply = await send('POST', slow, { body });
  expect(reply).toMatchObject({
    status: 422,
    body: { error: { code: 'VALIDATION_ERROR', details: { issues: [{ path }] } } },
  });
});

test('where nothing of a body is required, it may be left out', async () => {
  const { path } = standInRoutes.perhaps;
  for (const body of [undefined, '', '{}'])
    expect(await send('POST', path, body === undefined ? {} : { body })).toMatchObject({
      status: 200,
      text: '{}',
    });
  expect(await send('POST', path, { body: json({ reason: 'so' }) })).toMatchObject({
    body: { reason: 'so' },
  });
  expect(await send('POST', path, { body: 'null' })).toMatchObject({ status: 422 });
});

test('__proto__ as a text is a text, and other names are names', async () => {
  for (const value of [
    '__proto__',
    { a: ['"__proto__":'] },
    { constructor: { prototype: 1 } },
    0.1,
    -0,
    1e300,
  ]) {
    expect(await send('POST', slow, { body: json({ ms: 0, value }) })).toMatchObject({ status: 200 });
  }
});

test('a query is as strict as a body', async () => {
  const path = '/v1/test/effects/x';
  expect(await send('GET', `${path}?limit=3`)).toMatchObject({ status: 200 });
  for (const [query, field] of [
    ['limit=11', 'query.limit'],
    ['limit=x', 'query.limit'],
    ['limit=1&limit=2', 'query.limit'],
    ['other=1', 'query.other'],
    ['limit[a]=1', 'query.limit[a]'],
  ]) {
    const reply = await send('GET', `${path}?${query}`);
    expect([query, reply]).toMatchObject([
      query,
      { status: 422, body: { error: { details: { issues: [{ path: field }] } } } },
    ]);
  }
});

test.each([
  'application/json',
  'application/json;charset=utf8',
  'Application/JSON; Charset="UTF-8"',
  'application/json ;  charset = utf-8 ; version=1',
  'application/merge-patch+json',
])('a body of type %s is read', async (type) => {
  const reply = await send('POST', slow, { body: json({ ms: 0 }), headers: { 'content-type': type } });
  expect(reply).toMatchObject({ status: 200 });
});

test('a body without a type is read', async () => {
  const reply = await send('POST', slow, {
    body: Buffer.from(json({ ms: 0 })),
    headers: { 'content-type': '' },
  });
  expect(reply).toMatchObject({ status: 200 });
});

test.each([
  ['compressed', { 'content-encoding': 'gzip' }, /compressed/],
  ['in another charset', { 'content-type': 'application/json; charset=iso-8859-1' }, /charset/],
  ['in UTF-16', { 'content-type': 'application/json; charset=utf-16' }, /charset/],
  ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, /something else than JSON/],
  ['a text', { 'content-type': 'text/plain;charset=UTF-8' }, /something else than JSON/],
] as const)('a body that is %s is 415 and told why', async (_name, headers, message) => {
  const reply = await send('POST', slow, { body: json({ ms: 0 }), headers: { ...headers } });
  expect(reply).toMatchObject({
    status: 415,
    body: { error: { code: 'UNSUPPORTED_MEDIA_TYPE', message: expect.stringMatching(message) } },
  });
});

test('a fault of ours is 500 and says nothing of it', async () => {
  const reply = await send('POST', slow, { body: json({ ms: 0, throws: 'SECRET in /srv/data.db' }) });
  expect(reply).toMatchObject({ status: 500, body: { error: { code: 'INTERNAL_ERROR' } } });
  expect(reply.text).not.toContain('SECRET');
});

test('what took too long in the store is 503 and says when to come again', async () => {
  const reply = await send('POST', slow, { body: json({ ms: 0, throws: 'TookTooLong' }) });
  expect(reply).toMatchObject({ status: 503, retryAfter: '2', body: { error: { code: 'OVERLOADED' } } });
  expect(reply.text).not.toContain('SECRET');
});

test('who may call: nobody 401, the wrong role 403, a user as a client', async () => {
  const body = json({ ms: 0 });
  expect(await send('POST', slow, { body, caller: null })).toMatchObject({
    status: 401,
    body: { error: { code: 'UNAUTHENTICATED' } },
  });
  for (const scope of ['miner', 'admin'] as const) {
    expect(await send('POST', slow, { body, caller: someone([scope]) })).toMatchObject({
      status: 403,
      body: { error: { code: 'FORBIDDEN' } },
    });
  }
  expect((await send('POST', slow, { body, caller: someone(['user']) })).status).toBe(200);
  expect((await send('GET', '/v1/test/effects/x', { caller: null })).status).toBe(200);
});

test('a caller header that the gateway did not sign for this very request is 401', async () => {
  const body = json({ ms: 0 });
  const good = sign('POST', slow);
  const [payload = '', signature = ''] = good.split('.');
  const admin = Buffer.from(
    JSON.stringify({ caller: someone(['client', 'admin']), request_id: newId(), at_ms: Date.now() }),
  ).toString('base64url');
  const otherKey = deriveKey(`${TEST_SECRET}x`, 'caller');
  const forged: Record<string, string | null> = {
    none: null,
    empty: '',
    'no signature': payload,
    'an empty signature': `${payload}.`,
    'a cut signature': `${payload}.${signature.slice(0, -4)}`,
    'another payload': `${admin}.${signature}`,
    'another path': sign('POST', say),
    'another query': sign('POST', `${slow}?a=1`),
    'another method': sign('GET', slow),
    'another key': signCaller(
      otherKey,
      { caller: client, request_id: newId(), at_ms: Date.now() },
      'POST',
      slow,
    ),
    'another purpose': signCaller(
      deriveKey(TEST_SECRET, 'lease'),
      { caller: client, request_id: newId(), at_ms: Date.now() },
      'POST',
      slow,
    ),
    expired: sign('POST', slow, client, Date.now() - 31_000),
    // Far ahead: it is made before the others are sent, and they take their time on a busy machine.
    'of the future': sign('POST', slow, client, Date.now() + 300_000),
    twice: `${good}, ${good}`,
    'plain words': '{"caller":"me"}',
  };
  for (const [name, header] of Object.entries(forged)) {
    const response = await fetch(service.url + slow, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        ...(header === null ? {} : { [CALLER_HEADER]: header }),
      },
    });
    expect([name, response.status]).toEqual([name, 401]);
    expect(await response.json()).toMatchObject({ error: { code: 'UNAUTHENTICATED' } });
  }
  const response = await fetch(service.url + slow, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', [CALLER_HEADER]: good },
  });
  expect(response.status).toBe(200);
});

const sayAs = (caller: Caller, job_ids: string[], idempotencyKey: string, note?: string) =>
  callerOf(service.url, caller).call(standInRoutes.say, {
    body: { job_ids, ...(note === undefined ? {} : { note }) },
    idempotencyKey,
  });

test('one Idempotency-Key, ten at once: one effect, ten equal answers', async () => {
  const job_ids = [newId(), newId()];
  const replies = await Promise.all(Array.from({ length: 10 }, () => sayAs(client, job_ids, 'ten at once')));
  expect(new Set(replies.map((reply) => JSON.stringify([reply.status, reply.body]))).size).toBe(1);
  expect(replies[0]?.status).toBe(201);
  const said = await effectsOf(service.store, 'said');
  expect(job_ids.map((id) => said.get(id))).toEqual([1, 1]);
});

test('an Idempotency-Key belongs to its account and its body', async () => {
  const [mine, changed, theirs] = [newId(), newId(), newId()] as [string, string, string];
  expect((await sayAs(client, [mine], 'a key')).status).toBe(201);
  expect(await sayAs(client, [changed], 'a key')).toMatchObject({
    status: 422,
    body: { error: { code: 'IDEMPOTENCY_KEY_REUSED' } },
  });
  expect((await sayAs(someone(['client']), [theirs], 'a key')).status).toBe(201);
  expect((await sayAs(client, [mine], 'a key')).status).toBe(201);
  const said = await effectsOf(service.store, 'said');
  expect([mine, changed, theirs].map((id) => said.get(id))).toEqual([1, undefined, 1]);
});

test('the same fields in another order, spacing and spelling are the same request', async () => {
  const id = newId();
  const headers = { 'idempotency-key': 'reordered' };
  const first = await send('POST', say, { body: `{"job_ids":["${id}"],"note":"ab"}`, headers });
  const second = await send('POST', say, {
    body: `{ "note" : "a\\u0062", "job_ids" : [ "${id}" ] }`,
    headers,
  });
  expect([second.status, second.text]).toEqual([201, first.text]);
  expect((await effectsOf(service.store, 'said')).get(id)).toBe(1);
  const other = await send('POST', say, { body: `{"job_ids":["${id}"],"note":"ba"}`, headers });
  expect(other).toMatchObject({ status: 422, body: { error: { code: 'IDEMPOTENCY_KEY_REUSED' } } });
});

test('two Idempotency-Keys are refused, and an empty one', async () => {
  const body = json({ job_ids: [newId()] });
  const sendKeys = (keys: string[]) =>
    new Promise<{ status: number | undefined; body: unknown }>((resolve, reject) => {
      const outgoing = request(
        service.url + say,
        {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            [CALLER_HEADER]: sign('POST', say),
            'idempotency-key': keys,
          },
        },
        (response) => {
          let text = '';
          response.on('data', (chunk) => {
            text += chunk;
          });
          response.on('end', () => resolve({ status: response.statusCode, body: JSON.parse(text) }));
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  expect(await sendKeys(['one', 'two'])).toMatchObject({
    status: 400,
    body: { error: { code: 'BAD_REQUEST', message: expect.stringContaining('one Idempotency-Key') } },
  });
  expect(await sendKeys([''])).toMatchObject({ status: 422 });
  expect(await sendKeys(['one, two'])).toMatchObject({ status: 201 });
});

test('a refused request does not use its key up, and a bad key is named', async () => {
  const id = newId();
  expect((await sayAs(client, [id], 'refused', 'x'.repeat(21))).status).toBe(422);
  expect((await sayAs(client, [id], 'refused')).status).toBe(201);
  expect(await sayAs(client, [newId()], 'x'.repeat(256))).toMatchObject({
    status: 422,
    body: { error: { details: { issues: [{ path: 'Idempotency-Key' }] } } },
  });
});

test('what was said reaches the outbox with the answer, and nothing of what was refused', async () => {
  const before = (await effectsOf(service.store, 'said')).size;
  const id = newId();
  expect((await sayAs(client, [id, 'no id'], 'half')).status).toBe(422);
  expect((await effectsOf(service.store, 'said')).size).toBe(before);
  expect((await sayAs(client, [id], 'whole')).status).toBe(201);
  expect((await effectsOf(service.store, 'said')).get(id)).toBe(1);
});

test('health, readiness and metrics need no caller; routes in metrics are templates', async () => {
  expect(await (await fetch(`${service.url}/health`)).json()).toEqual({ status: 'ok', service: 'jobs' });
  await eventually(async () => {
    const health = await (await fetch(`${service.url}/health/ready`)).json();
    expect(health).toMatchObject({
      status: 'ok',
      dependencies: { redis: { ok: true }, database: { ok: true } },
    });
    return true;
  });
  await send('GET', '/v1/test/effects/a-name-of-mine');
  const metrics = await (await fetch(`${service.url}/metrics`)).text();
  expect(metrics).toMatch(/api_requests_total\{.*route="\/v1\/test\/effects\/:name",status="200".*\} \d+/);
  expect(metrics).not.toContain('a-name-of-mine');
});
