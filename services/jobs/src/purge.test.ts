import { jobsRoutes, newId } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Stack, startStack } from './stack.fixture.ts';

/** In days. */
const SECOND = 1 / 86_400;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    env: { KEEP_CONTENT_DAYS: String(SECOND), KEEP_JOBS_DAYS: String(2 * SECOND) },
  });
});
afterAll(() => stack.stop());

/** By what the service counts: a file that is open in this process cannot be opened by another library beside it. */
const purged = async (what: string): Promise<number> => {
  const metrics = await (await fetch(`${stack.url}/metrics`)).text();
  return Number(new RegExp(`purged_rows_total\\{what="${what}"[^}]*\\} (\\d+)`).exec(metrics)?.[1]);
};

/** They end by themselves, and are what a file of SQLite keeps before the first text that is not erased. */
const submitThousands = async (count: number) => {
  const { http } = stack.client();
  const jobs = Array.from({ length: 1_000 }, (_, at) => ({
    job_type: 'ocr',
    parameters: { image_base64: 'aGkgdGhlcmU=' },
    ttl_seconds: 1,
    labels: at % 100 === 0 ? ['old'] : [],
  }));
  for (let n = 0; n < count; n++)
    expect((await http.call(jobsRoutes.submitBatch, { body: { jobs } })).status).toBe(207);
};

test('content goes first, then the job; the proof of its receipt stays, and what is under way is left alone', {
  timeout: 60_000,
}, async () => {
  const client = stack.client();
  const region = newId();
  const miner = await stack.miner({ region });
  const { id } = await client.submit({ constraints: { region }, labels: ['mine'] });
  const done = await miner.complete(await miner.take());
  const { receipt } = done.body as { receipt: { id: string; proof: string } };

  const paid = await client.submit({ constraints: { region: newId() }, payment_amount: 1 });
  const payment_id = newId();
  const payment = { job_id: paid.id, payment_id, amount_minor: 100_000_000 };
  await stack.peers.send('payments.escrowed', payment, 'jobs');
  await eventually(async () => (await client.get(paid.id)).payment_status === 'escrowed');
  await client.http.call(jobsRoutes.cancel, { params: { job_id: paid.id } });

  const get = (job_id: string) => client.http.call(jobsRoutes.get, { params: { job_id } });
  await eventually(async () => (await get(id)).status === 410);
  await submitThousands(3);
  const waiting = await client.submit({ constraints: { region: newId() } });
  await eventually(async () => (await get(id)).status === 404, { withinMs: 30_000 });
  // What the list of its label held is gone with it.
  expect((await client.http.call(jobsRoutes.list, { query: { label: 'mine' } })).body).toMatchObject({
    items: [],
  });
  const anyone = stack.call(someone(['client']));
  const ofJob = await anyone.call(jobsRoutes.publicReceipts, { query: { job_id: id } });
  expect(ofJob.body).toMatchObject({ items: [{ id: receipt.id, job_id: id }] });
  const all = await anyone.call(jobsRoutes.publicReceipts, { query: {} });
  expect(all.body).toMatchObject({ items: [{ id: receipt.id }], next_cursor: null });

  // Its money has not come to rest: the row stays, without its content.
  expect(await get(paid.id)).toMatchObject({ status: 410 });
  expect((await client.status(paid.id)).status).toBe('cancelled');
  await stack.peers.send(
    'payments.resolved',
    {
      payment_id,
      job_id: paid.id,
      kind: 'refunded',
      payee_account_id: null,
      miner_id: null,
      earned_minor: 0,
    },
    'jobs',
  );
  await eventually(async () => (await get(paid.id)).status === 404, { withinMs: 30_000 });
  expect(await get(waiting.id)).toMatchObject({ status: 200, body: { parameters: { text: 'Guten Tag' } } });
  // All but what a file keeps back, and what has not ended.
  for (const [what, count] of [
    ['content', 3_002],
    ['parameters', 1_502],
    ['jobs', 1_502],
  ] as const)
    await eventually(async () => (await purged(what)) === count, { withinMs: 30_000 });
});

test('an account says for how long the content of its jobs is kept', async () => {
  const client = stack.client();
  const set = (content_days: number | null) =>
    client.http.call(jobsRoutes.setRetention, { body: { content_days } });
  expect((await client.http.call(jobsRoutes.retention, {})).body).toEqual({ content_days: null });
  expect(await set(7)).toMatchObject({ status: 200, body: { content_days: 7 } });
  expect((await client.http.call(jobsRoutes.retention, {})).body).toEqual({ content_days: 7 });
  expect(await set(0)).toMatchObject({ status: 422 });
});
