import { legacyJobsRoutes, newId } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Stack, startStack } from '../stack.fixture.ts';

const { legacyPoll, legacyReport, legacyFail } = legacyJobsRoutes;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const work = (model: string) => ({ job_type: 'llm_inference', parameters: { model, prompt: 'Hi' } });

/** A miner that registered as programs of the original do, and speaks as they do. */
const enrol = async (name: string, caller = someone(['miner']), registered_at_ms = 1) => {
  const miner = await stack.miner(
    {
      capabilities: ['llm_inference', 'custom'],
      models: [name],
      concurrency: 1,
      alias: { name, key_id: caller.credential_id, registered_at_ms },
    },
    caller,
  );
  const headers = { 'x-miner-id': name };
  const poll = async (more: object = { headers }) => {
    const reply = await miner.http.call(legacyPoll, { query: {}, body: { max_wait_seconds: 2 }, ...more });
    return reply.status === 204 ? undefined : (reply.body as { job_id: string });
  };
  return {
    ...miner,
    poll,
    take: () => eventually(() => poll()),
    result: async (
      job_id: string,
      result: object | string = { output: 'Hello' },
      more: object = { headers },
    ) => {
      const { status, body } = await miner.http.call(legacyReport, {
        params: { job_id },
        query: {},
        body: { result },
        ...more,
      } as never);
      return { status, body } as { status: number; body: { error?: { code: string }; receipt?: object } };
    },
    fail: (job_id: string) =>
      miner.http.call(legacyFail, { params: { job_id }, query: {}, body: { error_code: 'X' }, headers }),
  };
};
const codeOf = ({ status, body }: { status: number; body: { error?: { code: string } } }) =>
  `${status} ${body.error?.code}`;

test('what is handed out may be worked on in silence: to its deadline, five minutes at most', async () => {
  const miner = await enrol('quiet');
  const client = stack.client();
  for (const [timeout_seconds, quiet] of [
    [60, 60_000],
    [3_600, 300_000],
  ] as const) {
    const job = await client.submit({ ...work('quiet'), timeout_seconds });
    await miner.take();
    const told = await stack.heard(stack.toMiners, 'jobs.started', (m) => m.job_id === job.id);
    expect((told.quiet_until_ms ?? 0) - (told.deadline_at_ms - timeout_seconds * 1_000)).toBe(quiet);
    expect((await miner.result(job.id)).status).toBe(200);
  }
  // Our own agents give signs.
  const own = await stack.miner({ capabilities: ['custom'], region: 'own' });
  const job = await client.submit({ job_type: 'custom', parameters: {}, constraints: { region: 'own' } });
  await own.take();
  const told = await stack.heard(stack.toMiners, 'jobs.started', (m) => m.job_id === job.id);
  expect(told.quiet_until_ms).toBeUndefined();
});

describe('a report is about the attempt that its account holds now', () => {
  test('late, after the job went to another: refused, and the other’s counts', async () => {
    const [first, second] = [await enrol('late'), await enrol('late')];
    const job = await stack.client().submit({ ...work('late'), timeout_seconds: 1 });
    await first.take();
    const again = await eventually(() => second.poll());
    expect(again?.job_id).toBe(job.id);
    expect(codeOf(await first.result(job.id))).toBe('409 STALE_LEASE');
    const accepted = await second.result(job.id, 'Mine');
    expect(accepted.status).toBe(200);
    expect(await second.result(job.id, 'Mine')).toEqual(accepted);
    expect(codeOf(await first.result(job.id))).toBe('409 STALE_LEASE');
    expect(codeOf(await second.result(job.id, 'Other'))).toBe('409 RESULT_CONFLICT');
  });

  test('by a stranger, of no such job, or while it waits: as if it did not exist', async () => {
    const miner = await enrol('nobody');
    const job = await stack.client().submit(work('somebody-else'));
    expect(codeOf(await miner.result(job.id))).toBe('404 NOT_FOUND');
    expect(codeOf(await miner.result(newId()))).toBe('404 NOT_FOUND');
    // Whoever says no name is asked whose the attempt is.
    const holder = await enrol('held');
    const held = await stack.client().submit(work('held'));
    await holder.take();
    for (const _state of ['running', 'completed']) {
      expect(codeOf(await miner.result(held.id, 'mine', {}))).toBe('404 NOT_FOUND');
      expect((await holder.result(held.id)).status).toBe(200);
    }
  });

  test('of a job that its client gave up: told so', async () => {
    const miner = await enrol('given-up');
    const client = stack.client();
    const job = await client.submit(work('given-up'));
    await miner.take();
    await client.http.call(legacyJobsRoutes.legacyCancel, { params: { job_id: job.id } });
    expect(codeOf(await miner.result(job.id))).toBe('409 JOB_ALREADY_ENDED');
  });

  test('a failure said twice is one, also when the job waits for another', async () => {
    const [first, second] = [await enrol('failing'), await enrol('failing')];
    const job = await stack.client().submit(work('failing'));
    await first.take();
    expect((await first.fail(job.id)).status).toBe(200);
    expect((await first.fail(job.id)).status).toBe(200);
    expect((await eventually(() => second.poll()))?.job_id).toBe(job.id);
    expect((await second.result(job.id)).status).toBe(200);
  });
});

test('of several miners the one that the key registered last speaks, unless a name says which', async () => {
  const caller = someone(['miner']);
  await enrol('older', caller, 1);
  const newer = await enrol('newer', caller, 2);
  const client = stack.client();
  const job = await client.submit(work('newer'));
  expect((await eventually(() => newer.poll({})))?.job_id).toBe(job.id);
  expect(codeOf(await newer.result(job.id, 'x', { headers: { 'x-miner-id': 'older' } }))).toBe(
    '404 NOT_FOUND',
  );
  expect((await newer.result(job.id, 'x', {})).status).toBe(200);
  const stranger = stack.call({ ...caller, credential_id: newId() });
  const reply = await stranger.call(legacyPoll, { query: {}, body: {} });
  expect(reply).toMatchObject({ status: 404, body: { error: { code: 'MINER_NOT_REGISTERED' } } });
});

test('one that registered in our way is no miner here, and gets nothing that it could not read', async () => {
  const own = await stack.miner({ capabilities: ['ocr'] });
  const reply = await own.http.call(legacyPoll, { query: { miner_id: own.id }, body: {} });
  expect(reply.status).toBe(404);
});

test('with LEGACY_ROUTES=off the service itself knows none of them', async () => {
  const off = await startStack({ env: { LEGACY_ROUTES: 'off' }, dispatchers: 0 });
  try {
    const reply = await off.call(someone(['client'])).call(legacyJobsRoutes.legacyList, { query: {} });
    expect([
      reply.status,
      (await off.client().http.call(legacyPoll, { query: {}, body: {} })).status,
    ]).toEqual([404, 404]);
  } finally {
    await off.stop();
  }
});
