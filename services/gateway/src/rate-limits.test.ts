import { newId, routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { principalOfAddress } from './rate-limits.ts';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';
import { rawRequest, sendRaw } from './testing/raw.ts';

// Real minutes are too long for a test: time passes by moving the buckets of a budget back.
let gateway: TestGateway;
let redis: Redis;
beforeAll(async () => {
  gateway = await startTestGateway();
  redis = new Redis(gateway.env.REDIS_URL as string);
});
afterAll(async () => {
  redis.disconnect();
  await gateway.stop();
});
beforeEach(async () => {
  for (const key of await redis.keys('*:rate:*')) await redis.del(key);
});

const submit = (to: { url: string }, key?: string) =>
  fetch(`${to.url}/v1/client/jobs`, {
    method: 'POST',
    body: '{}',
    headers: key === undefined ? {} : { 'x-api-key': key },
  });
const statuses = async (requests: Promise<Response>[]) => {
  const counts: Record<number, number> = {};
  for (const { status } of await Promise.all(requests)) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
};
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

/** Lets `seconds` go by for every budget. */
const age = async (seconds: number) => {
  for (const key of await redis.keys('*:rate:*')) {
    const held = await redis.hgetall(key);
    await redis.del(key);
    for (const [field, value] of Object.entries(held)) {
      if (field === 'n') await redis.hset(key, field, value);
      else if (field === 'o') await redis.hset(key, field, Number(value) - seconds);
      else await redis.hset(key, Number(field) - seconds, value);
    }
  }
};

describe('the limit', () => {
  test('is exact: of 150 requests at once 100 go on and 50 are told when to come back', async () => {
    const startedAt = performance.now();
    const responses = await Promise.all(times(150, () => submit(gateway, KEYS.client)));
    const tookSeconds = Math.ceil((performance.now() - startedAt) / 1_000);
    const refused = responses.filter((response) => response.status === 429);
    expect(responses.filter((response) => response.ok)).toHaveLength(100);
    expect(refused).toHaveLength(50);
    const [first] = refused;
    const retryAfter = Number(first?.headers.get('retry-after'));
    expect(retryAfter).toBeLessThanOrEqual(60);
    expect(retryAfter).toBeGreaterThanOrEqual(60 - tookSeconds - 1);
    expect(await first?.json()).toMatchObject({ error: { code: 'RATE_LIMITED', details: { limit: 100 } } });
  });

  test('is shown in the fields of draft 8', async () => {
    await submit(gateway, KEYS.client);
    const { headers } = await submit(gateway, KEYS.client);
    expect(headers.get('ratelimit')).toMatch(/^"client";r=98;t=(59|60)$/);
    expect(headers.get('ratelimit-policy')).toMatch(/^"client";q=100;w=60;pk=:[A-Za-z0-9+/]{12}:$/);
  });

  test('is one for two gateways, and stands over a restart', async () => {
    const second = await startTestGateway({}, gateway);
    const requests = times(150, (index) => submit(index % 2 === 0 ? gateway : second, KEYS.client));
    expect(await statuses(requests)).toEqual({ 200: 100, 429: 50 });
    await second.stop();
    const third = await startTestGateway({}, gateway);
    expect((await submit(third, KEYS.client)).status).toBe(429);
    await third.stop();
  });

  test('slides: what was used comes back a minute later, second by second, and asking did not prolong it', async () => {
    expect(await statuses(times(60, () => submit(gateway, KEYS.client)))).toEqual({ 200: 60 });
    await age(40);
    expect(await statuses(times(50, () => submit(gateway, KEYS.client)))).toEqual({ 200: 40, 429: 10 });
    await age(21);
    // The first 60 are gone, the 40 are not.
    expect(await statuses(times(70, () => submit(gateway, KEYS.client)))).toEqual({ 200: 60, 429: 10 });
    await age(200);
    expect(await statuses(times(101, () => submit(gateway, KEYS.client)))).toEqual({ 200: 100, 429: 1 });
  });

  test('is counted by account and by class', async () => {
    await statuses(times(100, () => submit(gateway, KEYS.client)));
    expect((await submit(gateway, KEYS.client)).status).toBe(429);
    expect((await submit(gateway, KEYS.client2)).status).toBe(200);
    const me = await gateway.client(KEYS.client).call(routes.gateway.me, {});
    expect([me.status, me.headers.get('ratelimit-policy')]).toEqual([
      200,
      expect.stringContaining('"user";q=60'),
    ]);
    const poll = await gateway.client(KEYS.miner).call(routes.jobs.poll, {});
    expect(poll.headers.get('ratelimit-policy')).toContain('"miner";q=1000;');
  });

  test('of an account is one for all its keys, except one with a limit of its own', async () => {
    const admin = gateway.client(KEYS.admin);
    const first = await admin.call(routes.gateway.adminCreateKey, {
      body: { scopes: ['client'], label: 'one' },
    });
    if (!first.ok) throw new Error('not made');
    const { account_id } = first.body;
    const make = async (rate_limit_per_minute?: number) => {
      const reply = await admin.call(routes.gateway.adminCreateKey, {
        body: {
          account_id,
          scopes: ['client'],
          label: 'more',
          ...(rate_limit_per_minute === undefined ? {} : { rate_limit_per_minute }),
        },
      });
      if (!reply.ok) throw new Error('not made');
      return reply.body.key;
    };
    const second = await make();
    const own = await make(3);
    await statuses(times(100, () => submit(gateway, first.body.key)));
    expect((await submit(gateway, second)).status).toBe(429);
    expect(await statuses(times(5, () => submit(gateway, own)))).toEqual({ 200: 3, 429: 2 });
  });

  test('is not spent by health and docs', async () => {
    const paths = ['/health', '/health/ready', '/docs', '/redoc', '/openapi.json'];
    for (const path of paths) {
      const response = await fetch(gateway.url + path);
      expect([path, response.status, response.headers.get('ratelimit')]).toEqual([path, 200, null]);
    }
    expect(await redis.keys('*:rate:*')).toEqual([]);
  });
});

test('metrics have a limit of their own', async () => {
  const { headers } = await fetch(`${gateway.url}/metrics`);
  expect(headers.get('ratelimit')).toMatch(/r=599;/);
  const [key = ''] = await redis.keys('*:rate:/metrics:*');
  for (const field of ['n', (await redis.hget(key, 'o')) as string]) await redis.hincrby(key, field, 590);
  const answers = await statuses(times(12, () => fetch(`${gateway.url}/metrics`)));
  expect(answers).toEqual({ 200: 9, 429: 3 });
  expect((await fetch(`${gateway.url}/v1/miners`)).status).toBe(200);
});

describe('a batch', () => {
  /** Answers as jobs does: a unit for ten. */
  const answerWithCost = (pauseMs = 0) => {
    gateway.upstream.control.answer = ({ body }, response) => {
      const items = (JSON.parse(body) as { jobs?: unknown[]; results?: unknown[] }).jobs?.length ?? 0;
      response.setHeader('x-rate-cost', String(Math.ceil(items / 10)));
      setTimeout(() => response.end('{}'), pauseMs);
    };
  };
  const jobs = (count: number, bytes = 300) =>
    JSON.stringify({ jobs: times(count, () => ({ text: 'x'.repeat(bytes) })) });
  const batch = (to: { url: string }, body: string, init: RequestInit = {}) =>
    fetch(`${to.url}/v1/client/jobs/batch`, {
      method: 'POST',
      headers: { 'x-api-key': KEYS.client },
      body,
      ...init,
    });
  const used = async () => Number(await redis.hget((await redis.keys('*:rate:client:*'))[0] as string, 'n'));
  beforeEach(() => {
    gateway.upstream.heard.length = 0;
    answerWithCost();
  });
  afterAll(() => {
    gateway.upstream.control.answer = (_heard, response) => void response.end('{}');
  });

  test('costs what it held, and the outside is not told how that is said', async () => {
    const response = await batch(gateway, jobs(900));
    expect([response.status, response.headers.get('x-rate-cost')]).toEqual([200, null]);
    expect(response.headers.get('ratelimit')).toMatch(/r=10;/);
    await eventually(async () => (await used()) === 90);
    expect(await statuses(times(20, () => submit(gateway, KEYS.client)))).toEqual({ 200: 10, 429: 10 });
  });

  test('is paid for before it is passed on: of thirty side by side the limit lets one through', async () => {
    answerWithCost(100);
    // A thousand of the shortest, of ordinary ones, and of unknown length.
    const sent = times(30, (index) => {
      const body = index % 3 === 0 ? JSON.stringify({ jobs: Array(1_000).fill(0) }) : jobs(1_000, 50);
      if (index % 3 !== 1) return batch(gateway, body);
      return batch(gateway, body, { body: new Blob([body]).stream(), duplex: 'half' } as RequestInit);
    });
    expect(await statuses(sent)).toEqual({ 200: 1, 429: 29 });
    expect(gateway.upstream.heard).toHaveLength(1);
    expect(await used()).toBe(100);
  });

  test('of two gateways is paid for once', async () => {
    const second = await startTestGateway({}, gateway);
    answerWithCost(100);
    const sent = times(20, (index) => batch(index % 2 === 0 ? gateway : second, jobs(1_000)));
    expect(await statuses(sent)).toEqual({ 200: 1, 429: 19 });
    await second.stop();
  });

  test('waits its turn when what others of its account hold may come back', async () => {
    answerWithCost(50);
    const sent = times(8, () => batch(gateway, jobs(100)));
    expect(await statuses(sent)).toEqual({ 200: 8 });
    await eventually(async () => (await used()) === 80);
  });

  test('that goes beyond the limit by itself is the last for now', async () => {
    expect((await submit(gateway, KEYS.client)).status).toBe(200);
    expect((await batch(gateway, jobs(1_000))).status).toBe(200);
    await eventually(async () => (await used()) === 101);
    expect((await submit(gateway, KEYS.client)).status).toBe(429);
  });

  test('of results is counted too', async () => {
    const results = JSON.stringify({ jobs: times(100, () => ({ job_id: newId() })) });
    const headers = { 'x-api-key': KEYS.miner };
    const response = await fetch(`${gateway.url}/v1/miner/result`, {
      method: 'POST',
      headers,
      body: results,
    });
    expect(response.headers.get('ratelimit')).toMatch(/^"miner";r=990;/);
  });

  test('that was refused costs one, and so does one that reached nobody', async () => {
    gateway.upstream.control.answer = (_heard, response) => response.writeHead(422).end('{}');
    expect((await batch(gateway, jobs(1_000))).headers.get('ratelimit')).toMatch(/r=99;/);
    const alone = await startTestGateway({ JOBS_URL: 'http://127.0.0.1:1' }, gateway);
    const away = await batch(alone, jobs(1_000));
    expect([away.status, away.headers.get('ratelimit')]).toEqual([503, expect.stringMatching(/r=98;/)]);
    await eventually(async () => (await used()) === 2);
    await alone.stop();
  });

  test('whose caller does not wait for the answer is paid for whole', async () => {
    const leaving = new AbortController();
    gateway.upstream.control.answer = () => leaving.abort();
    await expect(batch(gateway, jobs(1_000), { signal: leaving.signal })).rejects.toThrow();
    expect(await used()).toBe(100);
    expect((await batch(gateway, jobs(10))).status).toBe(429);
  });

  test('is counted without Redis as well', async () => {
    const alone = await startTestGateway({ REDIS_URL: 'redis://127.0.0.1:1' }, gateway);
    answerWithCost(50);
    expect(await statuses(times(5, () => batch(alone, jobs(100))))).toEqual({ 200: 5 });
    expect(await statuses(times(5, () => batch(alone, jobs(1_000))))).toEqual({ 200: 1, 429: 4 });
    await alone.stop();
  });
});

describe('a caller without credential', () => {
  test('is counted by address', async () => {
    const list = () => fetch(`${gateway.url}/v1/miners`);
    expect(await statuses(times(61, list))).toEqual({ 200: 60, 429: 1 });
    // A credential is another principal.
    expect((await gateway.client(KEYS.client).call(routes.miners.list, {})).status).toBe(200);
  });

  test('who guesses keys is stopped, while the holder of a good one is not', async () => {
    const guess = () => submit(gateway, `ak_test_${newId()}`);
    expect(await statuses(times(70, guess))).toEqual({ 401: 60, 429: 10 });
    expect((await submit(gateway, KEYS.client)).status).toBe(200);
  });

  test.each([
    ['203.0.113.7', 'ip:203.0.113.7'],
    ['::ffff:203.0.113.7', 'ip:203.0.113.7'],
  ])('%s is %s', (address, principal) => expect(principalOfAddress(address)).toBe(principal));

  test('behind an appending proxy is stopped, whatever it makes up before', async () => {
    const one = await startTestGateway({ TRUST_PROXY: '1' }, gateway);
    const ask = async (index: number) => {
      const forged = times(32, (entry) => `192.0.${index}.${entry}`).join(', ');
      const [answer] = await sendRaw(
        one.url,
        rawRequest('GET /v1/miners', [
          'Host: a',
          `X-Forwarded-For: ${forged}, 203.0.113.77`,
          'Connection: close',
        ]),
      );
      return answer?.status;
    };
    const answers = await Promise.all(times(70, ask));
    expect(answers.filter((status) => status === 200)).toHaveLength(60);
    expect(answers.filter((status) => status === 429)).toHaveLength(10);
    await one.stop();
  });

  test('of IPv6 is counted by its /56', () => {
    const of = principalOfAddress;
    expect(of('2001:db8:1:2ff::1')).toBe(of('2001:db8:1:200:9:9:9:9'));
    expect(of('2001:db8:1:2ff::1')).not.toBe(of('2001:db8:1:300::1'));
  });

  test('behind trusted proxies is the address that the outermost of them saw, whatever the caller wrote', async () => {
    const one = await startTestGateway({ TRUST_PROXY: '1' }, gateway);
    const two = await startTestGateway({ TRUST_PROXY: '2' }, gateway);
    const budget = async (to: TestGateway, forwarded?: string) => {
      const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
      const response = await fetch(`${to.url}/v1/miners`, { headers });
      return response.headers.get('ratelimit-policy');
    };
    const local = await budget(gateway);
    // Believed of nobody without a proxy.
    expect(await budget(gateway, '203.0.113.9')).toBe(local);
    const seen = await budget(one, '203.0.113.9');
    expect(seen).not.toBe(local);
    expect(await budget(one, '198.51.100.1, 203.0.113.9')).toBe(seen);
    expect(await budget(two, '203.0.113.9, 10.0.0.1')).toBe(seen);
    expect(await budget(two, '198.51.100.1, 203.0.113.9, 10.0.0.1')).toBe(seen);
    expect(await budget(one, 'not an address')).toBe(local);
    // An appending proxy keeps what the caller wrote: it is cut from the left, however much that is.
    const madeUp = times(40, (index) => `192.0.2.${index}`).join(', ');
    expect(await budget(one, `${madeUp}, 203.0.113.9`)).toBe(seen);
    expect(await budget(two, `${madeUp}, 203.0.113.9, 10.0.0.1`)).toBe(seen);
    await one.stop();
    await two.stop();
  });
});

describe('without Redis', () => {
  test('requests are answered, and each gateway counts for itself', async () => {
    const alone = await startTestGateway({ REDIS_URL: 'redis://127.0.0.1:1' }, gateway);
    expect(await statuses(times(120, () => submit(alone, KEYS.client)))).toEqual({ 200: 100, 429: 20 });
    const ready = await fetch(`${alone.url}/health/ready`);
    expect([ready.status, await ready.json()]).toMatchObject([
      200,
      { dependencies: { redis: { ok: false, required: false } } },
    ]);
    await alone.stop();
  });

  test('that hangs, the requests of a moment wait for it, and those after them do not', async () => {
    await redis.call('CLIENT', 'PAUSE', '3000', 'ALL');
    const startedAt = performance.now();
    for (let index = 0; index < 5; index += 1) expect((await submit(gateway, KEYS.client)).status).toBe(200);
    expect(performance.now() - startedAt).toBeLessThan(2_500);
    await redis.ping();
  });
});
