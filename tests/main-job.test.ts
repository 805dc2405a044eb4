import { createHash } from 'node:crypto';
import { type Client, routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  accountOf,
  type Coordinator,
  embedding,
  must,
  passes,
  refusal,
  registerMiner,
  STARTING_MS,
  startCoordinator,
  takeWork,
} from './coordinator.ts';
import { openEvents } from './events.ts';

const { jobs } = routes;
let coordinator: Coordinator;
let client: Client;
let miner: Client;
let minerId: string;

beforeAll(async () => {
  coordinator = await startCoordinator({ dispatchers: 2, demoMiner: true });
  ({ client, miner } = coordinator);
  minerId = (await registerMiner(miner, { name: 'played' })).id;
}, STARTING_MS);
afterAll(() => coordinator?.stop());

const submit = async (input: string, more: object = {}) =>
  must(await client.call(jobs.submit, { body: embedding(input, more) }));
const statusOf = async (job_id: string) =>
  must(await client.call(jobs.status, { params: { job_id }, query: {} }));
const complete = (job: { id: string; lease: string }, result: unknown, by = miner) =>
  by.call(jobs.result, { body: { job_id: job.id, lease: job.lease, status: 'completed', result } });
/** Submits a job and takes it. */
const started = async (input: string, more: object = {}) => {
  const { id } = await submit(input, more);
  const [work] = await takeWork(miner, minerId);
  expect(work?.id).toBe(id);
  return work as NonNullable<typeof work>;
};

/** RFC 8785 for what these tests hash: sorted keys, no white space. */
const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`).join(',')}}`;
};
const salted = (salt: string | null, value: unknown) =>
  createHash('sha256')
    .update(Buffer.from(salt as string, 'base64url'))
    .update(canonical(value))
    .digest('hex');

describe('a job from submit to receipt', () => {
  test('is handed to an open poll, shows progress, and leaves a receipt that a stranger can check', async () => {
    const waiting = takeWork(miner, minerId);
    const job = await submit('a text to embed', { labels: ['story'] });
    expect(job).toMatchObject({ status: 'pending', attempt: 0, client_id: await accountOf(client) });

    const [work] = await waiting;
    expect(work).toMatchObject({
      id: job.id,
      attempt: 1,
      job_type: 'embedding',
      parameters: { model: 'm', input: 'a text to embed' },
    });
    const lease = work?.lease as string;
    expect(await statusOf(job.id)).toMatchObject({ status: 'running', attempt: 1, waiting_reason: null });

    const change = client.call(jobs.status, { params: { job_id: job.id }, query: { wait_seconds: 20 } });
    const progress = { job_id: job.id, lease, progress: 0.5, message: 'half of it' };
    expect(must(await miner.call(jobs.progress, { body: progress }))).toEqual({ status: 'running' });
    expect(must(await change)).toMatchObject({ status: 'running', progress: 0.5 });

    const end = client.call(jobs.status, { params: { job_id: job.id }, query: { wait_seconds: 20 } });
    const result = { embedding: [0.25, -0.5], usage: { tokens: 4 } };
    const verdict = must(await complete({ id: job.id, lease }, result));
    expect(must(await end)).toMatchObject({ status: 'completed', progress: 1, attempt: 1 });

    const done = must(await client.call(jobs.get, { params: { job_id: job.id } }));
    expect(done).toMatchObject({ status: 'completed', result, miner_id: minerId, error: null });
    expect(done.metrics.queue_ms).toBeGreaterThanOrEqual(0);
    expect(done.metrics.run_ms).toBeGreaterThanOrEqual(0);

    const { items } = must(await client.call(jobs.receipts, { params: { job_id: job.id } }));
    expect(items).toHaveLength(1);
    expect('receipt' in verdict && verdict.receipt).toEqual(items[0]);

    const jwks = (await (await fetch(`${coordinator.url}/.well-known/jwks.json`)).json()) as JSONWebKeySet;
    const proof = items[0]?.proof as string;
    const { payload, protectedHeader } = await compactVerify(proof, createLocalJWKSet(jwks));
    expect(protectedHeader.alg).toBe('EdDSA');
    const claims = JSON.parse(new TextDecoder().decode(payload));
    expect(claims).toMatchObject({
      receipt_id: items[0]?.id,
      job_id: job.id,
      attempt: 1,
      client_id: job.client_id,
      miner_id: minerId,
      job_type: 'embedding',
      parameters_sha256: salted(job.salt, { model: 'm', input: 'a text to embed' }),
      result_sha256: salted(job.salt, result),
      price: 0,
      currency: 'AITBC',
    });

    const { anyone } = coordinator;
    expect(must(await anyone.call(jobs.verifyReceipt, { body: { proof } }))).toEqual({
      valid: true,
      claims,
      reason: null,
    });
    const [header, , signature] = proof.split('.');
    const forged = Buffer.from(JSON.stringify({ ...claims, price: 100 })).toString('base64url');
    const forgery = `${header}.${forged}.${signature}`;
    await expect(compactVerify(forgery, createLocalJWKSet(jwks))).rejects.toThrow('signature');
    expect(must(await anyone.call(jobs.verifyReceipt, { body: { proof: forgery } }))).toMatchObject({
      valid: false,
      claims: null,
    });

    const shown = must(await anyone.call(jobs.publicReceipts, { query: { limit: 500 } }));
    const ours = shown.items.filter(({ job_id }) => job_id === job.id);
    expect(ours).toEqual([
      expect.objectContaining({ id: items[0]?.id, result_sha256: claims.result_sha256 }),
    ]);
    expect(JSON.stringify(shown)).not.toContain('a text to embed');
    expect(JSON.stringify([shown, claims])).not.toContain(job.salt);
  });

  test('runs on a real miner: the agent that the stack starts detects a language', async () => {
    const body = { job_type: 'language_detection', parameters: { text: 'Guten Morgen, liebe Sorgen' } };
    const { id } = must(await client.call(jobs.submit, { body }));
    const done = await eventually(
      async () => {
        const job = must(await client.call(jobs.get, { params: { job_id: id } }));
        return job.status !== 'pending' && job.status !== 'running' && job;
      },
      { withinMs: 25_000 },
    );
    expect(done).toMatchObject({ status: 'completed', result: { language: expect.stringMatching(/^de/) } });
  });

  test('says why it waits when no miner could run it', async () => {
    const job = await submit('for a machine that nobody has', { constraints: { min_vram_gb: 9_000 } });
    expect(await statusOf(job.id)).toMatchObject({ status: 'pending', waiting_reason: 'no_capable_miner' });
    must(await client.call(jobs.cancel, { params: { job_id: job.id } }));
  });

  test('is listed to its owner page by page, newest first, by label', async () => {
    const made: string[] = [];
    for (const input of ['one', 'two', 'three']) {
      const constraints = { region: 'nowhere' };
      made.unshift((await submit(input, { labels: ['paged'], constraints })).id);
    }
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const query = { label: 'paged', limit: 2, ...(cursor === undefined ? {} : { cursor }) };
      const page = must(await client.call(jobs.list, { query }));
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(made);
    for (const job_id of made) must(await client.call(jobs.cancel, { params: { job_id } }));
  });
});

describe('events', () => {
  test('come as they happen, resume after a lost connection, and end with the job', async () => {
    const { id } = await submit('watched');
    const path = `/v1/client/jobs/${id}/events`;
    const headers = { 'x-api-key': coordinator.keys.client };
    const first = await openEvents(coordinator.url + path, headers);
    expect((await first.next())?.data).toMatchObject({ type: 'pending', job_id: id, status: 'pending' });
    const [work] = await takeWork(miner, minerId);
    expect((await first.next())?.data).toMatchObject({ type: 'running', status: 'running', attempt: 1 });
    first.close();

    const lease = work?.lease as string;
    must(await miner.call(jobs.progress, { body: { job_id: id, lease, progress: 0.25, message: 'a bit' } }));
    must(await complete({ id, lease }, ['done']));
    const resumed = await openEvents(coordinator.url + path, { ...headers, 'last-event-id': first.lastId });
    const rest = await resumed.all();
    expect(rest.map(({ event }) => event)).toEqual(['progress', 'end']);
    expect(rest[1]?.data).toMatchObject({ type: 'completed', result: ['done'] });
    expect(rest[0]?.data).toMatchObject({ progress: 0.25, message: 'a bit' });
    // Every event once, by rising ids, over both connections.
    const ids = [...first.seen, ...rest].map(({ id: eventId }) => Number(eventId));
    expect(ids).toEqual([...ids].sort((a, b) => a - b));
    expect(new Set(ids).size).toBe(ids.length);

    const whole = await (await openEvents(coordinator.url + path, headers)).all();
    expect(whole.map(({ event }) => event)).toEqual(['status', 'status', 'progress', 'end']);
  });
});

describe('cancel', () => {
  test('ends a job that waits; a second time is refused', async () => {
    const job = await submit('not wanted', { constraints: { region: 'nowhere' } });
    const cancelled = must(await client.call(jobs.cancel, { params: { job_id: job.id } }));
    expect(cancelled).toMatchObject({ status: 'cancelled', result: null });
    expect(refusal(await client.call(jobs.cancel, { params: { job_id: job.id } }))).toBe(
      '409 JOB_ALREADY_ENDED',
    );
  });

  test('ends a job that runs: the miner is told with its heartbeat, and its result is refused', async () => {
    const work = await started('soon not wanted');
    must(await client.call(jobs.cancel, { params: { job_id: work.id } }));
    await passes(async () => {
      const body = { miner_id: minerId, inflight: [work.id] };
      expect(must(await miner.call(routes.miners.heartbeat, { body })).cancel).toContain(work.id);
    });
    expect(refusal(await complete(work, 'too late'))).toBe('409 JOB_ALREADY_ENDED');
    const progress = { job_id: work.id, lease: work.lease, progress: 0.9 };
    expect(refusal(await miner.call(jobs.progress, { body: progress }))).toBe('409 JOB_ALREADY_ENDED');
    expect(must(await client.call(jobs.receipts, { params: { job_id: work.id } })).items).toEqual([]);
    expect(await statusOf(work.id)).toMatchObject({ status: 'cancelled' });
  });
});

describe('a result', () => {
  test('twice gets the same receipt; another one is refused', async () => {
    const work = await started('once');
    const first = must(await complete(work, { answer: 42 }));
    const again = must(await complete(work, { answer: 42 }));
    expect(again).toEqual(first);
    expect(refusal(await complete(work, { answer: 43 }))).toBe('409 RESULT_CONFLICT');
    const { items } = must(await client.call(jobs.receipts, { params: { job_id: work.id } }));
    expect(items).toHaveLength(1);
  });

  test('of a stranger does not exist, even with the lease of another', async () => {
    const work = await started('mine');
    const stranger = await coordinator.newAccount(['miner']);
    expect(refusal(await complete(work, 'theirs', stranger.caller))).toBe('404 NOT_FOUND');
    await registerMiner(stranger.caller, { capabilities: ['llm_inference'] });
    expect(refusal(await complete(work, 'theirs', stranger.caller))).toBe('404 NOT_FOUND');
    // Another first character is another job's id: the seal no longer fits.
    const altered = (work.lease.startsWith('A') ? 'B' : 'A') + work.lease.slice(1);
    const homemade = Buffer.from('a lease made at home').toString('base64url');
    for (const lease of [altered, homemade])
      expect(refusal(await complete({ ...work, lease }, 'mine'))).toBe('404 NOT_FOUND');
    must(await complete(work, 'mine'));
  });

  test('after the job went to another miner is refused; the other’s counts', async () => {
    const other = await registerMiner(miner, { name: 'second', capabilities: ['image_generation'] });
    const slow = await registerMiner(miner, { name: 'slow', capabilities: ['image_generation'] });
    const body = {
      job_type: 'image_generation',
      parameters: { prompt: 'a lighthouse' },
      timeout_seconds: 3,
      max_attempts: 3,
    };
    const { id } = must(await client.call(jobs.submit, { body }));
    const [lost] = await takeWork(miner, slow.id);
    // The slow one polls as well; it must not get back what it lost while the other fits.
    const idle = miner.call(jobs.poll, { query: { wait_seconds: 5, miner_id: slow.id } });
    const [taken] = await takeWork(miner, other.id);
    expect(taken).toMatchObject({ id, attempt: 2 });
    const late = lost as NonNullable<typeof lost>;
    expect(refusal(await complete(late, 'late'))).toBe('409 STALE_LEASE');
    const progress = { job_id: id, lease: late.lease, progress: 0.5 };
    expect(refusal(await miner.call(jobs.progress, { body: progress }))).toBe('409 STALE_LEASE');
    must(await complete(taken as NonNullable<typeof taken>, 'in time'));
    const job = must(await client.call(jobs.get, { params: { job_id: id } }));
    expect(job).toMatchObject({ status: 'completed', attempt: 2, result: 'in time', miner_id: other.id });
    expect(refusal(await complete(late, 'late'))).toBe('409 STALE_LEASE');
    const { items } = must(await client.call(jobs.receipts, { params: { job_id: id } }));
    expect(items).toHaveLength(1);
    expect(must(await idle).items).toEqual([]);
  });

  test('that is a failure ends the job, or brings it back while attempts remain', async () => {
    const final = await started('fails');
    const error = { code: 'OUT_OF_MEMORY', message: 'needs 80 GB' };
    const report = { job_id: final.id, lease: final.lease, status: 'failed' as const, error };
    expect(must(await miner.call(jobs.result, { body: report }))).toEqual({
      status: 'failed',
      receipt: null,
    });
    expect(await statusOf(final.id)).toMatchObject({ status: 'failed', error });

    const retried = await started('fails once', { max_attempts: 2 });
    const body = { ...report, job_id: retried.id, lease: retried.lease, retryable: true };
    expect(must(await miner.call(jobs.result, { body }))).toEqual({ status: 'pending', receipt: null });
    const [second] = await takeWork(miner, minerId);
    expect(second).toMatchObject({ id: retried.id, attempt: 2 });
    must(await complete(second as NonNullable<typeof second>, 'better'));
  });
});

describe('many at once', () => {
  test('a batch has a result per item: a bad one does not stop the others', async () => {
    const good = ['a', 'b', 'c'].map((input) => embedding(input));
    const batch = [good[0], { job_type: 'no_such_type', parameters: {} }, good[1], { job_type: 5 }, good[2]];
    const { items } = must(await client.call(jobs.submitBatch, { body: { jobs: batch } }));
    expect(items.map((item) => [item.status, item.error?.code])).toEqual([
      [201, undefined],
      [422, 'INVALID_JOB_TYPE'],
      [201, undefined],
      [422, 'VALIDATION_ERROR'],
      [201, undefined],
    ]);
    const ids = items.flatMap(({ job }) => (job === undefined ? [] : [job.id]));

    const taken = [];
    while (taken.length < 3) taken.push(...(await takeWork(miner, minerId, 3)));
    expect(taken.map(({ id }) => id).sort()).toEqual([...ids].sort());
    const results = [
      ...taken.map(({ id, lease }) => ({ job_id: id, lease, status: 'completed', result: { id } })),
      { job_id: ids[0], lease: 'not a lease', status: 'completed', result: null },
      { job_id: 'not an id' },
    ];
    const verdicts = must(await miner.call(jobs.result, { body: { results } }));
    if ('receipt' in verdicts) throw new Error('a batch must be answered item by item');
    expect(verdicts.items.map((item) => [item.status, item.verdict?.status ?? item.error?.code])).toEqual([
      [200, 'completed'],
      [200, 'completed'],
      [200, 'completed'],
      [404, 'NOT_FOUND'],
      [422, 'VALIDATION_ERROR'],
    ]);
    for (const job_id of ids) {
      const { items: receipts } = must(await client.call(jobs.receipts, { params: { job_id } }));
      expect(receipts).toMatchObject([{ job_id, result: { id: job_id } }]);
    }
  });
});

describe('an Idempotency-Key', () => {
  test('makes one job of many tries, and is refused for another body', async () => {
    const body = embedding('only one', { constraints: { region: 'nowhere' }, labels: ['idempotent'] });
    const options = { body, idempotencyKey: 'the-first-try' };
    const tries = await Promise.all(Array.from({ length: 5 }, () => client.call(jobs.submit, options)));
    for (const answer of tries.filter(({ ok }) => !ok)) {
      expect(refusal(answer)).toBe('409 IDEMPOTENCY_KEY_IN_USE');
    }
    const again = await client.call(jobs.submit, options);
    expect(again.status).toBe(201);
    const { id } = must(again);
    for (const answer of tries) if (answer.ok) expect(answer.body.id).toBe(id);
    const other = await client.call(jobs.submit, { ...options, body: { ...body, priority: 1 } });
    expect(refusal(other)).toBe('422 IDEMPOTENCY_KEY_REUSED');
    // Another caller's key is another key.
    const theirs = must(await coordinator.client2.call(jobs.submit, options));
    expect(theirs.id).not.toBe(id);
    const { items } = must(await client.call(jobs.list, { query: { label: 'idempotent' } }));
    expect(items.map((job) => job.id)).toEqual([id]);
    must(await client.call(jobs.cancel, { params: { job_id: id } }));
    must(await coordinator.client2.call(jobs.cancel, { params: { job_id: theirs.id } }));
  });
});

describe('what is refused', () => {
  const NOBODY = '01890f2a-46c3-7d21-9a52-3f7b6f0c1e42';
  const good = JSON.stringify(embedding('x'));
  interface Refused {
    what: string;
    expected: string;
    path?: string;
    method?: string;
    key?: 'client' | 'miner' | 'admin' | 'none' | 'wrong';
    body?: string;
    field?: string;
  }
  const table: Refused[] = [
    { what: 'no key', key: 'none', body: good, expected: '401 UNAUTHENTICATED' },
    { what: 'a wrong key', key: 'wrong', body: good, expected: '401 UNAUTHENTICATED' },
    { what: 'a miner’s key', key: 'miner', body: good, expected: '403 FORBIDDEN' },
    { what: 'an unknown route', path: '/v1/nothing', expected: '404 NOT_FOUND', method: 'GET' },
    { what: 'an unknown job', path: `/v1/client/jobs/${NOBODY}`, method: 'GET', expected: '404 NOT_FOUND' },
    { what: 'no id at all', path: '/v1/client/jobs/..%2f', method: 'GET', expected: '400 BAD_REQUEST' },
    { what: 'a wrong method', method: 'DELETE', expected: '405 METHOD_NOT_ALLOWED' },
    {
      what: 'a body above 4 MB',
      body: JSON.stringify(embedding('x'.repeat(5_000_000))),
      expected: '413 BODY_TOO_LARGE',
    },
    { what: 'half of a body', body: good.slice(0, -5), expected: '400 INVALID_JSON' },
    { what: 'no body', expected: '400 INVALID_JSON' },
    {
      what: 'an unknown field',
      body: JSON.stringify({ ...embedding('x'), prioritty: 3 }),
      expected: '422 VALIDATION_ERROR',
      field: 'prioritty',
    },
    {
      what: 'a number as text',
      body: JSON.stringify(embedding('x', { priority: '3' })),
      expected: '422 VALIDATION_ERROR',
      field: 'priority',
    },
    {
      what: 'parameters of another type',
      body: JSON.stringify({ job_type: 'embedding', parameters: { text: 'x' } }),
      expected: '422 VALIDATION_ERROR',
      field: 'parameters.model',
    },
    {
      what: 'an unknown job type',
      body: JSON.stringify({ job_type: 'alchemy', parameters: {} }),
      expected: '422 INVALID_JOB_TYPE',
    },
    {
      what: 'a limit of 501',
      path: '/v1/client/jobs?limit=501',
      method: 'GET',
      expected: '422 VALIDATION_ERROR',
      field: 'query.limit',
    },
    {
      what: 'a made-up cursor',
      path: '/v1/client/jobs?cursor=abc',
      method: 'GET',
      expected: '422 VALIDATION_ERROR',
      field: 'query.cursor',
    },
  ];

  test.each(table)('$what: $expected', async ({ path, method, key = 'client', body, expected, field }) => {
    const secret =
      key === 'wrong' ? 'ak_dev_not_a_key_of_anybody' : key === 'none' ? '' : coordinator.keys[key];
    const response = await fetch(`${coordinator.url}${path ?? '/v1/client/jobs'}`, {
      method: method ?? 'POST',
      headers: {
        'x-request-id': 'asked-for-by-a-test',
        ...(key === 'none' ? {} : { 'x-api-key': secret }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const answer = (await response.json()) as { error: { code: string; message: string; details: object } };
    expect(`${response.status} ${answer.error.code}`).toBe(expected);
    expect(Object.keys(answer)).toEqual(['error']);
    expect(Object.keys(answer.error).sort()).toEqual(['code', 'details', 'message']);
    // One sentence for a person: nothing of the inside.
    expect(answer.error.message).toMatch(/^\S.{3,200}[.!]?$/);
    expect(JSON.stringify(answer)).not.toMatch(/\.ts\b|node_modules|SQLITE|select |Zod| at /);
    expect(response.headers.get('x-request-id')).toBe('asked-for-by-a-test');
    if (field !== undefined) {
      expect(answer.error.details).toMatchObject({
        issues: expect.arrayContaining([expect.objectContaining({ path: field })]),
      });
    }
  });

  test('a request id that is none is replaced, on good answers and bad ones', async () => {
    for (const path of ['/health', '/v1/nothing', '/v1/explorer/receipts']) {
      for (const given of ['', 'with spaces and more', 'x'.repeat(300)]) {
        const response = await fetch(coordinator.url + path, { headers: { 'x-request-id': given } });
        const made = response.headers.get('x-request-id') ?? '';
        expect({ path, given, made }).toEqual({
          path,
          given,
          made: expect.stringMatching(/^[0-9a-f-]{36}$/),
        });
        await response.arrayBuffer();
      }
    }
  });

  test('somebody else’s job is as if it did not exist', async () => {
    const job = await submit('private', { constraints: { region: 'nowhere' } });
    const params = { job_id: job.id };
    const { client2 } = coordinator;
    expect(refusal(await client2.call(jobs.get, { params }))).toBe('404 NOT_FOUND');
    expect(refusal(await client2.call(jobs.status, { params, query: {} }))).toBe('404 NOT_FOUND');
    expect(refusal(await client2.call(jobs.cancel, { params }))).toBe('404 NOT_FOUND');
    expect(refusal(await client2.call(jobs.receipts, { params }))).toBe('404 NOT_FOUND');
    expect(refusal(await client2.call(routes.payments.getByJob, { params }))).toBe('404 NOT_FOUND');
    const events = await fetch(`${coordinator.url}/v1/client/jobs/${job.id}/events`, {
      headers: { 'x-api-key': coordinator.keys.client2 },
    });
    expect(events.status).toBe(404);
    await events.arrayBuffer();
    const { items } = must(await client2.call(jobs.list, { query: { limit: 500 } }));
    expect(items.map(({ id }) => id)).not.toContain(job.id);
    must(await client.call(jobs.cancel, { params }));
  });

  test('the same routes answer under /api', async () => {
    const response = await fetch(`${coordinator.url}/api/v1/client/jobs?limit=1`, {
      headers: { 'x-api-key': coordinator.keys.client },
    });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      items: [expect.objectContaining({ client_id: await accountOf(client) })],
    });
  });
});
