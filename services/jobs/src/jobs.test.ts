import { jobsRoutes, newId, type Payload } from '@aitbc/contracts';
import { eventually, type someone } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const detection = { job_type: 'language_detection', parameters: { text: 'Guten Tag' } };

describe('submit', () => {
  test('takes a job in and tells payments that it exists', async () => {
    const client = stack.client({ spend_cap_minor: 500 });
    const job = await client.submit({ labels: ['a'], priority: 7, ttl_seconds: 60 });
    expect(job).toMatchObject({
      client_id: client.caller.account_id,
      status: 'pending',
      attempt: 0,
      max_attempts: 3,
      priority: 7,
      labels: ['a'],
      result: null,
      payment_status: null,
    });
    expect(Date.parse(job.expires_at) - Date.parse(job.created_at)).toBe(60_000);
    const told = await stack.heard(stack.toPayments, 'jobs.submitted', (m) => m.job_id === job.id);
    expect(told).toEqual({
      job_id: job.id,
      account_id: client.caller.account_id,
      credential_id: client.caller.credential_id,
      spend_cap_minor: 500,
      payment_amount_minor: null,
      submitted_at_ms: Date.parse(job.created_at),
      expires_at_ms: Date.parse(job.expires_at),
    });
    expect(await client.get(job.id)).toEqual(job);
  });

  test.each([
    ['an unknown type', { job_type: 'mining', parameters: {} }, 'INVALID_JOB_TYPE', undefined],
    ['a property of all objects', { job_type: 'toString', parameters: {} }, 'INVALID_JOB_TYPE', undefined],
    [
      'parameters of another type',
      { ...detection, job_type: 'ocr' },
      'VALIDATION_ERROR',
      'parameters.image_base64',
    ],
    ['an unknown field', { ...detection, colour: 'red' }, 'VALIDATION_ERROR', 'colour'],
    ['a priority too high', { ...detection, priority: 10 }, 'VALIDATION_ERROR', 'priority'],
    ['a ttl of nothing', { ...detection, ttl_seconds: 0 }, 'VALIDATION_ERROR', 'ttl_seconds'],
    ['nine decimals', { ...detection, payment_amount: 0.123456789 }, 'VALIDATION_ERROR', 'payment_amount'],
    [
      'a text where a number belongs',
      { ...detection, timeout_seconds: '5' },
      'VALIDATION_ERROR',
      'timeout_seconds',
    ],
  ])('refuses %s', async (_, body, code, path) => {
    const reply = await stack.client().http.call(jobsRoutes.submit, { body: body as never });
    if (reply.ok) throw new Error('was accepted');
    expect(reply.status).toBe(422);
    expect(reply.body.error.code).toBe(code);
    if (path !== undefined)
      expect((reply.body.error.details.issues as { path: string }[]).map((issue) => issue.path)).toContain(
        path,
      );
  });

  test('the same Idempotency-Key is the same job; with another body it is refused', async () => {
    const client = stack.client();
    const idempotencyKey = newId();
    const send = (text: string) =>
      client.http.call(jobsRoutes.submit, {
        body: { ...detection, parameters: { text } },
        idempotencyKey,
      });
    const [first, second] = await Promise.all([send('one'), send('one')]);
    expect(first.status).toBe(201);
    expect(second.body).toEqual(first.body);
    expect(await send('two')).toMatchObject({
      status: 422,
      body: { error: { code: 'IDEMPOTENCY_KEY_REUSED' } },
    });
    const list = await client.http.call(jobsRoutes.list, {});
    if (!list.ok) throw new Error('no list');
    expect(list.body.items).toHaveLength(1);
  });

  test('a vote changes what is supported and how often is tried', async () => {
    const change = (name: 'supported_job_types' | 'default_max_attempts', value: unknown, version: number) =>
      stack.peers.send(
        'governance.parameter_changed',
        { name, value, version, proposal_id: newId() },
        'jobs',
      );
    await change('supported_job_types', ['language_detection', 'custom', 'llm_inference'], 1);
    await change('default_max_attempts', 5, 1);
    const client = stack.client();
    await eventually(async () => (await client.submit()).max_attempts === 5);
    const refused = await client.http.call(jobsRoutes.submit, {
      body: { job_type: 'image_generation', parameters: { prompt: 'a cat' } },
    });
    expect(refused).toMatchObject({
      status: 422,
      body: {
        error: {
          code: 'INVALID_JOB_TYPE',
          details: { supported: ['language_detection', 'custom', 'llm_inference'] },
        },
      },
    });
    expect((await client.submit({ max_attempts: 2 })).max_attempts).toBe(2);
    await change('default_max_attempts', 3, 2);
  });
});

describe('a batch', () => {
  test('answers each item, in order, and costs one unit per ten', async () => {
    const client = stack.client();
    const jobs = Array.from({ length: 250 }, (_, at) =>
      at === 7
        ? { job_type: 'mining', parameters: {} }
        : at === 120
          ? { ...detection, priority: 99 }
          : { ...detection, parameters: { text: `text ${at}` } },
    );
    const reply = await client.http.call(jobsRoutes.submitBatch, { body: { jobs } });
    if (!reply.ok) throw new Error('refused');
    expect(reply.headers.get('x-rate-cost')).toBe('25');
    expect(reply.body.items).toHaveLength(250);
    for (const [at, item] of reply.body.items.entries()) {
      if (at === 7) expect(item).toMatchObject({ status: 422, error: { code: 'INVALID_JOB_TYPE' } });
      else if (at === 120) expect(item).toMatchObject({ status: 422, error: { code: 'VALIDATION_ERROR' } });
      else expect(item).toMatchObject({ status: 201, job: { parameters: { text: `text ${at}` } } });
    }
  });

  test('with an Idempotency-Key is one batch, however often it is sent', async () => {
    const client = stack.client();
    const idempotencyKey = newId();
    const send = () =>
      client.http.call(jobsRoutes.submitBatch, { body: { jobs: [detection, detection] }, idempotencyKey });
    const first = await send();
    expect(await send()).toMatchObject({ status: 207, body: first.body as object });
    const list = await client.http.call(jobsRoutes.list, {});
    if (!list.ok) throw new Error('no list');
    expect(list.body.items).toHaveLength(2);
  });
});

describe('reading', () => {
  test("somebody else's job does not exist", async () => {
    const job = await stack.client().submit();
    const { http } = stack.client();
    const params = { job_id: job.id };
    const replies = await Promise.all([
      http.call(jobsRoutes.get, { params }),
      http.call(jobsRoutes.status, { params }),
      http.call(jobsRoutes.events, { params }),
      http.call(jobsRoutes.cancel, { params }),
      http.call(jobsRoutes.receipts, { params }),
      http.call(jobsRoutes.get, { params: { job_id: 'not-an-id' } }),
    ]);
    for (const reply of replies)
      expect(reply).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } });
  });

  test('the list is newest first, filtered, and stable while jobs are added', async () => {
    const client = stack.client();
    const made: string[] = [];
    for (let at = 0; at < 7; at++) {
      const isCustom = at % 3 === 0;
      const job = await client.submit({
        ...(isCustom ? { job_type: 'custom', parameters: { input: at } } : {}),
        labels: at % 2 === 0 ? ['even', 'all'] : ['all'],
      });
      made.unshift(job.id);
    }
    await client.http.call(jobsRoutes.cancel, { params: { job_id: made[0] as string } });
    const list = async (query: object) => {
      const reply = await client.http.call(jobsRoutes.list, { query });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body;
    };
    const ids = async (query: object) => (await list(query)).items.map((job) => job.id);
    expect(await ids({})).toEqual(made);
    expect(await ids({ status: 'cancelled' })).toEqual([made[0]]);
    expect(await ids({ job_type: 'custom' })).toEqual([made[0], made[3], made[6]]);
    expect(await ids({ label: 'even' })).toEqual([made[0], made[2], made[4], made[6]]);
    expect(await ids({ label: 'even', status: 'pending', limit: 2 })).toEqual([made[2], made[4]]);
    expect(await ids({ label: 'none' })).toEqual([]);
    const third = await client.get(made[3] as string);
    const after = await ids({ created_after: third.created_at });
    expect(after).not.toContain(third.id);
    expect(made.slice(0, 3)).toEqual(expect.arrayContaining(after));

    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      seen.push(...page.items.map((job) => job.id));
      cursor = page.next_cursor ?? undefined;
      await client.submit();
    } while (cursor !== undefined);
    expect(seen).toEqual(made);
    const broken = await client.http.call(jobsRoutes.list, { query: { cursor: 'x' } });
    expect(broken).toMatchObject({ status: 422, body: { error: { code: 'VALIDATION_ERROR' } } });
  });

  test('a page of long jobs ends early instead of growing without bound', async () => {
    const client = stack.client();
    const text = 'x'.repeat(99_000);
    for (let at = 0; at < 50; at++) await client.submit({ parameters: { text } });
    const seen = new Set<string>();
    let cursor: string | undefined;
    let pages = 0;
    do {
      const reply = await client.http.call(jobsRoutes.list, {
        query: { limit: 100, ...(cursor === undefined ? {} : { cursor }) },
      });
      if (!reply.ok) throw new Error('no list');
      expect(JSON.stringify(reply.body).length).toBeLessThan(300 * 1024);
      for (const job of reply.body.items) seen.add(job.id);
      cursor = reply.body.next_cursor ?? undefined;
      pages += 1;
    } while (cursor !== undefined);
    expect(seen.size).toBe(50);
    expect(pages).toBe(25);
  });
});

describe('status', () => {
  test('says why a job waits and where', async () => {
    const client = stack.client();
    const work = workFor('nowhere');
    const jobs: { id: string }[] = [];
    for (let at = 0; at < 3; at++) jobs.push(await client.submit(work));
    await eventually(async () => {
      for (const [at, job] of jobs.entries())
        expect(await client.status(job.id)).toMatchObject({
          status: 'pending',
          waiting_reason: 'no_capable_miner',
          queue_position: at,
        });
      return true;
    });
    const miner = await stack.miner({ ...onlyFor('nowhere') });
    await eventually(async () => (await client.status(jobs[2]?.id as string)).waiting_reason === 'all_busy');
    const taken = await miner.take();
    expect(taken.id).toBe(jobs[0]?.id);
    expect(await client.status(taken.id)).toMatchObject({
      status: 'running',
      waiting_reason: null,
      queue_position: null,
    });
    expect((await client.status(jobs[2]?.id as string)).queue_position).toBe(1);
    const paid = await client.submit({ ...workFor('unpaid'), payment_amount: 1 });
    expect(await client.status(paid.id)).toMatchObject({
      waiting_reason: 'awaiting_funds',
      queue_position: null,
    });
  });

  test('held until it changes', async () => {
    const client = stack.client();
    const job = await client.submit({ ...workFor('moon') });
    const startedAt = performance.now();
    const held = client.status(job.id, 20);
    await client.http.call(jobsRoutes.cancel, { params: { job_id: job.id } });
    expect((await held).status).toBe('cancelled');
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    // Nothing more can change: no reason to hold.
    expect((await client.status(job.id, 20)).status).toBe('cancelled');
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    const other = await client.submit({ ...workFor('moon') });
    expect((await client.status(other.id, 1)).status).toBe('pending');
  });
});

describe('cancel', () => {
  test('ends a job that waits; a second time is a conflict; nobody gets it', async () => {
    const client = stack.client();
    const work = workFor('cancel-1');
    const job = await client.submit(work);
    const params = { job_id: job.id };
    expect(await client.http.call(jobsRoutes.cancel, { params })).toMatchObject({
      status: 200,
      body: { id: job.id, status: 'cancelled', ended_at: expect.any(String) },
    });
    expect(await client.http.call(jobsRoutes.cancel, { params })).toMatchObject({
      status: 409,
      body: { error: { code: 'JOB_ALREADY_ENDED' } },
    });
    expect(await stack.heard(stack.toPayments, 'jobs.ended', (m) => m.job_id === job.id)).toMatchObject({
      status: 'cancelled',
      started: false,
      miner_id: null,
    });
    const next = await client.submit(work);
    const miner = await stack.miner({ ...onlyFor('cancel-1') });
    expect((await miner.poll({ max_jobs: 5 })).map((taken) => taken.id)).toEqual([next.id]);
  });

  test('ends a job that runs, and tells its miner to stop', async () => {
    const client = stack.client();
    const miner = await stack.miner({ ...onlyFor('cancel-2') });
    const job = await client.submit({ ...workFor('cancel-2') });
    await miner.take();
    await client.http.call(jobsRoutes.cancel, { params: { job_id: job.id } });
    expect(await stack.heard(stack.toMiners, 'jobs.attempt_ended', (m) => m.job_id === job.id)).toEqual({
      job_id: job.id,
      miner_id: miner.id,
      attempt: 1,
      outcome: 'cancelled',
      client_account_id: client.caller.account_id,
    });
    expect(await stack.heard(stack.toPayments, 'jobs.ended', (m) => m.job_id === job.id)).toMatchObject({
      status: 'cancelled',
      started: true,
      miner_id: miner.id,
      miner_account_id: miner.caller.account_id,
    });
  });
});

describe('time to start', () => {
  test('over: the job expires by itself and leaves the queue', async () => {
    const client = stack.client();
    const work = workFor('ttl');
    const job = await client.submit({ ...work, ttl_seconds: 1 });
    await eventually(async () => (await client.get(job.id)).status === 'expired');
    const ended = await client.get(job.id);
    expect(ended.error?.code).toBe('EXPIRED');
    expect(Date.parse(ended.ended_at as string) - Date.parse(job.expires_at)).toBeLessThan(2_000);
    const miner = await stack.miner({ ...onlyFor('ttl') });
    expect(await miner.poll({ wait_seconds: 0 })).toEqual([]);
  });
});

describe('money', () => {
  const paid = async (region: string, amount = 2.5) => {
    const client = stack.client();
    const job = await client.submit({ ...workFor(region), payment_amount: amount });
    return { client, job, payment_id: newId() };
  };

  test('first: a paid job runs once its escrow is held, for that price', async () => {
    const { client, job, payment_id } = await paid('paid-1');
    const miner = await stack.miner({ ...onlyFor('paid-1'), price_per_job_minor: 200_000_000 });
    const free = await client.submit({ ...workFor('paid-1') });
    // Neither is for a miner with a price: one pays nothing, of the other nothing is held yet.
    expect(await miner.poll({ wait_seconds: 1 })).toEqual([]);
    expect(await client.status(free.id)).toMatchObject({ waiting_reason: 'price_too_low' });
    expect(await client.get(job.id)).toMatchObject({ status: 'pending', payment_status: 'pending' });
    await stack.peers.send(
      'payments.escrowed',
      { payment_id, job_id: job.id, amount_minor: 250_000_000 },
      'jobs',
    );
    const taken = await miner.take();
    expect(taken.id).toBe(job.id);
    expect(await client.get(job.id)).toMatchObject({
      payment_id,
      payment_status: 'escrowed',
      payment_amount: 2.5,
    });
    const reply = await miner.complete(taken);
    if (!reply.ok || !('receipt' in reply.body)) throw new Error('refused');
    const verified = await client.http.call(jobsRoutes.verifyReceipt, {
      body: { proof: reply.body.receipt?.proof as string },
    });
    expect(verified.body).toMatchObject({ valid: true, claims: { price: 2.5, currency: 'AITBC' } });
    await stack.peers.send(
      'payments.resolved',
      {
        payment_id,
        job_id: job.id,
        kind: 'released',
        payee_account_id: newId(),
        miner_id: miner.id,
        earned_minor: 1,
      },
      'jobs',
    );
    await eventually(async () => (await client.get(job.id)).payment_status === 'released');
    // A message that was late does not turn it back.
    await stack.peers.send(
      'payments.escrowed',
      { payment_id, job_id: job.id, amount_minor: 250_000_000 },
      'jobs',
    );
    const after = await client.submit({ ...workFor('unpaid'), payment_amount: 1 });
    await stack.peers.send(
      'payments.refused',
      { payment_id: newId(), job_id: after.id, code: 'INSUFFICIENT_FUNDS', message: 'no' },
      'jobs',
    );
    await eventually(async () => (await client.get(after.id)).status === 'failed');
    expect((await client.get(job.id)).payment_status).toBe('released');
  });

  test('given back before the job ended: the job fails, so that no miner works unpaid', async () => {
    const { client, job, payment_id } = await paid('given-back');
    await stack.peers.send(
      'payments.escrowed',
      { payment_id, job_id: job.id, amount_minor: 100_000_000 },
      'jobs',
    );
    await eventually(async () => (await client.get(job.id)).payment_status === 'escrowed');
    await stack.peers.send(
      'payments.resolved',
      {
        payment_id,
        job_id: job.id,
        kind: 'refunded',
        payee_account_id: null,
        miner_id: null,
        earned_minor: 0,
      },
      'jobs',
    );
    const ended = await eventually(async () => {
      const now = await client.get(job.id);
      return now.status === 'pending' ? undefined : now;
    });
    expect(ended).toMatchObject({
      status: 'failed',
      payment_status: 'refunded',
      error: { code: 'PAYMENT_REFUNDED' },
    });
  });

  test('refused: the job fails with that code, and nobody ever held it', async () => {
    const { client, job, payment_id } = await paid('paid-2');
    await stack.peers.send(
      'payments.refused',
      { payment_id, job_id: job.id, code: 'INSUFFICIENT_FUNDS', message: 'The balance is too low.' },
      'jobs',
    );
    await eventually(async () => (await client.get(job.id)).status === 'failed');
    expect(await client.get(job.id)).toMatchObject({
      error: { code: 'INSUFFICIENT_FUNDS' },
      payment_status: 'failed',
      payment_id,
    });
    expect(await stack.heard(stack.toPayments, 'jobs.ended', (m) => m.job_id === job.id)).toMatchObject({
      status: 'failed',
      started: false,
    });
  });

  test('too little for the miner: it does not fit', async () => {
    const { client, job, payment_id } = await paid('paid-3', 1);
    await stack.peers.send(
      'payments.escrowed',
      { payment_id, job_id: job.id, amount_minor: 100_000_000 },
      'jobs',
    );
    const dear = await stack.miner({ ...onlyFor('paid-3'), price_per_job_minor: 110_000_000 });
    await eventually(async () => (await client.status(job.id)).waiting_reason === 'price_too_low');
    expect(await dear.poll({ wait_seconds: 1 })).toEqual([]);
    await dear.change({ price_per_job_minor: 100_000_000 });
    expect((await dear.take()).id).toBe(job.id);
  });

  test('later: an unpaid job that is paid meanwhile shows it and goes on', async () => {
    const client = stack.client();
    const job = await client.submit({ ...workFor('paid-4') });
    const payment_id = newId();
    await stack.peers.send(
      'payments.escrowed',
      { payment_id, job_id: job.id, amount_minor: 300_000_000 },
      'jobs',
    );
    await eventually(async () => (await client.get(job.id)).payment_status === 'escrowed');
    expect(await client.get(job.id)).toMatchObject({ status: 'pending', payment_amount: 3, payment_id });
    expect((await client.status(job.id)).waiting_reason).toBe('no_capable_miner');
  });
});

describe('events', () => {
  const read = async (jobId: string, caller: ReturnType<typeof someone>, lastEventId?: string) => {
    const url = `/v1/client/jobs/${jobId}/events`;
    const { CALLER_HEADER, deriveKey, signCaller } = await import('@aitbc/chassis');
    const { TEST_SECRET } = await import('@aitbc/testing');
    const signed = signCaller(
      deriveKey(TEST_SECRET, 'caller'),
      { caller, request_id: newId(), at_ms: Date.now() },
      'GET',
      url,
    );
    return fetch(stack.url + url, {
      headers: {
        [CALLER_HEADER]: signed,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
    });
  };
  const parse = (text: string) =>
    text
      .split('\n\n')
      .filter((block) => block.startsWith('id:'))
      .map((block) => {
        const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
        return {
          id: Number(fields.id),
          event: fields.event as string,
          data: JSON.parse(fields.data as string),
        };
      });

  test('tell the whole story, end after the last, and resume anywhere', async () => {
    const client = stack.client();
    const miner = await stack.miner({ ...onlyFor('events') });
    const job = await client.submit({ ...workFor('events') });
    const live = await read(job.id, client.caller);
    expect(live.headers.get('content-type')).toContain('text/event-stream');
    const text = live.text();
    const first = await miner.take();
    const { job_id, lease } = { job_id: first.id, lease: first.lease };
    await miner.http.call(jobsRoutes.progress, { body: { job_id, lease, progress: 0.5, message: 'half' } });
    await miner.report({
      job_id,
      lease,
      status: 'failed',
      retryable: true,
      error: { code: 'OOM', message: 'no memory' },
    });
    const second = await miner.take();
    await miner.complete(second);
    // The stream ends by itself.
    const events = parse(await text);
    expect(events.map((event) => event.event)).toEqual([
      'status',
      'status',
      'progress',
      'status',
      'status',
      'end',
    ]);
    expect(events.map((event) => event.data.type)).toEqual([
      'pending',
      'running',
      'progress',
      'retrying',
      'running',
      'completed',
    ]);
    expect(events[5]?.data).toMatchObject({ result: { ok: true }, status: 'completed' });
    expect(events.map((event) => event.id)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(events[2]?.data).toMatchObject({ progress: 0.5, message: 'half', status: 'running', attempt: 1 });
    expect(events[3]?.data).toMatchObject({ message: 'no memory', status: 'pending', attempt: 1 });
    const resumed = await read(job.id, client.caller, '4');
    expect(parse(await resumed.text()).map((event) => event.id)).toEqual([5, 6]);
    // 204 tells a browser not to come back.
    const over = await read(job.id, client.caller, '6');
    expect([over.status, await over.text()]).toEqual([204, '']);
    // What is no id of this job's events begins from the start.
    for (const id of ['7', '-1', '1e1', 'x'])
      expect(parse(await (await read(job.id, client.caller, id)).text())).toHaveLength(6);
  });
});

test('an unknown message about an unknown job is no reason to stop', async () => {
  const unknown: Payload<'payments.escrowed'> = { payment_id: newId(), job_id: newId(), amount_minor: 1 };
  await stack.peers.send('payments.escrowed', unknown, 'jobs');
  const miner = await stack.miner({ ...onlyFor('last') });
  const job = await stack.client().submit({ ...workFor('last') });
  expect((await miner.take()).id).toBe(job.id);
});
