import { afterEach, describe, expect, test } from 'vitest';
import {
  Aitbc,
  AuthenticationError,
  ConflictError,
  ConnectionError,
  InsufficientFundsError,
  InvalidRequestError,
  NotFoundError,
  PermissionError,
  RateLimitError,
  ServerError,
  UnexpectedAnswerError,
} from './index.ts';
import { cuts, refuses, says, scriptedServer } from './testing/scripted-server.ts';

type Steps = Parameters<typeof scriptedServer>;
const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});
const against = async (steps: Steps, options = {}) => {
  const server = await scriptedServer(...steps);
  open.push(server);
  return { server, client: new Aitbc({ baseUrl: `${server.url}/`, apiKey: 'k', ...options }) };
};
const failure = async (promise: Promise<unknown>) => {
  try {
    await promise;
  } catch (error) {
    return error as ConnectionError;
  }
  throw new Error('it did not fail');
};
const job = { id: 'j', status: 'pending' };

describe('errors', () => {
  test.each([
    [400, 'AMOUNT_MISMATCH', InvalidRequestError],
    [401, 'UNAUTHENTICATED', AuthenticationError],
    [402, 'INSUFFICIENT_FUNDS', InsufficientFundsError],
    [403, 'FORBIDDEN', PermissionError],
    [404, 'NOT_FOUND', NotFoundError],
    [409, 'JOB_ALREADY_ENDED', ConflictError],
    [413, 'BODY_TOO_LARGE', InvalidRequestError],
    [422, 'VALIDATION_ERROR', InvalidRequestError],
    [429, 'RATE_LIMITED', RateLimitError],
    [500, 'INTERNAL_ERROR', ServerError],
    [503, 'OVERLOADED', ServerError],
  ])('%i %s has a class of its family', async (status, code, Family) => {
    const { client } = await against([refuses(status, code)], { maxRetries: 0 });
    const error = await failure(client.jobs.get('j'));
    expect(error).toBeInstanceOf(Family);
    expect(error).toMatchObject({
      name: Family.title,
      code,
      status,
      requestId: 'r-1',
      message: `it is ${code}`,
    });
  });

  test('the refused fields are told', async () => {
    const issues = [{ path: 'priority', message: 'too big' }];
    const { client } = await against([refuses(422, 'VALIDATION_ERROR', {}, { issues })]);
    expect((await failure(client.jobs.submit('ocr', { image_base64: '' }))).issues).toEqual(issues);
  });

  test('a page of a proxy is no answer of a coordinator', async () => {
    const page: Steps[number] = (response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>welcome</html>');
    };
    const { client } = await against([page]);
    const error = await failure(client.jobs.get('j'));
    expect(error).toBeInstanceOf(UnexpectedAnswerError);
    expect(error).toMatchObject({ code: 'UNEXPECTED_ANSWER', details: { begins: '<html>welcome</html>' } });
  });

  test('a redirect is not followed: the key stays here', async () => {
    const other = await scriptedServer(says(200, {}));
    open.push(other);
    const { client } = await against([says(302, undefined, { location: other.url })]);
    expect((await failure(client.jobs.get('j'))).message).toContain(`redirects to ${other.url}`);
    expect(other.asked).toEqual([]);
  });

  test('nobody there', async () => {
    const { server, client } = await against([says(200, {})], { maxRetries: 0 });
    await server.close();
    const error = await failure(client.jobs.get('j'));
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error).toMatchObject({
      code: 'CONNECTION_FAILED',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });
});

describe('retries', () => {
  test('a GET is asked again after 502, 503, 504 and a cut', async () => {
    const { server, client } = await against([
      refuses(502, 'BAD_GATEWAY'),
      cuts,
      refuses(503, 'SERVICE_UNAVAILABLE', { 'retry-after': '0' }),
      refuses(504, 'GATEWAY_TIMEOUT'),
      says(200, job),
    ]);
    expect(await client.jobs.get('j')).toEqual(job);
    expect(server.asked).toHaveLength(5);
  });

  test('what makes something is sent again with the key it had', async () => {
    const { server, client } = await against([
      cuts,
      refuses(409, 'IDEMPOTENCY_KEY_IN_USE', { 'retry-after': '0' }),
      says(201, job),
    ]);
    expect(await client.jobs.submit('language_detection', { text: 'a' })).toEqual(job);
    const keys = server.asked.map(({ headers }) => headers['idempotency-key']);
    expect(keys[0]).toMatch(/^[\w-]{36}$/);
    expect(new Set(keys).size).toBe(1);
  });

  test('what has no key is not sent again after a cut, and is after a 429', async () => {
    const body = { wallet_address: '0x', message: 'm', signature: '0x' };
    const cut = await against([cuts, says(200, {})]);
    await expect(cut.client.account.login(body)).rejects.toThrow(ConnectionError);
    expect(cut.server.asked).toHaveLength(1);

    const full = await against([refuses(429, 'RATE_LIMITED', { 'retry-after': '0' }), says(200, {})]);
    await full.client.account.login(body);
    expect(full.server.asked).toHaveLength(2);
  });

  test('500 and a refusal are not sent again', async () => {
    for (const step of [refuses(500, 'INTERNAL_ERROR'), refuses(422, 'VALIDATION_ERROR')]) {
      const { server, client } = await against([step]);
      await failure(client.jobs.get('j'));
      expect(server.asked).toHaveLength(1);
    }
  });

  test('Retry-After is waited for; what asks for too long is told', async () => {
    const { client } = await against([refuses(429, 'RATE_LIMITED', { 'retry-after': '1' }), says(200, job)]);
    const began = performance.now();
    await client.jobs.get('j');
    expect(performance.now() - began).toBeGreaterThan(1_000);

    const long = await against([refuses(429, 'RATE_LIMITED', { 'retry-after': '3600' })]);
    expect(await failure(long.client.jobs.get('j'))).toMatchObject({ retryAfterSeconds: 3_600 });
  });

  test('maxRetries is how often', async () => {
    const { server, client } = await against([cuts], { maxRetries: 1 });
    await failure(client.jobs.get('j'));
    expect(server.asked).toHaveLength(2);
  });

  test('an answer that is cut in its middle is asked for again', async () => {
    const half: Steps[number] = (response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"id":');
      setTimeout(() => response.socket?.destroy(), 5);
    };
    const { client } = await against([half, says(200, job)]);
    expect(await client.jobs.get('j')).toEqual(job);
  });
});

describe('time', () => {
  const never: Steps[number] = () => {};

  test('no answer in time', async () => {
    const { client } = await against([never], { timeoutMs: 50, maxRetries: 0 });
    expect(await failure(client.jobs.get('j'))).toMatchObject({ code: 'TIMEOUT' });
  });

  test('a signal ends a request, and the wait for the next one, with its own reason', async () => {
    const waiting = await against([never]);
    const leaving = new AbortController();
    const asked = failure(waiting.client.jobs.get('j', { signal: leaving.signal }));
    leaving.abort(new Error('gone'));
    expect(await asked).toMatchObject({ message: 'gone' });

    const resting = await against([
      (response, asked) => {
        refuses(503, 'OVERLOADED', { 'retry-after': '60' })(response, asked);
        setTimeout(() => stopping.abort(new Error('gone too')), 20);
      },
    ]);
    const stopping = new AbortController();
    expect(await failure(resting.client.jobs.get('j', { signal: stopping.signal }))).toMatchObject({
      message: 'gone too',
    });
  });
});

test('a list is walked page by page, and no page is asked for that nobody reads', async () => {
  const { server, client } = await against([
    says(200, { items: [1, 2], next_cursor: 'c1' }),
    says(200, { items: [], next_cursor: 'c2' }),
    says(200, { items: [3], next_cursor: null }),
  ]);
  const list = client.jobs.list({ limit: 2, label: 'a b' });
  expect(server.asked).toEqual([]);
  const seen: unknown[] = [];
  for await (const item of list) seen.push(item);
  expect(seen).toEqual([1, 2, 3]);
  expect(server.asked.map(({ path }) => path)).toEqual([
    '/v1/client/jobs?limit=2&label=a+b',
    '/v1/client/jobs?limit=2&label=a+b&cursor=c1',
    '/v1/client/jobs?limit=2&label=a+b&cursor=c2',
  ]);
});

test('a base URL keeps its path', async () => {
  const server = await scriptedServer(says(200, {}));
  open.push(server);
  await new Aitbc({ baseUrl: `${server.url}/api/`, apiKey: 'k' }).jobs.get('a/b');
  expect(server.asked[0]).toMatchObject({ path: '/api/v1/client/jobs/a%2Fb', headers: { 'x-api-key': 'k' } });
  expect(() => new Aitbc({ baseUrl: 'localhost:8000' })).toThrow('http://');
});
