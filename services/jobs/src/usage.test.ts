import { openStore, type Trx } from '@aitbc/chassis';
import { jobsRoutes, newId, type QueryIn } from '@aitbc/contracts';
import { eventually, scratchDatabase, someone } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { onlyFor, type Stack, startStack, workFor } from './stack.fixture.ts';
import { countUsage, sumBy, sumOf } from './store/usage.ts';
import type { UsageDay } from './tables.ts';

const today = () => new Date().toISOString().slice(0, 10);

describe('what an account used', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.stop());

  type Client = ReturnType<Stack['client']>;
  const usage = (client: Client, query: QueryIn<typeof jobsRoutes.usage> = {}) =>
    client.http.call(jobsRoutes.usage, { query });
  const used = async (client: Client, query: QueryIn<typeof jobsRoutes.usage> = {}) => {
    const reply = await usage(client, query);
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body;
  };

  test('counts with the end of each job, by what is asked, and what the receipt says as spent', async () => {
    const client = stack.client();
    const session = stack.client({ account_id: client.caller.account_id, scopes: ['user'] });
    const miner = await stack.miner({ ...onlyFor('counted'), price_per_job_minor: 0 });
    const paid = await client.submit({ ...workFor('counted'), payment_amount: 1.5 });
    await stack.peers.send(
      'payments.escrowed',
      { job_id: paid.id, payment_id: newId(), amount_minor: 150_000_000 },
      'jobs',
    );
    expect((await used(client)).total.jobs).toBe(0);
    expect((await miner.complete(await miner.take())).ok).toBe(true);
    for (const who of [client, session]) {
      const { id } = await who.submit();
      await who.http.call(jobsRoutes.cancel, { params: { job_id: id } });
    }

    const none = { failed: 0, expired: 0 };
    const total = { jobs: 3, completed: 1, cancelled: 2, ...none, spend: 1.5 };
    expect(await used(client)).toMatchObject({
      items: [{ day: today(), ...total }],
      next_cursor: null,
      total,
    });
    const cancelled = { jobs: 1, completed: 0, cancelled: 1, ...none, spend: 0 };
    expect((await used(session, { group_by: 'key,job_type,model' })).items).toEqual([
      { key_id: null, job_type: 'language_detection', model: null, ...cancelled },
      { key_id: client.caller.credential_id, job_type: 'language_detection', model: null, ...cancelled },
      {
        key_id: client.caller.credential_id,
        job_type: 'llm_inference',
        model: 'counted',
        ...{ jobs: 1, completed: 1, cancelled: 0, ...none, spend: 1.5 },
      },
    ]);
    expect((await used(stack.client())).items).toEqual([]);
    // A second end is no end.
    await client.http.call(jobsRoutes.cancel, { params: { job_id: paid.id } });
    expect((await used(client)).total).toEqual(total);
  });

  test('counts what expired by itself', async () => {
    const client = stack.client();
    await client.submit({ ...workFor('nobody'), ttl_seconds: 1 });
    await eventually(async () => (await used(client)).total.expired === 1);
  });

  test.each([
    [{ from: '2026-02-30' }, 'query.from'],
    [{ from: '2026-01-01', to: '2026-04-01' }, 'query.from'],
    [{ from: '2026-01-02', to: '2026-01-01' }, 'query.from'],
    [{ group_by: 'day,day' }, 'query.group_by'],
    [{ group_by: 'price' }, 'query.group_by'],
    [{ cursor: 'bm9uZQ' }, 'query.cursor'],
    [{ cursor: Buffer.from('["x"]').toString('base64url') }, 'query.cursor'],
  ])('%j is refused', async (query, path) => {
    const reply = await usage(stack.client(), query as never);
    expect(reply.status).toBe(422);
    expect(JSON.stringify(reply.body)).toContain(path);
  });
});

describe('the counts', () => {
  const open = async () => await openStore({ url: scratchDatabase('jobs'), service: 'jobs', migrations });
  let store: Awaited<ReturnType<typeof open>>;
  beforeAll(async () => {
    store = await open();
  });
  afterAll(() => store.close());

  const accountId = newId();
  const row = (changes: Partial<UsageDay>): UsageDay => ({
    account_id: accountId,
    day: 20_000,
    job_type: 'ocr',
    model: '',
    key_id: '',
    place: 0,
    completed: 1,
    failed: 0,
    cancelled: 0,
    expired: 0,
    spend_minor: 5,
    ...changes,
  });

  test('of one commit and of several places are one sum, in pages of any length', async () => {
    const models = ['a', 'b', 'c'];
    const rows = [20_000, 20_001].flatMap((day) =>
      models.flatMap((model) =>
        [0, 1].flatMap((place) => [row({ day, model, place }), row({ day, model, place })]),
      ),
    );
    const add = (trx: Trx) => {
      for (const one of rows) trx.gather(countUsage, one);
    };
    await store.transact('add', add);
    await store.transact('again', add);
    await store.transact('another', (trx) => trx.gather(countUsage, row({ account_id: newId() })));
    const range = { accountId, from: 20_000, to: 20_001 };
    expect(await sumOf(store.read, range)).toMatchObject({ completed: 48, spend_minor: 240 });
    expect(await sumOf(store.read, { ...range, to: 20_000 })).toMatchObject({ completed: 24 });

    const whole = await sumBy(store.read, range, ['model', 'day'], { after: undefined, limit: 10 });
    expect(whole.map(({ model, day, completed }) => [model, day, completed])).toEqual(
      models.flatMap((model) => [20_001, 20_000].map((day) => [model, day, 8])),
    );
    const walked: typeof whole = [];
    for (let after: [string, number] | undefined; ; ) {
      const page = await sumBy(store.read, range, ['model', 'day'], { after, limit: 2 });
      const last = page.at(-1);
      if (last === undefined) break;
      walked.push(...page);
      after = [last.model as string, last.day as number];
    }
    expect(walked).toEqual(whole);
  });

  test('are gone with what was undone', async () => {
    const other = someone([]).account_id;
    const failing = store.transact('undone', (trx) => {
      trx.gather(countUsage, row({ account_id: other }));
      throw new Error('undone');
    });
    await expect(failing).rejects.toThrow('undone');
    expect(await sumOf(store.read, { accountId: other, from: 0, to: 90_000 })).toMatchObject({
      completed: 0,
    });
  });
});
