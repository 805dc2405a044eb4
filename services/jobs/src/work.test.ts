import { setTimeout as pause } from 'node:timers/promises';
import { canonicalJson, jobsRoutes, newId, saltedSha256 } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { compactVerify, createLocalJWKSet } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const codeOf = (reply: { status: number; body: unknown }) => [
  reply.status,
  (reply.body as { error?: { code: string } }).error?.code,
];

/** A job in the hands of a miner. */
const running = async (name: string, submission = {}) => {
  const client = stack.client();
  const miner = await stack.miner(onlyFor(name));
  const job = await client.submit({ ...workFor(name), ...submission });
  const taken = await miner.take();
  return { client, miner, job, taken, held: { job_id: taken.id, lease: taken.lease } };
};

describe('polling', () => {
  test('an open poll is answered the moment a job comes', async () => {
    const client = stack.client();
    const miner = await stack.miner(onlyFor('open'));
    await client.submit(workFor('open'));
    await miner.take();
    const polling = miner.poll({ wait_seconds: 20 });
    const startedAt = performance.now();
    const job = await client.submit({ ...workFor('open'), timeout_seconds: 60 });
    const [taken] = await polling;
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(taken).toEqual({
      id: job.id,
      job_type: 'llm_inference',
      parameters: workFor('open').parameters,
      attempt: 1,
      lease: expect.any(String),
      deadline_at: expect.any(String),
      stream: false,
    });
    const now = await client.get(job.id);
    expect(now).toMatchObject({ status: 'running', miner_id: miner.id, attempt: 1 });
    expect(Date.parse(taken?.deadline_at as string) - Date.parse(now.started_at as string)).toBe(60_000);
    const started = await stack.heard(stack.toPayments, 'jobs.started', (m) => m.job_id === job.id);
    expect(started).toEqual({
      job_id: job.id,
      miner_id: miner.id,
      miner_account_id: miner.caller.account_id,
      attempt: 1,
      deadline_at_ms: Date.parse(taken?.deadline_at as string),
    });
    expect(await stack.heard(stack.toMiners, 'jobs.started', (m) => m.job_id === job.id)).toEqual(started);
    const seen = await stack.heard(stack.toMiners, 'jobs.miners_seen', (m) => m.miner_ids.includes(miner.id));
    expect(seen.seen_at_ms).toBeGreaterThan(0);
  });

  test('a job that asks for what nobody asked for before reaches polls that were open before it', async () => {
    const miner = await stack.miner({ capabilities: ['image_generation'] });
    const polling = miner.poll({ wait_seconds: 20 });
    const job = await stack
      .client()
      .submit({ job_type: 'image_generation', parameters: { prompt: newId() } });
    expect((await polling).map((taken) => taken.id)).toEqual([job.id]);
  });

  test('without waiting takes what is there, and does not wait for what is not', async () => {
    const client = stack.client();
    const miner = await stack.miner(onlyFor('no-wait'));
    const job = await client.submit(workFor('no-wait'));
    expect((await miner.take()).id).toBe(job.id);
    const next = await client.submit(workFor('no-wait'));
    expect((await miner.poll({ wait_seconds: 0 })).map((taken) => taken.id)).toEqual([next.id]);
    const startedAt = performance.now();
    expect(await miner.poll({ wait_seconds: 0 })).toEqual([]);
    expect(performance.now() - startedAt).toBeLessThan(900);
  });

  test('gives as many as asked for, as the miner runs at once, and no more', async () => {
    const client = stack.client();
    const miner = await stack.miner({ ...onlyFor('slots'), concurrency: 3 });
    for (let at = 0; at < 6; at++) await client.submit(workFor('slots'));
    const first = await eventually(async () => {
      const items = await miner.poll({ max_jobs: 2, wait_seconds: 2 });
      return items.length > 0 && items;
    });
    expect(first).toHaveLength(2);
    const second = await miner.poll({ max_jobs: 10, wait_seconds: 2 });
    expect(second).toHaveLength(1);
    expect(await miner.poll({ max_jobs: 10, wait_seconds: 1 })).toEqual([]);
    // A slot that frees while a poll is open is filled at once.
    const polling = miner.poll({ max_jobs: 10, wait_seconds: 20 });
    await miner.complete(first[0] as (typeof first)[number]);
    expect(await polling).toHaveLength(1);
  });

  test('two polls of one miner do not overfill it', async () => {
    const client = stack.client();
    const miner = await stack.miner({ ...onlyFor('two-polls'), concurrency: 2 });
    const polls = [1, 2, 3].map(() => miner.poll({ max_jobs: 5, wait_seconds: 3 }));
    for (let at = 0; at < 6; at++) await client.submit(workFor('two-polls'));
    expect((await Promise.all(polls)).flat()).toHaveLength(2);
  });

  test('needs a registered miner of this account', async () => {
    const stranger = stack.call(someone(['miner']));
    expect(codeOf(await stranger.call(jobsRoutes.poll, {}))).toEqual([404, 'MINER_NOT_REGISTERED']);
    const miner = await stack.miner(onlyFor('mine'));
    expect(codeOf(await stranger.call(jobsRoutes.poll, { query: { miner_id: miner.id } }))).toEqual([
      404,
      'MINER_NOT_REGISTERED',
    ]);
    const second = await stack.miner(onlyFor('mine'), miner.caller);
    await eventually(async () => {
      const reply = await miner.http.call(jobsRoutes.poll, {});
      expect(codeOf(reply)).toEqual([422, 'VALIDATION_ERROR']);
      return true;
    });
    expect(await second.poll({ wait_seconds: 0 })).toEqual([]);
  });

  test('waits for a registration that is still on its way', async () => {
    const caller = someone(['miner']);
    const polling = stack.call(caller).call(jobsRoutes.poll, { query: { wait_seconds: 0 } });
    await stack.miner(onlyFor('late'), caller);
    expect(await polling).toMatchObject({ status: 200, body: { items: [] } });
  });

  test('waits for it as long as it would for work: on a busy machine it takes seconds', async () => {
    const caller = someone(['miner']);
    const startedAt = performance.now();
    const polling = stack.call(caller).call(jobsRoutes.poll, { query: { wait_seconds: 8 } });
    // Nothing is there to wait on: the time itself is what is tested.
    await pause(3_000);
    await stack.client().submit(workFor('much-later'));
    await stack.miner(onlyFor('much-later'), caller);
    const reply = await polling;
    expect(reply).toMatchObject({ status: 200 });
    expect(reply.ok && reply.body.items).toHaveLength(1);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });

  test('a request that went away leaves its job to the next, at no cost to anybody', async () => {
    const client = stack.client();
    const [gone, next] = [await stack.miner(onlyFor('gone')), await stack.miner(onlyFor('gone'))];
    const job = await client.submit({ ...workFor('gone'), max_attempts: 1 });
    const away = new AbortController();
    const polls = Promise.allSettled(
      Array.from({ length: 5 }, () => gone.poll({ wait_seconds: 20 }, away.signal)),
    );
    // Held and dropped at about the same time, in whatever order.
    away.abort();
    await polls;
    const taken = await next.take();
    expect(taken.id).toBe(job.id);
    expect(await next.complete(taken)).toMatchObject({ status: 200, body: { status: 'completed' } });
  });
});

describe('a result', () => {
  test('completes the job, with a receipt that anybody can check', async () => {
    const { client, miner, job, taken, held } = await running('receipt');
    const result = { text: 'Rayleigh', scores: [1, 0.5], nested: { b: 1, a: null } };
    const reply = await miner.report({ ...held, status: 'completed', result, metrics: { tokens: 12 } });
    if (!reply.ok || !('receipt' in reply.body) || reply.body.receipt === null) throw new Error('refused');
    const { receipt } = reply.body;
    expect(receipt).toMatchObject({ job_id: job.id, miner_id: miner.id, result, salt: job.salt });
    expect(await client.get(job.id)).toMatchObject({ status: 'completed', result, progress: 1, error: null });

    const jwks = await miner.http.call(jobsRoutes.jwks, {});
    if (!jwks.ok) throw new Error('no keys');
    const { payload } = await compactVerify(receipt.proof, createLocalJWKSet({ keys: [...jwks.body.keys] }));
    const now = await client.get(job.id);
    expect(JSON.parse(new TextDecoder().decode(payload))).toEqual({
      receipt_id: receipt.id,
      job_id: job.id,
      attempt: 1,
      client_id: client.caller.account_id,
      miner_id: miner.id,
      job_type: 'llm_inference',
      parameters_sha256: saltedSha256(job.salt, canonicalJson(job.parameters)),
      result_sha256: saltedSha256(job.salt, canonicalJson(result)),
      price: 0,
      currency: 'AITBC',
      started_at: now.started_at,
      completed_at: now.ended_at,
    });
    const own = await client.http.call(jobsRoutes.receipts, { params: { job_id: job.id } });
    expect(own.body).toEqual({ items: [receipt] });
    const shown = await stack.call(someone([])).call(jobsRoutes.publicReceipts, {});
    if (!shown.ok) throw new Error('no list');
    expect(shown.body.items[0]).toMatchObject({ id: receipt.id, job_id: job.id, price: 0 });
    expect(JSON.stringify(shown.body)).not.toContain('Rayleigh');
    expect(JSON.stringify(shown.body)).not.toContain('sky');
    expect(await stack.heard(stack.toPayments, 'jobs.ended', (m) => m.job_id === job.id)).toMatchObject({
      status: 'completed',
      account_id: client.caller.account_id,
      miner_id: miner.id,
      miner_account_id: miner.caller.account_id,
      started: true,
    });
    expect(await stack.heard(stack.toMiners, 'jobs.attempt_ended', (m) => m.job_id === job.id)).toEqual({
      job_id: job.id,
      miner_id: miner.id,
      attempt: 1,
      outcome: 'completed',
      client_account_id: client.caller.account_id,
    });
    expect(taken.attempt).toBe(1);
  });

  test('twice is once: the same answer, the same receipt; another is a conflict', async () => {
    const { miner, held, job, client } = await running('twice');
    const send = (result: unknown) => miner.report({ ...held, status: 'completed', result });
    const [first, ...again] = await Promise.all([
      send({ a: 1, b: 2 }),
      send({ b: 2, a: 1 }),
      send({ a: 1, b: 2 }),
    ]);
    expect(first?.status).toBe(200);
    for (const reply of again) expect(reply?.body).toEqual(first?.body);
    expect(codeOf(await send({ a: 2 }))).toEqual([409, 'RESULT_CONFLICT']);
    expect(codeOf(await miner.report({ ...held, status: 'failed' }))).toEqual([409, 'RESULT_CONFLICT']);
    const receipts = await client.http.call(jobsRoutes.receipts, { params: { job_id: job.id } });
    expect((receipts.body as { items: unknown[] }).items).toHaveLength(1);
    expect(
      stack.toPayments.filter((m) => m.name === 'jobs.ended' && m.payload.job_id === job.id).length,
    ).toBeLessThanOrEqual(1);
  });

  test('null, false and text are results too', async () => {
    for (const result of [null, false, 0, '', []]) {
      const { client, miner, held, job } = await running(`value-${JSON.stringify(result)}`);
      expect((await miner.report({ ...held, status: 'completed', result })).status).toBe(200);
      expect(await client.get(job.id)).toMatchObject({ status: 'completed', result });
    }
  });

  test('a stranger, a forger and a colleague get 404', async () => {
    const { miner, held } = await running('strangers');
    const other = await stack.miner(onlyFor('strangers'));
    const said = { status: 'completed' as const, result: 1 };
    expect(codeOf(await other.report({ ...held, ...said }))).toEqual([404, 'NOT_FOUND']);
    const forged = `${held.lease.slice(0, -2)}AA`;
    expect(codeOf(await miner.report({ ...held, lease: forged, ...said }))).toEqual([404, 'NOT_FOUND']);
    expect(codeOf(await miner.report({ ...held, lease: 'x', ...said }))).toEqual([404, 'NOT_FOUND']);
    expect(codeOf(await miner.report({ ...held, job_id: newId(), ...said }))).toEqual([404, 'NOT_FOUND']);
    expect((await miner.report({ ...held, ...said })).status).toBe(200);
  });

  test('after a cancel is refused as ended', async () => {
    const { client, miner, held, job } = await running('after-cancel');
    await client.http.call(jobsRoutes.cancel, { params: { job_id: job.id } });
    expect(codeOf(await miner.report({ ...held, status: 'completed', result: 1 }))).toEqual([
      409,
      'JOB_ALREADY_ENDED',
    ]);
    expect(codeOf(await miner.http.call(jobsRoutes.progress, { body: { ...held, progress: 0.5 } }))).toEqual([
      409,
      'JOB_ALREADY_ENDED',
    ]);
    expect((await client.get(job.id)).status).toBe('cancelled');
  });

  test.each([
    ['completed without a result', { status: 'completed' as const }],
    ['failed with a result', { status: 'failed' as const, result: 1 }],
    ['no such status', { status: 'done' as never, result: 1 }],
  ])('is refused: %s', async (_, said) => {
    const miner = await stack.miner(onlyFor('invalid'));
    const reply = await miner.report({ job_id: newId(), lease: 'x', ...said } as never);
    expect(codeOf(reply)).toEqual([422, 'VALIDATION_ERROR']);
  });

  test('with a wish for more is answered with the verdict and the work that comes', async () => {
    const { client, miner, held } = await running('next');
    const asked = miner.http.call(jobsRoutes.result, {
      body: { ...held, status: 'completed', result: 1, next: { wait_seconds: 20, max_jobs: 1 } },
    });
    // Accepted before there is any work.
    await eventually(async () => (await client.get(held.job_id)).status === 'completed');
    const job = await client.submit(workFor('next'));
    const reply = await asked;
    if (!reply.ok || !('receipt' in reply.body)) throw new Error('refused');
    expect(reply.body).toMatchObject({
      status: 'completed',
      receipt: { job_id: held.job_id },
      items: [{ id: job.id, attempt: 1 }],
    });
    const [item] = reply.body.items as { id: string; lease: string }[];
    const more = { job_id: job.id, lease: item?.lease as string, result: 2 };
    const last = await miner.http.call(jobsRoutes.result, {
      body: { ...more, status: 'completed', next: { wait_seconds: 0, max_jobs: 1 } },
    });
    expect(last.body).toMatchObject({ status: 'completed', items: [] });
    // The same again is the same verdict; what is refused is refused at once.
    const startedAt = performance.now();
    const next = { wait_seconds: 25, max_jobs: 1 };
    const other = await miner.http.call(jobsRoutes.result, {
      body: { ...more, status: 'completed', result: 3, next },
    });
    expect(codeOf(other)).toEqual([409, 'RESULT_CONFLICT']);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  test('that asks for more is put back when its caller has gone', async () => {
    const { client, miner, held } = await running('next-gone');
    const leaving = new AbortController();
    const asked = miner.http.call(jobsRoutes.result, {
      body: { ...held, status: 'completed', result: 1, next: { wait_seconds: 20, max_jobs: 1 } },
      signal: leaving.signal,
    });
    await eventually(async () => (await client.get(held.job_id)).status === 'completed');
    leaving.abort();
    await asked.catch(() => {});
    const job = await client.submit(workFor('next-gone'));
    expect((await miner.take()).id).toBe(job.id);
  });

  test('a batch gets a verdict each, and a bad one spoils none', async () => {
    const client = stack.client();
    const miner = await stack.miner({ ...onlyFor('batch'), concurrency: 8 });
    for (let at = 0; at < 4; at++) await client.submit(workFor('batch'));
    const held: { id: string; lease: string }[] = [];
    await eventually(async () => {
      held.push(...(await miner.poll({ max_jobs: 8, wait_seconds: 1 })));
      return held.length === 4;
    });
    const [a, b, c, d] = held as [(typeof held)[0], (typeof held)[0], (typeof held)[0], (typeof held)[0]];
    await client.http.call(jobsRoutes.cancel, { params: { job_id: c.id } });
    const reply = await miner.http.call(jobsRoutes.result, {
      body: {
        results: [
          { job_id: a.id, lease: a.lease, status: 'completed', result: 'a' },
          { job_id: a.id, lease: a.lease, status: 'completed', result: 'a' },
          { job_id: b.id, lease: b.lease, status: 'failed', error: { code: 'OOM', message: 'no memory' } },
          { job_id: c.id, lease: c.lease, status: 'completed', result: 'c' },
          { job_id: d.id, lease: 'x', status: 'completed', result: 'd' },
          { job_id: d.id, status: 'completed' },
          'noise',
        ],
      },
    });
    if (!reply.ok || 'receipt' in reply.body) throw new Error('refused');
    const { items } = reply.body;
    expect(items.map((item) => [item.job_id, item.status, item.error?.code ?? item.verdict?.status])).toEqual(
      [
        [a.id, 200, 'completed'],
        [a.id, 200, 'completed'],
        [b.id, 200, 'failed'],
        [c.id, 409, 'JOB_ALREADY_ENDED'],
        [d.id, 404, 'NOT_FOUND'],
        [d.id, 422, 'VALIDATION_ERROR'],
        [null, 422, 'VALIDATION_ERROR'],
      ],
    );
    expect(items[1]?.verdict).toEqual(items[0]?.verdict);
    expect(items[2]?.verdict?.receipt).toBeNull();
    expect((await client.get(d.id)).status).toBe('running');
  });
});

describe('a lost attempt', () => {
  test('failed for now: it goes back, to another miner first, and the old lease is over', async () => {
    const { client, miner, job, held } = await running('retry');
    const other = await stack.miner(onlyFor('retry'));
    // Known to jobs once it polls.
    await other.poll({ wait_seconds: 0 });
    const failure = {
      ...held,
      status: 'failed' as const,
      retryable: true,
      error: { code: 'OOM', message: 'm' },
    };
    expect((await miner.report(failure)).body).toEqual({ status: 'pending', receipt: null });
    expect((await miner.report(failure)).body).toEqual({ status: 'pending', receipt: null });
    expect(await client.status(job.id)).toMatchObject({
      status: 'pending',
      attempt: 1,
      error: { code: 'OOM' },
    });
    expect(['retrying', 'no_capable_miner']).toContain((await client.status(job.id)).waiting_reason);
    expect(await miner.poll({ wait_seconds: 1 })).toEqual([]);
    const again = await other.take();
    expect(again).toMatchObject({ id: job.id, attempt: 2 });
    expect(codeOf(await miner.report({ ...held, status: 'completed', result: 1 }))).toEqual([
      409,
      'RESULT_CONFLICT',
    ]);
    expect(codeOf(await miner.http.call(jobsRoutes.progress, { body: { ...held, progress: 0.5 } }))).toEqual([
      409,
      'STALE_LEASE',
    ]);
    expect((await other.complete(again)).status).toBe(200);
    const reply = await client.http.call(jobsRoutes.receipts, { params: { job_id: job.id } });
    expect(reply.body).toMatchObject({ items: [{ miner_id: other.id }] });
  });

  test('nobody else there: the same miner gets it again', async () => {
    const { miner, job, held } = await running('alone');
    await miner.report({ ...held, status: 'failed', retryable: true });
    expect(await miner.take()).toMatchObject({ id: job.id, attempt: 2 });
  });

  test('failed for good, or for the last time: it failed', async () => {
    const forGood = await running('for-good');
    const error = { code: 'BAD_MODEL', message: 'no such model' };
    expect((await forGood.miner.report({ ...forGood.held, status: 'failed', error })).body).toEqual({
      status: 'failed',
      receipt: null,
    });
    expect(await forGood.client.get(forGood.job.id)).toMatchObject({ status: 'failed', error, result: null });
    const lastTime = await running('last-time', { max_attempts: 1 });
    const reply = await lastTime.miner.report({ ...lastTime.held, status: 'failed', retryable: true });
    expect(reply.body).toEqual({ status: 'failed', receipt: null });
  });

  test('out of time: it goes back by itself, then expires', async () => {
    const { client, miner, job, held } = await running('slow', { timeout_seconds: 1, max_attempts: 2 });
    await eventually(async () => (await client.get(job.id)).status === 'pending');
    expect(codeOf(await miner.report({ ...held, status: 'completed', result: 1 }))).toEqual([
      409,
      'STALE_LEASE',
    ]);
    expect(await stack.heard(stack.toMiners, 'jobs.attempt_ended', (m) => m.job_id === job.id)).toMatchObject(
      { attempt: 1, outcome: 'timed_out' },
    );
    const again = await miner.take();
    expect(again.attempt).toBe(2);
    await eventually(async () => (await client.get(job.id)).status === 'expired');
    expect((await client.get(job.id)).error?.code).toBe('TIMED_OUT');
    expect(codeOf(await miner.complete(again))).toEqual([409, 'JOB_ALREADY_ENDED']);
  });

  test('the miner fell silent: its jobs go elsewhere at once, and its late result is stale', async () => {
    const { client, miner, job, held } = await running('silent');
    const other = await stack.miner(onlyFor('silent'));
    const polling = other.poll({ wait_seconds: 20 });
    await miner.change({ status: 'inactive' });
    const [again] = await polling;
    expect(again).toMatchObject({ id: job.id, attempt: 2 });
    expect(codeOf(await miner.report({ ...held, status: 'completed', result: 1 }))).toEqual([
      409,
      'STALE_LEASE',
    ]);
    expect(await stack.heard(stack.toMiners, 'jobs.attempt_ended', (m) => m.job_id === job.id)).toMatchObject(
      { miner_id: miner.id, attempt: 1, outcome: 'lost' },
    );
    expect((await client.get(job.id)).miner_id).toBe(other.id);
  });

  test('the miner has it no more: it waits again, once, and a word about another attempt or miner changes nothing', async () => {
    const { client, miner, job, held } = await running('abandoned');
    const other = await stack.miner(onlyFor('abandoned'));
    const say = (miner_id: string, ...attempts: number[]) =>
      stack.peers.send('miners.attempts_abandoned', {
        miner_id,
        attempts: attempts.map((attempt) => ({ job_id: job.id, attempt })),
      });
    await say(other.id, 1);
    await say(miner.id, 2);
    await say(miner.id, 3, 1);
    const [again] = await other.poll({ wait_seconds: 20 });
    expect(again).toMatchObject({ id: job.id, attempt: 2 });
    // Late and twice: of the lease before.
    await say(miner.id, 1, 1);
    expect(codeOf(await miner.report({ ...held, status: 'completed', result: 1 }))).toEqual([
      409,
      'STALE_LEASE',
    ]);
    expect((await other.complete(again as NonNullable<typeof again>)).status).toBe(200);
    await say(other.id, 2);
    const lost = await stack.heard(stack.toMiners, 'jobs.attempt_ended', (m) => m.job_id === job.id);
    expect(lost).toMatchObject({ miner_id: miner.id, attempt: 1, outcome: 'lost' });
    expect(await client.get(job.id)).toMatchObject({ status: 'completed', miner_id: other.id, attempt: 2 });
  });

  test('the miner fell silent for the last time: the job failed', async () => {
    const { client, miner, job } = await running('silent-last', { max_attempts: 1 });
    await miner.change({ status: 'inactive' });
    await eventually(async () => (await client.get(job.id)).status === 'failed');
    expect((await client.get(job.id)).error?.code).toBe('MINER_LOST');
  });

  test('a miner that counts as gone gets nothing until it is back; then its open poll is served', async () => {
    const client = stack.client();
    const miner = await stack.miner({ ...onlyFor('back'), status: 'inactive' });
    const job = await client.submit(workFor('back'));
    await eventually(async () => (await client.status(job.id)).waiting_reason === 'no_capable_miner');
    const polling = miner.poll({ wait_seconds: 20 });
    // That it polls is told at once, not with the next report.
    await stack.heard(stack.toMiners, 'jobs.miners_seen', (m) => m.miner_ids.includes(miner.id));
    await miner.change({ status: 'active' });
    expect((await polling).map((taken) => taken.id)).toEqual([job.id]);
  });

  test('an older description of a miner does not replace a newer one', async () => {
    const miner = await stack.miner({ ...onlyFor('old-news'), revision: 5 });
    await stack.peers.send(
      'miners.changed',
      {
        miner_id: miner.id,
        account_id: miner.caller.account_id,
        revision: 4,
        status: 'inactive',
        gpus: [],
        cuda_version: null,
        region: null,
        price_per_job_minor: 0,
        concurrency: 1,
        reputation: 0,
        ...onlyFor('old-news'),
      },
      'jobs',
    );
    const job = await stack.client().submit(workFor('old-news'));
    expect((await miner.take()).id).toBe(job.id);
  });
});

describe('progress', () => {
  test('is shown, wakes those who wait, and starts over with a new attempt', async () => {
    const { client, miner, job, held } = await running('progress');
    const waiting = client.status(job.id, 20);
    const reply = await miner.http.call(jobsRoutes.progress, { body: { ...held, progress: 0.25 } });
    expect(reply).toMatchObject({ status: 200, body: { status: 'running' } });
    expect(await waiting).toMatchObject({ status: 'running', progress: 0.25, attempt: 1 });
    await miner.report({ ...held, status: 'failed', retryable: true });
    expect((await client.status(job.id)).progress).toBe(0);
  });
});

describe('a restart', () => {
  test('keeps what waits and what runs; old leases stay good, keys too', async () => {
    const { client, miner, taken, job } = await running('restart');
    const waiting = await client.submit(workFor('restart'));
    const before = await miner.http.call(jobsRoutes.jwks, {});
    await stack.restartJobs();
    expect((await miner.http.call(jobsRoutes.jwks, {})).body).toEqual(before.body);
    expect((await miner.complete(taken)).status).toBe(200);
    expect((await client.get(job.id)).status).toBe('completed');
    expect((await miner.take()).id).toBe(waiting.id);
  });
});

describe('a miner that could not run a job', () => {
  test('is not asked again at once, though no other could: the next job has its turn', async () => {
    const client = stack.client();
    const miner = await stack.miner({ ...onlyFor('troubled'), concurrency: 1 });
    const bad = [
      await client.submit({ ...workFor('troubled'), max_attempts: 10 }),
      await client.submit({ ...workFor('troubled'), max_attempts: 10 }),
    ];
    const good = await client.submit(workFor('troubled'));
    const taken: string[] = [];
    while (!taken.includes(good.id)) {
      const held = await miner.take();
      taken.push(held.id);
      if (held.id !== good.id)
        await miner.report({ job_id: held.id, lease: held.lease, status: 'failed', retryable: true });
    }
    expect(taken).toEqual([...bad.map(({ id }) => id), good.id]);
  });

  test('gets it again after a while', async () => {
    const client = stack.client();
    const miner = await stack.miner(onlyFor('rested'));
    const job = await client.submit(workFor('rested'));
    const first = await miner.take();
    const at = performance.now();
    await miner.report({ job_id: first.id, lease: first.lease, status: 'failed', retryable: true });
    expect(await miner.take()).toMatchObject({ id: job.id, attempt: 2 });
    // It was there all the time, and nobody else: so the rest of a second alone held it back.
    expect(performance.now() - at).toBeGreaterThan(950);
  });

  test('gives it back unstarted at no cost to the job, but not for ever', async () => {
    const client = stack.client();
    const miners: Awaited<ReturnType<Stack['miner']>>[] = [];
    for (let n = 0; n < 7; n += 1) miners.push(await stack.miner(onlyFor('model-gone')));
    const job = await client.submit({ ...workFor('model-gone'), max_attempts: 1 });
    const error = { code: 'MODEL_NOT_AVAILABLE', message: 'the model server does not have this model' };
    const giveBack = async () => {
      const { miner, held } = await eventually(async () => {
        for (const miner of miners) {
          const [held] = await miner.poll({ wait_seconds: 0 });
          if (held !== undefined) return { miner, held };
        }
        return undefined;
      });
      const lease = { job_id: held.id, lease: held.lease };
      const report = { ...lease, status: 'failed' as const, error, retryable: true, not_started: true };
      const reply = await miner.report(report);
      // The same report again gets the same answer.
      expect(await miner.report(report)).toMatchObject({ status: 200 });
      return { miner, reply };
    };
    const { miner, reply } = await giveBack();
    expect(reply).toMatchObject({ status: 200, body: { status: 'pending', receipt: null } });
    const isEnd = ({ job_id }: { job_id: string }) => job_id === job.id;
    expect(await stack.heard(stack.toMiners, 'jobs.attempt_ended', isEnd)).toMatchObject({
      miner_id: miner.id,
      outcome: 'returned',
    });
    for (let n = 2; n <= 5; n += 1)
      expect((await giveBack()).reply).toMatchObject({ body: { status: 'pending' } });
    expect((await giveBack()).reply).toMatchObject({ body: { status: 'failed' } });
    expect(await client.get(job.id)).toMatchObject({ status: 'failed', error });
  });

  test('cannot call a final failure unstarted', async () => {
    const client = stack.client();
    const miner = await stack.miner(onlyFor('final'));
    await client.submit(workFor('final'));
    const held = await miner.take();
    const reply = await miner.report({
      job_id: held.id,
      lease: held.lease,
      status: 'failed',
      not_started: true,
    });
    expect(codeOf(reply)).toEqual([422, 'VALIDATION_ERROR']);
  });

  test('is told the time by which deadlines are read', async () => {
    const miner = await stack.miner(onlyFor('clock'));
    const reply = await miner.http.call(jobsRoutes.poll, { query: { miner_id: miner.id } });
    expect(
      Math.abs(Date.parse((reply.body as { server_time: string }).server_time) - Date.now()),
    ).toBeLessThan(60_000);
  });
});
