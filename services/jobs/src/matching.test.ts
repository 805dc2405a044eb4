import { setTimeout as pause } from 'node:timers/promises';
import { CALLER_HEADER, deriveKey, signCaller } from '@aitbc/chassis';
import { jobsRoutes, newId } from '@aitbc/contracts';
import { eventually, TEST_PREFIX, TEST_SECRET } from '@aitbc/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ofModel, type Stack, startStack, submitBatch } from './stack.fixture.ts';

let stack: Stack;
beforeEach(async () => {
  stack = await startStack();
});
afterEach(() => stack.stop());

const anyModel = { capabilities: ['llm_inference'], models: [] };

const escrow = (jobId: string, amountMinor: number) =>
  stack.peers.send(
    'payments.escrowed',
    { payment_id: newId(), job_id: jobId, amount_minor: amountMinor },
    'jobs',
  );

const pollsWait = (count: number) =>
  eventually(async () => (await stack.peers.redis.zcard(`${TEST_PREFIX}:dispatch:idle:near`)) === count);

test('an answer to a poll holds some large jobs, and the rest go to the next', async () => {
  const miner = await stack.miner({ capabilities: ['custom'], concurrency: 64 });
  const client = stack.client();
  const input = 'x'.repeat(3_000_000);
  const ids: string[] = [];
  for (let at = 0; at < 4; at++)
    ids.push((await client.submit({ job_type: 'custom', parameters: { input } })).id);
  const taken: string[][] = [];
  while (taken.flat().length < 4)
    taken.push((await miner.poll({ max_jobs: 32, wait_seconds: 20 })).map(({ id }) => id));
  expect(taken.flat().sort()).toEqual([...ids].sort());
  for (const answer of taken) expect(answer.length).toBeLessThanOrEqual(3);
});

describe('the price', () => {
  test.each([0.125, 1.25, 0.0199, 12_345.678_901_23])(
    'a job that pays exactly what a miner asks runs: %s',
    async (price) => {
      const minor = Math.round(price * 1e8);
      const miner = await stack.miner({
        capabilities: ['custom'],
        region: 'r1',
        price_per_job_minor: minor,
      });
      const client = stack.client();
      const submission = { job_type: 'custom', parameters: {}, constraints: { region: 'r1' } };
      const less = await client.submit({ ...submission, payment_amount: price });
      const job = await client.submit({ ...submission, payment_amount: price });
      await escrow(less.id, minor - 1);
      await eventually(async () => (await client.status(less.id)).waiting_reason === 'price_too_low');
      await escrow(job.id, minor);
      expect((await miner.take()).id).toBe(job.id);
      expect(await miner.poll({ wait_seconds: 1 })).toEqual([]);
      expect(await client.get(less.id)).toMatchObject({ status: 'pending' });
    },
  );

  test('what pays nothing waits for a miner that asks nothing, max_price or not, and says so', async () => {
    const miner = await stack.miner({ capabilities: ['custom'], price_per_job_minor: 50_000_000 });
    const polling = miner.poll({ wait_seconds: 20 });
    const client = stack.client();
    const submission = { job_type: 'custom', parameters: {} };
    const job = await client.submit(submission);
    const capped = await client.submit({ ...submission, constraints: { max_price: 10 } });
    for (const { id } of [job, capped])
      await eventually(async () => (await client.status(id)).waiting_reason === 'price_too_low');
    // A payment that comes later counts from then on.
    await escrow(capped.id, 50_000_000);
    expect((await polling).map((taken) => taken.id)).toEqual([capped.id]);
    const free = await stack.miner({ capabilities: ['custom'] });
    expect((await free.take()).id).toBe(job.id);
  });

  test('paid goes before unpaid, whatever its priority and however much of it', async () => {
    const [many, one] = [stack.client(), stack.client()];
    const submission = { job_type: 'custom', parameters: {} };
    await submitBatch(
      many,
      Array.from({ length: 250 }, () => ({ ...submission, priority: 9 })),
    );
    const job = await one.submit({ ...submission, priority: 0, payment_amount: 20 });
    await escrow(job.id, 2_000_000_000);
    await eventually(async () => (await one.status(job.id)).queue_position === 0);
    const miner = await stack.miner({ capabilities: ['custom'] });
    expect((await miner.take()).id).toBe(job.id);
  });

  test('asking for nothing is no advantage: quality decides between miners', async () => {
    const cheap = await stack.miner({ capabilities: ['custom'], reputation: 0.67 });
    const good = await stack.miner({
      capabilities: ['custom'],
      reputation: 0.97,
      price_per_job_minor: 1_000_000,
    });
    const [atCheap, atGood] = [cheap.poll({ wait_seconds: 20 }), good.poll({ wait_seconds: 20 })];
    await pollsWait(2);
    const client = stack.client();
    const job = await client.submit({ job_type: 'custom', parameters: {}, payment_amount: 1 });
    await escrow(job.id, 100_000_000);
    expect((await atGood).map((taken) => taken.id)).toEqual([job.id]);
    await client.submit({ job_type: 'custom', parameters: {} });
    expect(await atCheap).toHaveLength(1);
  });
});

describe('names of models', () => {
  test.each([
    ['llama3.2:latest', 'llama3.2'],
    ['llama3.2', 'LLama3.2:latest'],
  ])('a miner with %s runs a job for %s', async (has, wants) => {
    const miner = await stack.miner({ capabilities: ['llm_inference'], models: [has] });
    const job = await stack.client().submit(ofModel(wants));
    expect((await miner.take()).id).toBe(job.id);
  });
});

describe('a miner that a job names', () => {
  const wish = { capabilities: ['custom'], concurrency: 4, region: 'eu' };
  const named = (miner_id: string, more: object = {}) => ({
    job_type: 'custom',
    parameters: {},
    constraints: { miner_id, ...more },
  });
  const idsOf = async (polling: Promise<{ id: string }[]>) => (await polling).map(({ id }) => id);

  test('gets it, and nobody else does, whether its poll is open already, opens later, or jobs starts anew', async () => {
    const client = stack.client();
    const equal = await stack.miner(wish);
    const miner = await stack.miner(wish);
    const polling = miner.poll({ wait_seconds: 20 });
    const other = equal.poll({ wait_seconds: 20, max_jobs: 4 });
    // Who waits longest would be first.
    await pollsWait(2);
    const first = await client.submit(named(miner.id));
    expect(await idsOf(polling)).toEqual([first.id]);
    const second = await client.submit(named(miner.id, { region: 'EU' }));
    const open = await client.submit({ job_type: 'custom', parameters: {} });
    expect(await idsOf(other)).toEqual([open.id]);
    expect(await client.status(second.id)).toMatchObject({ status: 'pending', waiting_reason: 'all_busy' });
    expect((await miner.take()).id).toBe(second.id);
    const third = await client.submit(named(miner.id));
    await stack.restartJobs();
    expect(await equal.poll({ wait_seconds: 2 })).toEqual([]);
    expect((await miner.take()).id).toBe(third.id);
  });

  test('gets it when it registers afterwards, also after a start of jobs', async () => {
    const client = stack.client();
    const { redis } = stack.peers;
    const generation = `${TEST_PREFIX}:dispatch:generation`;
    // A second after its start jobs offers all that waits, once: then nothing does for ten seconds.
    const allOffered = async (): Promise<void> => {
      await eventually(async () => (await redis.exists(generation)) === 1);
      await pause(500);
    };
    await allOffered();
    const [soon, later] = [newId(), newId()];
    const [first, second] = [await client.submit(named(soon)), await client.submit(named(later))];
    const equal = await stack.miner(wish);
    expect(await equal.poll({ wait_seconds: 1 })).toEqual([]);
    const miner = await stack.miner({ ...wish, miner_id: soon });
    expect(await idsOf(miner.poll({ wait_seconds: 5 }))).toEqual([first.id]);
    await stack.restartJobs(async () => void (await redis.del(generation)));
    await allOffered();
    const last = await stack.miner({ ...wish, miner_id: later });
    expect(await idsOf(last.poll({ wait_seconds: 5 }))).toEqual([second.id]);
  });

  test('waits, and says so, for one that is elsewhere or that nobody knows; an id is an id', async () => {
    const client = stack.client();
    const miner = await stack.miner(wish);
    const polling = miner.poll({ wait_seconds: 20 });
    for (const submission of [named(miner.id, { region: 'us' }), named(newId())]) {
      const { id } = await client.submit(submission);
      await eventually(async () => (await client.status(id)).waiting_reason === 'no_capable_miner');
    }
    const { id } = await client.submit(named(miner.id.toUpperCase()));
    expect(await idsOf(polling)).toEqual([id]);
    const refused = await client.http.call(jobsRoutes.submit, { body: named('miner-1') });
    expect(refused.body).toMatchObject({
      error: { code: 'VALIDATION_ERROR', details: { issues: [{ path: 'constraints.miner_id' }] } },
    });
  });
});

describe('many different requirements', () => {
  test('700 models, one miner that takes any: all run, oldest first', async () => {
    const client = stack.client();
    const items = await submitBatch(
      client,
      Array.from({ length: 700 }, (_, at) => ofModel(`model-${at}`)),
    );
    const miner = await stack.miner({ ...anyModel, concurrency: 64 });
    const order: string[] = [];
    while (order.length < 700) {
      const taken = await miner.poll({ max_jobs: 32, wait_seconds: 20 });
      expect(taken.length).toBeGreaterThan(0);
      order.push(...taken.map((job) => job.id));
      await miner.http.call(jobsRoutes.result, {
        body: {
          results: taken.map((job) => ({
            job_id: job.id,
            lease: job.lease,
            status: 'completed',
            result: {},
          })),
        },
      });
    }
    expect(order).toEqual(items.map((item) => item.job?.id));
  });

  test('an idle miner serves a waiting job while others come for a second with a model each', async () => {
    const victim = await stack.client().submit(ofModel('wanted'));
    const attacker = stack.client();
    await submitBatch(
      attacker,
      Array.from({ length: 600 }, (_, at) => ({ ...ofModel(`other-${at}`), ttl_seconds: 1 })),
    );
    const miner = await stack.miner({ capabilities: ['llm_inference'], models: ['wanted', 'unwanted'] });
    const startedAt = performance.now();
    expect((await miner.poll({ wait_seconds: 20 })).map((job) => job.id)).toEqual([victim.id]);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  test('one account fills its own share and is told so; others are served at once', async () => {
    const greedy = stack.client();
    const miner = await stack.miner({ capabilities: ['llm_inference'], models: ['honest'] });
    let refused = 0;
    for (let batch = 0; batch < 4; batch++) {
      const items = await submitBatch(
        greedy,
        Array.from({ length: 1_000 }, (_, at) => ofModel(`m-${batch}-${at}`)),
      );
      const bad = items.filter((item) => item.status !== 201);
      for (const item of bad) expect(item.error?.code).toBe('TOO_MANY_REQUIREMENTS');
      refused += bad.length;
    }
    expect(refused).toBe(3_000);
    const reply = await greedy.http.call(jobsRoutes.submit, { body: ofModel('one-more') });
    expect(reply).toMatchObject({
      status: 429,
      body: { error: { code: 'TOO_MANY_REQUIREMENTS', details: { limit: 1_000 } } },
    });
    expect(Number(reply.headers.get('retry-after'))).toBeGreaterThan(0);
    // The same again is nothing new.
    await greedy.submit(ofModel('m-0-7'));

    const startedAt = performance.now();
    const job = await stack.client().submit(ofModel('honest'));
    expect((await miner.take()).id).toBe(job.id);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  test('a requirement that nothing waits in any more costs nothing', async () => {
    const client = stack.client();
    const items = await submitBatch(
      client,
      Array.from({ length: 1_000 }, (_, at) => ofModel(`gone-${at}`)),
    );
    const keys = () => stack.peers.redis.keys(`${TEST_PREFIX}:dispatch:own:*`);
    await eventually(async () => (await keys()).length > 1_000);
    // Some side by side: one after the other they take half a minute on a busy machine.
    const gone = items.slice(0, 999).map((item) => item.job?.id as string);
    while (gone.length > 0)
      await Promise.all(
        gone.splice(0, 50).map((job_id) => client.http.call(jobsRoutes.cancel, { params: { job_id } })),
      );
    await eventually(async () => (await keys()).length === 2);
    const again = await submitBatch(
      client,
      Array.from({ length: 999 }, (_, at) => ofModel(`new-${at}`)),
    );
    expect(again.every((item) => item.status === 201)).toBe(true);
  });
});

describe('what one account holds open', () => {
  test('event streams: others open theirs when one account is full', async () => {
    const [greedy, other] = [stack.client(), stack.client()];
    const key = deriveKey(TEST_SECRET, 'caller');
    const watch = (client: typeof greedy, jobId: string) => {
      const path = `/v1/client/jobs/${jobId}/events`;
      const signed = signCaller(
        key,
        { caller: client.caller, request_id: newId(), at_ms: Date.now() },
        'GET',
        path,
      );
      return fetch(stack.url + path, { headers: { [CALLER_HEADER]: signed } });
    };
    const cancel = (client: typeof greedy, jobId: string) =>
      client.http.call(jobsRoutes.cancel, { params: { job_id: jobId } });
    const [job, next, theirs] = [await greedy.submit(), await greedy.submit(), await other.submit()];
    const open = await Promise.all(Array.from({ length: 100 }, () => watch(greedy, job.id)));
    expect(open.every((reply) => reply.status === 200)).toBe(true);
    const refused = await watch(greedy, next.id);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('retry-after')).not.toBeNull();
    expect(await refused.json()).toMatchObject({
      error: { code: 'TOO_MANY_STREAMS', details: { limit: 100 } },
    });
    const elsewhere = await watch(other, theirs.id);
    expect(elsewhere.status).toBe(200);
    // Streams end with their job, and give their place back.
    await cancel(greedy, job.id);
    await Promise.all(open.map((reply) => reply.text()));
    const again = await watch(greedy, next.id);
    expect(again.status).toBe(200);
    await cancel(greedy, next.id);
    await cancel(other, theirs.id);
    await Promise.all([again.text(), elsewhere.text()]);
  });
});
