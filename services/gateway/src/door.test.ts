import { OpenAiErrorBody } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';

// What OpenAI's clients meet at the gateway, before and beside the service that answers them.

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway({
    RATE_LIMIT_CLIENT_PER_MINUTE: '40',
    RATE_LIMIT_USER_PER_MINUTE: '1000',
    DOOR_SILENCE_SECONDS: '1',
  });
});
afterAll(() => gateway.stop());
beforeEach(() => {
  gateway.upstream.heard.length = 0;
  gateway.upstream.control.answer = (_heard, response) => {
    response.setHeader('content-type', 'application/json');
    response.end('{}');
  };
});

const ask = (path: string, headers: Record<string, string>, init: RequestInit = {}) =>
  fetch(gateway.url + path, { headers, ...init });
const bearer = { authorization: `Bearer ${KEYS.client}` };
const chat = (headers: Record<string, string>, body = '{}') =>
  ask('/v1/chat/completions', { 'content-type': 'application/json', ...headers }, { method: 'POST', body });
const errorOf = async (response: Response) => OpenAiErrorBody.parse(await response.json()).error;

describe('a key as OpenAI’s clients send it', () => {
  test('is one on every client route, and only there', async () => {
    for (const path of ['/v1/models', '/api/v1/models', '/v1/client/jobs']) {
      expect((await ask(path, bearer)).status).toBe(200);
      expect(gateway.upstream.heard.at(-1)?.signed?.caller?.scopes).toEqual(['client']);
    }
    expect((await ask('/v1/models', { authorization: `bearer  ${KEYS.client}` })).status).toBe(200);
    const asMiner = { authorization: `Bearer ${KEYS.miner}` };
    expect((await ask('/v1/miner/me', asMiner)).status).toBe(401);
  });

  test('is not taken beside another one', async () => {
    for (const other of [{ 'x-api-key': KEYS.client }, { 'x-session-token': 'st_x' }]) {
      const response = await ask('/v1/models', { ...bearer, ...other });
      expect(response.status).toBe(400);
      expect(await errorOf(response)).toMatchObject({ type: 'invalid_request_error', param: null });
    }
    expect(gateway.upstream.heard).toEqual([]);
  });

  test.each([
    ['missing', {}, 401, 'invalid_api_key'],
    ['wrong', { authorization: 'Bearer sk-0123456789abcdef' }, 401, 'invalid_api_key'],
    ['empty', { authorization: 'Bearer ' }, 401, 'invalid_api_key'],
    ['a miner’s', { authorization: `Bearer ${KEYS.miner}` }, 403, 'permission_denied'],
  ])('that is %s is refused in OpenAI’s words', async (_what, headers, status, code) => {
    const response = await chat(headers as Record<string, string>);
    expect(response.status).toBe(status);
    expect(await errorOf(response)).toMatchObject({ type: 'invalid_request_error', code });
    expect(response.headers.get('x-request-id')).not.toBeNull();
  });
});

test('a method that is not offered is refused in OpenAI’s words', async () => {
  const response = await ask('/v1/chat/completions', bearer);
  expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
  expect(await errorOf(response)).toMatchObject({ type: 'invalid_request_error', param: null });
});

test('the price, the patience and the count of tries go on; nothing else of the client does', async () => {
  const mine = { 'x-aitbc-price': '0.25', 'x-aitbc-max-wait': '20', 'x-aitbc-timeout': '60' };
  await chat({
    ...bearer,
    ...mine,
    'x-stainless-retry-count': '1',
    'openai-organization': 'o',
    'x-stainless-os': 'Linux',
  });
  const { headers } = gateway.upstream.heard[0] ?? { headers: {} };
  expect(headers).toMatchObject({ ...mine, 'x-stainless-retry-count': '1' });
  expect(Object.keys(headers)).not.toContain('authorization');
  expect(Object.keys(headers)).not.toContain('openai-organization');
  expect(Object.keys(headers)).not.toContain('x-stainless-os');
});

test('a name of a model with a slash and a colon is one segment', async () => {
  expect((await ask('/v1/models/meta-llama%2FLlama-3.1:8b', bearer)).status).toBe(200);
  expect(gateway.upstream.heard.at(-1)?.url).toBe('/v1/models/meta-llama%2FLlama-3.1:8b');
  expect(gateway.upstream.heard.at(-1)?.signed).not.toBeNull();
  expect((await ask('/v1/client/jobs/a%2Fb', bearer)).status).toBe(400);
});

test('a browser may send what the clients in it send, and read what they need', async () => {
  const asked = 'authorization, x-stainless-lang, OpenAI-Organization, x-evil, x-stainless-retry-count';
  const preflight = await ask(
    '/v1/chat/completions',
    {
      origin: 'https://a.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': asked,
    },
    { method: 'OPTIONS' },
  );
  const allowed = preflight.headers.get('access-control-allow-headers')?.toLowerCase().split(',') ?? [];
  expect(allowed).toEqual(
    expect.arrayContaining(['authorization', 'x-stainless-lang', 'openai-organization']),
  );
  expect(allowed).not.toContain('x-evil');
  const answer = await ask('/v1/models', { ...bearer, origin: 'https://a.example' });
  const exposed = answer.headers.get('access-control-expose-headers')?.toLowerCase() ?? '';
  for (const name of ['x-aitbc-job-id', 'x-request-id', 'retry-after', 'x-ratelimit-remaining-requests'])
    expect(exposed).toContain(name);
});

describe('what the gateway itself refuses', () => {
  test('a body above 4 MB', async () => {
    const response = await chat(bearer, 'x'.repeat(4 * 1024 * 1024 + 1));
    expect(response.status).toBe(413);
    expect(await errorOf(response)).toMatchObject({ code: 'request_too_large' });
  });

  test('a service that is silent: after the limit of these routes, not to be asked again', async () => {
    let isGone = false;
    gateway.upstream.control.answer = (_heard, response) => {
      response.on('close', () => {
        isGone = true;
      });
    };
    const startedAt = performance.now();
    const response = await chat(bearer);
    expect(response.status).toBe(504);
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(await errorOf(response)).toMatchObject({ type: 'server_error', code: 'timeout' });
    await eventually(() => isGone);
  });

  test('one request too many, with what is left in the clients’ words', async () => {
    const first = await ask('/v1/models', bearer);
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('40');
    const refused = await eventually(async () => {
      const response = await ask('/v1/models', bearer);
      return response.status === 429 && response;
    });
    expect(await errorOf(refused)).toMatchObject({ type: 'requests', code: 'rate_limit_exceeded' });
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    expect(refused.headers.get('x-ratelimit-reset-requests')).toMatch(/^\d+s$/);
  });
});
