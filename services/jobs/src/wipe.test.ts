import { readFileSync } from 'node:fs';
import { CALLER_HEADER, deriveKey, signCaller } from '@aitbc/chassis';
import { jobsRoutes, newId, sha256 } from '@aitbc/contracts';
import { eventually, sqliteOnly, TEST_SECRET } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Stack, startStack } from './stack.fixture.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const wipeOf = (client: ReturnType<Stack['client']>, job_id: string) =>
  client.http.call(jobsRoutes.wipe, { params: { job_id } });

const runJob = async (client: ReturnType<Stack['client']>, text: string, result: unknown) => {
  const region = newId();
  const miner = await stack.miner({ region });
  const { id } = await client.submit({ parameters: { text }, constraints: { region } });
  const work = await miner.take();
  await miner.http.call(jobsRoutes.progress, {
    body: { job_id: id, lease: work.lease, progress: 0.5, message: `half of ${text}` },
  });
  const done = await miner.complete(work, result);
  if (!done.ok) throw new Error(JSON.stringify(done.body));
  await miner.change({ status: 'inactive' });
  const { receipt } = done.body as { receipt: { id: string; proof: string } };
  return { id, miner, work, receipt };
};

test('a wiped job keeps its state, its hashes and its receipt, and nothing that was said', async () => {
  const client = stack.client();
  const { id, receipt } = await runJob(client, 'what nobody shall read', { language: 'en' });
  const before = await client.get(id);
  expect(before.content_expired_at).toBeNull();

  const wiped = await wipeOf(client, id);
  expect(wiped).toMatchObject({
    status: 200,
    body: { job_id: id, receipt: { id: receipt.id, proof: receipt.proof } },
  });
  const { content_expired_at } = wiped.body as { content_expired_at: string };

  const gone = await client.http.call(jobsRoutes.get, { params: { job_id: id } });
  expect(gone).toMatchObject({
    status: 410,
    body: { error: { code: 'CONTENT_EXPIRED', details: wiped.body } },
  });
  expect(await client.status(id)).toMatchObject({ status: 'completed', error: null });
  const receipts = await client.http.call(jobsRoutes.receipts, { params: { job_id: id } });
  expect(receipts.body).toMatchObject({ items: [{ proof: receipt.proof, result: null, salt: null }] });
  const listed = await client.http.call(jobsRoutes.list, { query: {} });
  expect(listed.body).toMatchObject({
    items: [{ id, parameters: {}, result: null, salt: null, content_expired_at }],
  });
  const path = jobsRoutes.events.path.replace(':job_id', id);
  const signed = { caller: client.caller, request_id: newId(), at_ms: Date.now() };
  const header = signCaller(deriveKey(TEST_SECRET, 'caller'), signed, 'GET', path);
  const events = await fetch(stack.url + path, { headers: { [CALLER_HEADER]: header } });
  const told = await events.text();
  expect(told).toContain('event: end');
  expect(told).not.toContain('shall read');
  // Again is the same answer.
  expect((await wipeOf(client, id)).body).toEqual(wiped.body);
  // What asks for its parameters on the way finds none.
  const cancelled = await client.http.call(jobsRoutes.cancel, { params: { job_id: id } });
  expect(cancelled).toMatchObject({ status: 409, body: { error: { code: 'JOB_ALREADY_ENDED' } } });
});

test('what was not read may be wiped by its client alone, once the job has ended', async () => {
  const [client, other] = [stack.client(), stack.client()];
  const { id } = await client.submit({ job_type: 'ocr', parameters: { image_base64: 'aGkgdGhlcmU=' } });
  expect(await wipeOf(client, id)).toMatchObject({ status: 409, body: { error: { code: 'JOB_NOT_ENDED' } } });
  expect(await wipeOf(other, id)).toMatchObject({ status: 404 });
  expect((await client.get(id)).parameters).toMatchObject({ image_base64: 'aGkgdGhlcmU=' });
  await client.http.call(jobsRoutes.cancel, { params: { job_id: id } });
  expect(await wipeOf(client, id)).toMatchObject({
    status: 200,
    body: { receipt: null, result_sha256: null },
  });
});

test('a miner that reports again is told that the job has ended', async () => {
  const client = stack.client();
  const { id, miner, work } = await runJob(client, 'said twice', { language: 'de' });
  await wipeOf(client, id);
  expect(await miner.complete(work, { language: 'de' })).toMatchObject({
    status: 409,
    body: { error: { code: 'JOB_ALREADY_ENDED' } },
  });
});

describe('an answer kept for an Idempotency-Key', () => {
  test('is whole while the content is there, and has none afterwards', async () => {
    const client = stack.client();
    const body = { job_type: 'ocr', parameters: { image_base64: 'c2FpZCBvbmNl' } };
    const call = { body, idempotencyKey: newId() };
    const first = await client.http.call(jobsRoutes.submit, call);
    expect((await client.http.call(jobsRoutes.submit, call)).body).toEqual(first.body);
    const batch = { body: { jobs: [body, { job_type: 'no' }, body] }, idempotencyKey: newId() };
    const many = await client.http.call(jobsRoutes.submitBatch, batch);
    expect((await client.http.call(jobsRoutes.submitBatch, batch)).body).toEqual(many.body);

    const { id } = first.body as { id: string };
    const cancelled = { params: { job_id: id }, idempotencyKey: newId() };
    const ended = await client.http.call(jobsRoutes.cancel, cancelled);
    expect((await client.http.call(jobsRoutes.cancel, cancelled)).body).toEqual(ended.body);
    await wipeOf(client, id);
    expect((await client.http.call(jobsRoutes.submit, call)).body).toMatchObject({
      id,
      status: 'pending',
      parameters: {},
      salt: null,
    });
  });
});

/** All that SQLite keeps of a database. */
const bytesOf = (url: string): string =>
  ['', '-wal', '-shm']
    .map((end) => readFileSync(url.slice('sqlite:///'.length) + end).toString('latin1'))
    .join();

sqliteOnly('what a page of a file holds once a row is gone').test(
  'a wiped word is in no page, freed page or log of the file, whatever was written around it',
  { timeout: 60_000 },
  async () => {
    const client = stack.client();
    const words = Array.from({ length: 12 }, () => `word-${sha256(newId())}`);
    const seen = (bytes: string) => words.map((word) => bytes.split(word).length - 1);
    const jobs: string[] = [];
    for (const [at, word] of words.entries()) {
      // Some of one page, some of many; one so long that it is written by itself.
      const text = `${word} `.repeat([1, 200, 2][at % 3] as number).slice(0, 19_000);
      jobs.push((await runJob(client, text, { said: at === 0 ? `${word} `.repeat(2_000) : text })).id);
      const batch = {
        jobs: Array.from({ length: 20 }, () => ({
          job_type: 'ocr',
          parameters: { image_base64: 'aGkgdGhlcmU=' },
        })),
      };
      await client.http.call(jobsRoutes.submitBatch, { body: batch, idempotencyKey: newId() });
    }
    expect(seen(bytesOf(stack.databaseUrl)).every((count) => count > 0)).toBe(true);
    const [kept, ...wiped] = jobs as [string, ...string[]];
    for (const id of wiped) expect((await wipeOf(client, id)).status).toBe(200);
    // What another writes at that moment may be what keeps the log.
    const left = await eventually(() => {
      const [first, ...others] = seen(bytesOf(stack.databaseUrl)) as [number, ...number[]];
      return others.every((count) => count === 0) ? { first } : undefined;
    });
    expect(left.first).toBeGreaterThan(0);
    expect((await client.get(kept)).result).toMatchObject({
      said: expect.stringContaining(words[0] as string),
    });
  },
);
