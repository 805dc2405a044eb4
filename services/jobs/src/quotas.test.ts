import { jobsRoutes, newId } from '@aitbc/contracts';
import { eventually, openByHand } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Stack, startStack } from './stack.fixture.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

type Client = ReturnType<Stack['client']>;
const loadOf = async (client: Client) => {
  const reply = await client.http.call(jobsRoutes.usage, { query: {} });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body.now;
};
/** As it stands in the file. */
const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

const vote = (
  name: 'account_open_jobs_max' | 'account_content_megabytes_max',
  value: number,
  version: number,
) => stack.peers.send('governance.parameter_changed', { name, value, version, proposal_id: newId() }, 'jobs');

test('what an account has is counted as it comes and goes, and is what a recount finds', async () => {
  const client = stack.client();
  expect(await loadOf(client)).toMatchObject({ open_jobs: 0, content_bytes: 0 });
  const region = newId();
  const miner = await stack.miner({ region });
  const parameters = { text: 'größer als ASCII' };
  const submit = () => client.submit({ parameters, constraints: { region }, max_attempts: 3 });
  const first = await submit();
  const work = await miner.take();
  // Lost once, and leased again: it is open all the time.
  await miner.report({
    job_id: work.id,
    lease: work.lease,
    status: 'failed',
    retryable: true,
    not_started: true,
  });
  const [second, third] = [await submit(), await submit()];
  expect(await loadOf(client)).toMatchObject({ open_jobs: 3, content_bytes: 3 * bytesOf(parameters) });

  const result = { language: 'dé' };
  const done = await eventually(async () => {
    const again = await miner.take();
    return (await miner.complete(again, result)).ok && again;
  });
  const left = [first, second, third].filter(({ id }) => id !== done.id);
  await client.http.call(jobsRoutes.cancel, { params: { job_id: left[0]?.id as string } });
  const bytes = 3 * bytesOf(parameters) + bytesOf(result);
  expect(await loadOf(client)).toMatchObject({ open_jobs: 1, content_bytes: bytes });

  for (const again of [1, 2]) {
    expect([
      again,
      (await client.http.call(jobsRoutes.wipe, { params: { job_id: done.id } })).status,
    ]).toEqual([again, 200]);
    expect(await loadOf(client)).toMatchObject({ open_jobs: 1, content_bytes: 2 * bytesOf(parameters) });
  }
  await stack.restartJobs(async (url) => {
    const db = await openByHand(url);
    const account = client.caller.account_id;
    const counted = await db.all(
      `SELECT count(*) FILTER (WHERE ended_at_ms IS NULL) AS open_jobs, sum(CASE WHEN content_gone_at_ms IS NULL
         THEN octet_length(parameters) + coalesce(octet_length(result), 0) ELSE 0 END) AS content_bytes
       FROM job JOIN job_parameters p ON p.job_seq = job.seq LEFT JOIN job_result r ON r.job_seq = job.seq
       WHERE client_id = '${account}'`,
    );
    const kept = await db.all(
      `SELECT sum(open_jobs) AS open_jobs, sum(content_bytes) AS content_bytes
       FROM account_load WHERE account_id = '${account}'`,
    );
    await db.close();
    expect(kept).toEqual(counted);
  });
});

test('an account that is full is refused by item, and others are not', async () => {
  const [client, other] = [stack.client(), stack.client()];
  const job = { job_type: 'ocr', parameters: { image_base64: 'aGkgdGhlcmU=' } };
  const batch = async (count: number) => {
    const reply = await client.http.call(jobsRoutes.submitBatch, {
      body: { jobs: Array.from({ length: count }, () => job) },
    });
    const { items } = reply.body as { items: { status: number; error?: { code: string } }[] };
    return items.map(({ status, error }) => error?.code ?? status);
  };
  await vote('account_open_jobs_max', 1_000, 1);
  await eventually(async () => (await loadOf(client)).open_jobs_max === 1_000);
  expect(new Set(await batch(999))).toEqual(new Set([201]));
  expect(await batch(3)).toEqual([201, 'QUOTA_EXCEEDED', 'QUOTA_EXCEEDED']);
  const refused = await client.http.call(jobsRoutes.submit, { body: job });
  expect(refused).toMatchObject({
    status: 429,
    body: { error: { code: 'QUOTA_EXCEEDED', details: { quota: 'open_jobs', limit: 1_000 } } },
  });
  expect(refused.headers.get('retry-after')).toBe('60');
  expect((await other.http.call(jobsRoutes.submit, { body: job })).status).toBe(201);
  await vote('account_open_jobs_max', 2_000, 2);
  await eventually(async () => (await loadOf(client)).open_jobs_max === 2_000);
  expect(await batch(1)).toEqual([201]);
});

test('what comes at once takes no more than there is room for', async () => {
  const client = stack.client();
  const job = { job_type: 'ocr', parameters: { image_base64: 'aGkgdGhlcmU=' } };
  const { open_jobs_max: max } = await loadOf(client);
  for (let left = max - 3; left > 0; left -= 1_000) {
    const jobs = Array.from({ length: Math.min(left, 1_000) }, () => job);
    expect((await client.http.call(jobsRoutes.submitBatch, { body: { jobs } })).status).toBe(207);
  }
  const replies = await Promise.all(
    Array.from({ length: 20 }, () => client.http.call(jobsRoutes.submit, { body: job })),
  );
  expect(replies.map(({ status }) => status).sort()).toEqual([
    ...Array<number>(3).fill(201),
    ...Array<number>(17).fill(429),
  ]);
  expect(await loadOf(client)).toMatchObject({ open_jobs: max });
});
