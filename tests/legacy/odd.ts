import { newId } from '@aitbc/contracts';
import { beforeAll, expect, test } from 'vitest';
import type { Coordinator } from '../coordinator.ts';
import { minerOf } from './accounts.ts';
import { type Answer, type Program, programOf } from './program.ts';

// Bodies as those programs send them, and as nobody should: taken where they mean something, else a clear refusal.

export const oddBodies = (given: () => Coordinator): void => {
  let client: Program;
  let miner: Program;
  let waiting: Program;
  beforeAll(async () => {
    const coordinator = given();
    client = programOf(coordinator, (await coordinator.newAccount(['client'])).key);
    const account = await minerOf(coordinator);
    // The one is what each registration makes of it; the other waits for work that nobody has.
    miner = programOf(coordinator, account.key, { 'x-miner-id': 'odd' });
    waiting = programOf(coordinator, account.key, { 'x-miner-id': 'waiting' });
    await waiting.post('/v1/miners/register', { capabilities: { models: ['nobody-asks-for-it'] } });
  });

  /** The status, and of a refusal where it is. */
  const told = ({ status, body }: Answer) =>
    status < 400 ? status : [status, body.error.details.issues?.[0]?.path ?? body.error.code];

  test.each<[unknown, unknown]>([
    [undefined, 200],
    [{}, 200],
    [{ capabilities: null, concurrency: null, region: null }, 200],
    [{ capabilities: {}, concurrency: 0, region: ' ', more: [1] }, 200],
    [
      {
        capabilities: {
          gpu: 'A100',
          gpus: { a: 1 },
          models: 'm',
          ollama: [],
          price: 'free',
          cuda_version: 12.4,
        },
      },
      200,
    ],
    [{ capabilities: { gpu: { model: 7, memory_gb: -1 }, gpus: [null, 3, {}], models: [{}, 7, ''] } }, 200],
    [{ capabilities: [] }, [422, 'capabilities']],
    [{ capabilities: 'gpu' }, [422, 'capabilities']],
    [{ concurrency: '2' }, [422, 'concurrency']],
    [{ concurrency: -1 }, [422, 'concurrency']],
    [{ concurrency: 65 }, [422, 'concurrency']],
    [{ region: 7 }, [422, 'region']],
    [{ capabilities: { price: -1 } }, [422, 'price_per_job']],
    [[], [422, '']],
    ['{"capabilities":{"a":1,"a":2}}', [422, 'capabilities.a']],
    ['{"capabilities":{"__proto__":{}}}', [422, 'capabilities.__proto__']],
    ['{', [400, 'INVALID_JSON']],
  ])('a registration of %j', async (body, answer) =>
    expect(told(await miner.post('/v1/miners/register', body))).toEqual(answer),
  );

  test('a poll with no body, or too much of one, ends before their HTTP client does', async () => {
    for (const [body, answer] of [
      [{ max_wait_seconds: 0, more: null }, 204],
      [{ max_wait_seconds: -5 }, 204],
      [{ max_wait_seconds: 'long' }, [422, 'max_wait_seconds']],
      [[], [422, '']],
    ] as const)
      expect([body, told(await waiting.post('/v1/miners/poll', body))]).toEqual([body, answer]);
    for (const body of [undefined, { max_wait_seconds: 1e9 }]) {
      const askedAt = performance.now();
      expect(told(await waiting.post('/v1/miners/poll', body))).toBe(204);
      expect(performance.now() - askedAt).toBeLessThan(5_000);
    }
  });

  test('a heartbeat takes anything', async () => {
    for (const body of [undefined, {}, [], null, 7, 'null', '"busy"', { status: 'active', inflight: 'none' }])
      expect([body, told(await miner.post('/v1/miners/heartbeat', body))]).toEqual([body, 200]);
    expect(told(await miner.post('/v1/miners/heartbeat', 'busy'))).toEqual([400, 'INVALID_JSON']);
  });

  test('a result, a failure: of no job that is anybody’s, and of the wrong kind', async () => {
    for (const [path, body, answer] of [
      [`${newId()}/result`, undefined, [404, 'NOT_FOUND']],
      [`${newId()}/fail`, undefined, [404, 'NOT_FOUND']],
      ['does-not-exist/result', { result: {} }, [404, 'NOT_FOUND']],
      [`${newId()}/result`, { result: ['a'] }, [422, 'result']],
      [`${newId()}/result`, { result: 7 }, [422, 'result']],
      [`${newId()}/result`, { result: {}, metrics: 'none' }, [422, 'metrics']],
      [`${newId()}/result`, { result: {}, success: 'yes' }, [422, 'success']],
      [`${newId()}/fail`, { error_code: 7 }, [422, 'error_code']],
      [`${newId()}/fail`, { error_code: null, error_message: null, metrics: null }, [404, 'NOT_FOUND']],
    ] as const)
      expect([path, body, told(await miner.post(`/v1/miners/${path}`, body))]).toEqual([path, body, answer]);
  });

  test('what it can do, taken off, earnings: with no body, or too much of one', async () => {
    for (const body of [undefined, {}, { capabilities: null }, { capabilities: { gpu: null }, x: 1 }])
      expect(told(await miner.put('/v1/miners/odd/capabilities', body))).toBe(200);
    expect(told(await miner.put('/v1/miners/odd/capabilities', { capabilities: 1 }))).toEqual([
      422,
      'capabilities',
    ]);
    expect(told(await miner.put('/v1/miners/unknown/capabilities', {}))).toEqual([
      404,
      'MINER_NOT_REGISTERED',
    ]);
    for (const what of ['earnings', 'jobs'])
      for (const body of [undefined, {}, { miner_id: null }])
        expect([what, told(await miner.post(`/v1/miners/odd/${what}`, body))]).toEqual([what, 200]);
    expect(told(await miner.remove('/v1/miners/unknown'))).toEqual([404, 'MINER_NOT_REGISTERED']);
  });

  test.each<[unknown, unknown]>([
    [{ payload: 'text' }, [422, 'payload']],
    [{ payload: [] }, [422, 'payload']],
    [{ payload: null }, [422, 'payload']],
    [{ payload: {}, constraints: [] }, [422, 'constraints']],
    [{ payload: {}, ttl_seconds: '900' }, [422, 'ttl_seconds']],
    [{ payload: {}, payment_amount: '1' }, [422, 'payment_amount']],
    [{ payload: {}, payment_currency: 7 }, [422, 'payment_currency']],
    [{ service_type: 7 }, [422, 'service_type']],
    [{ service_type: 'generate', parameters: 'p' }, [422, 'parameters']],
    ['{"payload":{"n":9007199254740993}}', [422, 'payload.n']],
    ['[', [400, 'INVALID_JSON']],
  ])('a job of %j', async (body, answer) =>
    expect(told(await client.post('/v1/jobs', body))).toEqual(answer),
  );

  test('a cancel with a body of any kind, a receipt that is none', async () => {
    for (const body of [undefined, {}, { job_id: 7 }, []]) {
      const { id } = (await client.post('/v1/jobs', { payload: {}, constraints: { gpu: 'no such card' } }))
        .body;
      expect(told(await client.post(`/v1/jobs/${id}/cancel`, body))).toBe(200);
    }
    for (const [body, answer] of [
      [{}, [422, 'proof']],
      [{ payload: 7 }, [422, 'proof']],
      [{ payload: {} }, 200],
      [{ payload: {}, receipt_id: 7 }, 200],
      [{ payload: { receipt_id: newId() }, job_id: null }, 200],
    ] as const) {
      const checked = await client.post('/v1/receipts/verify', body);
      expect([body, told(checked)]).toEqual([body, answer]);
      if (answer === 200) expect(checked.body).toMatchObject({ valid: false, reason: expect.any(String) });
    }
  });
};
