import { createHash } from 'node:crypto';
import { CALLER_HEADER, deriveKey, signCaller } from '@aitbc/chassis';
import { type Caller, jobsRoutes, newId } from '@aitbc/contracts';
import { someone, TEST_SECRET } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';

// What is sent means the same afterwards: in the job, at the miner, in the result, and under the signature.

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

/** The bytes as they are given here: a client that writes JSON could not say most of this. */
const post = async (path: string, caller: Caller, body: string, headers: Record<string, string> = {}) => {
  const signed = { caller, request_id: newId(), at_ms: Date.now() };
  const response = await fetch(stack.url + path, {
    method: 'POST',
    headers: {
      [CALLER_HEADER]: signCaller(deriveKey(TEST_SECRET, 'caller'), signed, 'POST', path),
      'content-type': 'application/json',
      ...headers,
    },
    body,
  });
  return { status: response.status, body: await response.json() };
};
const submit = jobsRoutes.submit.path;
const custom = (input: string) => `{"job_type":"custom","parameters":{"input":${input}}}`;

describe('parameters', () => {
  test.each([
    ['{"x":1e999}', 'parameters.input.x'],
    ['[0,{"x":9007199254740993}]', 'parameters.input.1.x'],
    ['12345678901234567890.5', 'parameters.input'],
    ['{"a":{"__proto__":{"b":1}}}', 'parameters.input.a.__proto__'],
    ['{"__pr\\u006fto__":1}', 'parameters.input.__proto__'],
    ['{"a":1,"a":2}', 'parameters.input.a'],
  ])('with %s are refused by place', async (input, path) => {
    const reply = await post(submit, someone(['client']), custom(input));
    expect(reply).toMatchObject({
      status: 422,
      body: { error: { code: 'VALIDATION_ERROR', details: { issues: [{ path }] } } },
    });
  });

  test.each([
    '"__proto__"',
    '{"constructor":"__proto__"}',
    '[0.1,1e3,9007199254740992,1e23,-1.5e-300]',
    '"\\ud800"',
  ])('with %s are what the miner gets', async (input) => {
    const name = newId();
    const reply = await post(
      submit,
      someone(['client']),
      custom(input).replace('{', `{"constraints":{"region":"${name}"},`),
    );
    expect(reply).toMatchObject({ status: 201, body: { parameters: { input: JSON.parse(input) } } });
    const miner = await stack.miner({ region: name });
    expect((await miner.take()).parameters).toEqual({ input: JSON.parse(input) });
  });

  test('a picture has one spelling, whatever it came in', async () => {
    const bytes = Buffer.from([0xfb, 0xff, 0xbe, 1, 2, 3, 4]);
    for (const image_base64 of [
      bytes.toString('base64url'),
      `data:image/png;base64,${bytes.toString('base64')}`,
      bytes.toString('base64').replace(/(.{4})/g, '$1\n'),
    ]) {
      const job = await stack.client().submit({ job_type: 'ocr', parameters: { image_base64 } });
      expect(job.parameters).toEqual({ image_base64: bytes.toString('base64'), language: 'eng' });
    }
  });

  test('a label of nothing is none', async () => {
    const reply = await post(
      submit,
      someone(['client']),
      '{"job_type":"language_detection","parameters":{"text":"a"},"labels":["\\u200b \\u2060"]}',
    );
    expect(reply).toMatchObject({
      status: 422,
      body: { error: { details: { issues: [{ path: 'labels.0' }] } } },
    });
  });
});

test('in a batch, what cannot be kept is refused alone', async () => {
  const jobs = [custom('"__proto__"'), custom('1e999'), custom('{"__proto__":1}'), custom('1')];
  const reply = await post(jobsRoutes.submitBatch.path, someone(['client']), `{"jobs":[${jobs.join()}]}`);
  expect(reply).toMatchObject({
    status: 207,
    body: {
      items: [
        { status: 201, job: { parameters: { input: '__proto__' } } },
        { status: 422, error: { details: { issues: [{ path: 'parameters.input' }] } } },
        { status: 422, error: { details: { issues: [{ path: 'parameters.input.__proto__' }] } } },
        { status: 201 },
      ],
    },
  });
});

describe('a result', () => {
  const held = async (name: string) => {
    const miner = await stack.miner({ ...onlyFor(name), concurrency: 2 });
    const client = stack.client();
    const job = await client.submit(workFor(name));
    const { lease } = await miner.take();
    return { miner, client, job, lease };
  };
  const report = ({ job, lease }: { job: { id: string }; lease: string }, result: string) =>
    `{"job_id":"${job.id.toUpperCase()}","lease":"${lease}","status":"completed","result":${result}}`;

  test('with the text __proto__ is accepted; a number or name that cannot be kept is refused and may be sent better', async () => {
    const work = await held('result');
    const path = jobsRoutes.result.path;
    for (const [result, at] of [
      ['{"x":18446744073709551615}', 'result.x'],
      ['{"x":[1e999]}', 'result.x.0'],
      ['{"__proto__":1}', 'result.__proto__'],
    ] as const) {
      const issues = [{ path: at }];
      expect(await post(path, work.miner.caller, report(work, result))).toMatchObject({
        status: 422,
        body: { error: { details: { issues } } },
      });
      expect(await post(path, work.miner.caller, `{"results":[${report(work, result)}]}`)).toMatchObject({
        status: 200,
        body: { items: [{ job_id: work.job.id, status: 422, error: { details: { issues } } }] },
      });
    }
    const reply = await post(path, work.miner.caller, report(work, '{"text":"__proto__"}'));
    expect(reply).toMatchObject({ status: 200, body: { status: 'completed' } });
    expect(await work.client.get(work.job.id)).toMatchObject({ result: { text: '__proto__' } });
  });

  test('is hidden behind a salt that client and miner know, and nobody else', async () => {
    const [one, two] = [await held('salted'), await held('salted too')];
    expect(one.job.salt).toMatch(/^[\w-]{43}$/);
    expect(one.job.salt).not.toBe(two.job.salt);
    for (const work of [one, two]) {
      const reply = await work.miner.complete({ id: work.job.id, lease: work.lease }, { language: 'de' });
      expect(reply).toMatchObject({ ok: true, body: { receipt: { salt: work.job.salt } } });
      const { body } = await work.client.http.call(jobsRoutes.receipts, { params: { job_id: work.job.id } });
      expect(body).toMatchObject({ items: [{ salt: work.job.salt }] });
    }
    const shown = await stack.call(null as never).call(jobsRoutes.publicReceipts, {});
    if (!shown.ok) throw new Error('not public');
    const [first, second] = [one, two].map(({ job }) =>
      shown.body.items.find(({ job_id }) => job_id === job.id),
    );
    expect(first?.result_sha256).not.toBe(second?.result_sha256);
    expect(JSON.stringify(shown.body)).not.toContain(one.job.salt);
    // What a stranger tries, and what who knows the salt does: the formula of the contract, in its own words.
    const text = '{"language":"de"}';
    expect(first?.result_sha256).not.toBe(createHash('sha256').update(text).digest('hex'));
    const salt = Buffer.from(one.job.salt as string, 'base64url');
    expect(first?.result_sha256).toBe(
      createHash('sha256')
        .update(Buffer.concat([salt, Buffer.from(text)]))
        .digest('hex'),
    );
  });
});

test('an id in capitals is the same id, in paths and under an Idempotency-Key', async () => {
  const client = stack.client();
  const { id } = await client.submit();
  expect(await client.get(id.toUpperCase())).toMatchObject({ id });
  const path = (jobId: string) => `/v1/client/jobs/${jobId}/cancel`;
  const key = { 'idempotency-key': newId() };
  const first = await post(path(id), client.caller, '{}', key);
  expect(first).toMatchObject({ status: 200, body: { id, status: 'cancelled' } });
  expect(await post(path(id.toUpperCase()), client.caller, '{}', key)).toEqual(first);
});
