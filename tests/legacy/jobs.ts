import { newId, routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Coordinator, must } from '../coordinator.ts';
import { type Program, programOf } from './program.ts';

// What programs of the original coordinator say about jobs, through the whole stack: each row of its contract.

export const jobRows = (given: () => Coordinator): void => {
  let coordinator: Coordinator;
  let client: Program;
  let stranger: Program;
  let key: string;
  let minerKey: string;
  let miner: Program;

  beforeAll(async () => {
    coordinator = given();
    const account = await coordinator.newAccount(['client', 'miner']);
    key = account.key;
    client = programOf(coordinator, key);
    stranger = programOf(coordinator, (await coordinator.newAccount(['client', 'miner'])).key);
    minerKey = (await coordinator.newAccount(['miner'])).key;
    miner = programOf(coordinator, minerKey, { 'x-miner-id': minerKey });
  });

  const INFERENCE = {
    type: 'inference',
    model: 'llama3.2:latest',
    prompt: 'Why is the sky blue?',
    max_tokens: null,
    options: { top_p: 0.9 },
  };
  const NO_CONSTRAINTS = {
    gpu: null,
    cuda: null,
    min_vram_gb: null,
    models: null,
    region: null,
    max_price: null,
  };

  const submit = async (payload: object = INFERENCE, more: object = {}, who = client) => {
    const answer = await who.post('/api/v1/jobs', { payload, ...more });
    expect([answer.status, answer.body.error]).toEqual([201, null]);
    return answer.body.job_id as string;
  };
  const register = (who: Program, capabilities: object, more: object = {}) =>
    who.post('/api/v1/miners/register', { capabilities, ...more });
  const take = (who: Program) =>
    eventually(async () => {
      const answer = await who.post('/api/v1/miners/poll', { max_wait_seconds: 2 });
      return answer.status === 200 ? answer.body : undefined;
    });
  const native = async (jobId: string) =>
    must(
      await coordinator.anyone.call(routes.jobs.get, {
        params: { job_id: jobId },
        headers: { 'x-api-key': key },
      }),
    );

  describe('a client submits', () => {
    test('anything as a payload, with nothing or null beside it', async () => {
      for (const body of [
        { payload: { type: 'training' } },
        { payload: {}, constraints: null, ttl_seconds: null, payment_amount: null, payment_currency: null },
        { payload: INFERENCE, ttl_seconds: 0, payment_amount: 0, colour: 'red' },
        { payload: INFERENCE, constraints: { ...NO_CONSTRAINTS, min_vram_gb: 900, unheard_of: 1 } },
      ]) {
        const answer = await client.post('/v1/jobs', body);
        expect(answer).toMatchObject({
          status: 201,
          body: { state: 'QUEUED', status: 'queued', assigned_miner_id: null, payment_id: null, error: null },
        });
        expect(answer.body.id).toBe(answer.body.job_id);
        expect('result' in answer.body).toBe(false);
        await client.remove(`/v1/jobs/${answer.body.id}`);
      }
    });

    test.each([
      [INFERENCE, 'llm_inference', { model: 'llama3.2:latest', prompt: 'Why is the sky blue?' }],
      [
        { type: 'chat', model: 'm', prompt: 'Hi', system_prompt: 'Be short', temperature: 0.1 },
        'llm_inference',
        {
          model: 'm',
          messages: [
            { role: 'system', content: 'Be short' },
            { role: 'user', content: 'Hi' },
          ],
          temperature: 0.1,
        },
      ],
      [
        { type: 'generate', prompt: 'no model' },
        'custom',
        { input: { type: 'generate', prompt: 'no model' } },
      ],
      [
        { type: 'inference', model: 'm', prompt: 'Hi', temperature: 90 },
        'custom',
        { input: { type: 'inference', model: 'm', prompt: 'Hi', temperature: 90 } },
      ],
      [{ type: 'training', data: null }, 'custom', { input: { type: 'training', data: null } }],
    ])('%o becomes %s', async (payload, job_type, parameters) => {
      const id = await submit(payload, { constraints: { gpu: 'RTX 9', min_vram_gb: 1_000 } });
      expect(await native(id)).toMatchObject({
        job_type,
        parameters,
        constraints: { gpu_model: 'RTX 9', min_vram_gb: 1_000 },
      });
      await client.remove(`/v1/jobs/${id}`);
    });

    test('as the JavaScript client says it', async () => {
      const answer = await client.post('/v1/jobs', {
        service_type: 'generate',
        model: 'm',
        parameters: { prompt: 'Hi' },
        requirements: { min_vram_gb: 1_000 },
      });
      expect(answer).toMatchObject({ status: 201, body: { status: 'queued', model: 'm' } });
      expect(await native(answer.body.id)).toMatchObject({
        parameters: { model: 'm', prompt: 'Hi' },
        constraints: { min_vram_gb: 1_000 },
      });
      await client.post(`/v1/jobs/${answer.body.id}/cancel`);
    });

    test('and hears what is wrong with what is used', async () => {
      for (const [body, path] of [
        [undefined, 'payload'],
        [{ payload: {}, ttl_seconds: 86_401 }, 'ttl_seconds'],
        [{ payload: {}, payment_amount: -1 }, 'payment_amount'],
        [{ payload: {}, payment_amount: 1, payment_currency: 'EUR' }, 'payment_currency'],
        [{ payload: {}, constraints: { min_vram_gb: 'much' } }, 'constraints.min_vram_gb'],
      ] as const) {
        const answer = await client.post('/v1/jobs', body);
        expect([answer.status, answer.body.error.details.issues?.[0]?.path]).toEqual([422, path]);
      }
    });
  });

  describe('a client reads', () => {
    test('what is not its own, or cannot be, as if it did not exist', async () => {
      const id = await submit({ type: 'x' }, { constraints: { gpu: 'no such card' } });
      for (const path of [
        `/v1/jobs/${id}`,
        `/v1/jobs/${newId()}`,
        '/v1/jobs/0123456789abcdef0123456789abcdef',
        '/v1/jobs/does-not-exist',
      ])
        for (const more of ['', '/status', '/result', '/receipt', '/receipts'])
          expect([path + more, (await stranger.get(path + more)).status]).toEqual([path + more, 404]);
      expect((await stranger.remove(`/v1/jobs/${id}`)).status).toBe(404);
      expect((await stranger.post(`/v1/jobs/${id}/cancel`)).status).toBe(404);
      expect((await programOf(coordinator).get(`/v1/jobs/${id}`)).status).toBe(401);
      await client.remove(`/v1/jobs/${id}`);
    });

    test('where a job stands, until it cancels it', async () => {
      const id = await submit({ type: 'x' }, { constraints: { gpu: 'no such card' } });
      expect(await client.get(`/v1/jobs/${id}/status?x=1`)).toMatchObject({
        status: 200,
        body: { id, job_id: id, status: 'queued', state: 'QUEUED', progress: 0 },
      });
      const early = await client.get(`/v1/jobs/${id}/result`);
      expect([early.status, early.body.error.code]).toEqual([425, 'RESULT_NOT_READY']);
      expect((await client.get(`/v1/jobs/${id}/receipt`)).status).toBe(404);
      expect((await client.get(`/v1/jobs/${id}/receipts?limit=5&cursor=`)).body).toEqual({
        jobId: id,
        items: [],
        next_cursor: null,
      });
      const cancelled = await client.post(`/v1/jobs/${id}/cancel`);
      expect(cancelled).toMatchObject({ status: 200, body: { state: 'CANCELED', status: 'canceled' } });
      expect((await client.remove(`/v1/jobs/${id}`)).body.error.code).toBe('JOB_ALREADY_ENDED');
      const late = await client.get(`/v1/jobs/${id}/result`);
      expect([late.status, late.body.error.code]).toEqual([409, 'JOB_NOT_COMPLETED']);
    });

    test('its list, filtered in any spelling', async () => {
      const reader = programOf(coordinator, (await coordinator.newAccount(['client'])).key);
      const ids: string[] = [];
      for (const payload of [INFERENCE, { type: 'training' }, INFERENCE])
        ids.unshift(await submit(payload, { constraints: { gpu: 'no such card' } }, reader));
      await reader.remove(`/v1/jobs/${ids[0]}`);
      const list = async (query: string, path = '/v1/jobs') => {
        const answer = await reader.get(`${path}?${query}`);
        expect([query, answer.status]).toEqual([query, 200]);
        return { ...answer.body, items: answer.body.items.map((item: { id: string }) => item.id) };
      };
      expect(await list('')).toEqual({
        items: ids,
        total: 3,
        limit: 50,
        offset: 0,
        next_offset: null,
        next_cursor: null,
      });
      expect((await list('', '/v1/jobs/history')).items).toEqual(ids);
      expect(await list('limit=1&offset=1')).toMatchObject({
        items: [ids[1]],
        total: 3,
        limit: 1,
        offset: 1,
      });
      const first = await list('limit=2');
      expect((await list(`limit=2&cursor=${first.next_cursor}`)).items).toEqual([ids[2]]);
      for (const status of ['CANCELED', 'cancelled', 'canceled', 'Cancelled'])
        expect((await list(`status=${status}`)).items).toEqual([ids[0]]);
      for (const status of ['pending', 'QUEUED', 'queued'])
        expect((await list(`status=${status}`)).items).toEqual(ids.slice(1));
      expect((await list('type=training')).items).toEqual([ids[1]]);
      expect((await list('job_type=llm_inference')).items).toEqual([ids[0], ids[2]]);
      expect((await list('service_type=custom')).items).toEqual([ids[1]]);
      expect((await list('service_type=ocr')).items).toEqual([]);
      expect((await list('job_type=inference&status=')).items).toEqual([ids[0], ids[2]]);
      expect((await list('from_time=2020-01-01T00:00:00&to_time=2020-02-01T00:00:00')).items).toEqual([]);
      expect((await list('from_time=2020-01-01')).items).toEqual(ids);
      expect((await reader.get('/v1/jobs?status=odd')).status).toBe(422);
      expect((await reader.get('/v1/jobs?from_time=soon')).status).toBe(422);
      for (const id of ids.slice(1)) await reader.remove(`/v1/jobs/${id}`);
    });
  });

  describe('a miner', () => {
    test('that is called by its key is called default, and the key stands nowhere', async () => {
      expect((await miner.post('/v1/miners/heartbeat')).status).toBe(404);
      expect((await miner.post('/v1/miners/poll', {})).status).toBe(404);
      expect((await programOf(coordinator).post('/v1/miners/poll', {})).status).toBe(401);
      const answer = await register(miner, { models: ['only-mine'] });
      expect([answer.status, answer.body.status, typeof answer.body.session_token]).toEqual([
        200,
        'ok',
        'string',
      ]);
      expect(answer.text).not.toContain(minerKey);
      expect((await miner.post(`/v1/miners/${minerKey}/earnings?api_key=${minerKey}`)).body).toMatchObject({
        items: [],
        total: 0,
      });
      expect((await miner.get(`/v1/miners/default/jobs`)).body).toMatchObject({ items: [], total: 0 });
      const queried = programOf(coordinator, minerKey);
      expect((await queried.post(`/v1/miners/heartbeat?miner_id=${minerKey}`)).body).toEqual({
        status: 'ok',
      });
      // Without a name the key's last miner speaks.
      for (const body of [
        undefined,
        {},
        { inflight: 0, current_jobs: 0, status: 'active', miner_id: minerKey },
      ])
        expect((await queried.post('/v1/miners/heartbeat', body)).body).toEqual({ status: 'ok' });
      const mine = must(
        await coordinator.anyone.call(routes.miners.me, { query: {}, headers: { 'x-api-key': minerKey } }),
      );
      expect(mine.items).toMatchObject([
        { name: 'default', models: ['only-mine'], capabilities: ['llm_inference', 'custom'], concurrency: 1 },
      ]);
      expect(JSON.stringify(mine)).not.toContain(minerKey);
    });

    test('gets a payload byte for byte: number forms, the order of names, escapes, blanks', async () => {
      const written =
        '{ "steps":1.0, "2":"b", "1":"\\u00e4/\\/", "e":1E+2, "zero":-0.0, "input":{"input":[ ]} }';
      for (const [payload, isNative] of [
        [`{"type":"inference","model":"only-mine","prompt":"Hi","more":${written}}`, false],
        [written, false],
        [written, true],
      ] as const) {
        const body = isNative
          ? `{"job_type":"custom","parameters":{"input":${payload}},"constraints":{"region":"only-here"}}`
          : `{"ttl_seconds":0,"payload": ${payload} ,"constraints":{"region":"only-here"}}`;
        const answer = await client.post(isNative ? '/v1/client/jobs' : '/v1/jobs', body);
        expect(answer.status).toBe(201);
        await register(miner, { models: ['only-mine'] }, { region: 'only-here' });
        const { text } = await eventually(async () => {
          const polled = await miner.post('/v1/miners/poll', { max_wait_seconds: 2 });
          return polled.status === 200 ? polled : undefined;
        });
        // What our own clients send is JSON that means the same.
        const means = JSON.stringify(JSON.parse(payload));
        expect(text).toContain(
          `{"job_id":"${answer.body.id}","payload":${isNative ? means : payload},"constraints":{`,
        );
        const { parameters } = await native(answer.body.id);
        expect(JSON.stringify(parameters)).toBe(
          payload === written ? `{"input":${means}}` : '{"model":"only-mine","prompt":"Hi"}',
        );
        expect((await miner.post(`/v1/miners/${answer.body.id}/fail`)).body).toEqual({ status: 'ok' });
        expect((await native(answer.body.id)).error).toMatchObject({ code: 'MINER_FAILED' });
      }
    });

    test('gets a payload back as it was sent, and nothing as the client understands it', async () => {
      expect((await miner.post('/v1/miners/poll', { max_wait_seconds: 0 })).status).toBe(204);
      // Their HTTP client gives up after 5 s.
      const askedAt = performance.now();
      expect(await miner.get('/v1/miners/poll')).toMatchObject({ status: 200, body: {} });
      expect(performance.now() - askedAt).toBeGreaterThan(3_000);
      expect(performance.now() - askedAt).toBeLessThan(5_000);
      const payload = { ...INFERENCE, model: 'only-mine', more: [{ a: null }, 'ä'] };
      const id = await submit(payload, { constraints: { models: ['only-mine'], max_price: 3 } });
      const work = await take(miner);
      expect(work).toEqual({
        job_id: id,
        payload,
        constraints: { ...NO_CONSTRAINTS, models: ['only-mine'], max_price: 3 },
      });
      // A stranger's word is worth nothing, a second one of the same counts once.
      const result = {
        result: { output: 'Blue.', model: 'only-mine' },
        metrics: { duration: 1.5, gpu: 'RTX' },
      };
      expect((await stranger.post(`/v1/miners/${id}/result`, result)).status).toBe(404);
      const accepted = await miner.post(`/v1/miners/${id}/result`, result);
      expect(accepted).toMatchObject({ status: 200, body: { status: 'ok', receipt: { job_id: id } } });
      expect((await miner.post(`/v1/miners/${id}/result`, result)).body).toEqual(accepted.body);
      const other = await miner.post(`/v1/miners/${id}/result`, { result: { output: 'Green.' } });
      expect([other.status, other.body.error.code]).toEqual([409, 'RESULT_CONFLICT']);
      expect((await stranger.post(`/v1/miners/${id}/result`, result)).status).toBe(404);

      const job = await client.get(`/v1/jobs/${id}`);
      expect(job.body).toMatchObject({
        state: 'COMPLETED',
        status: 'completed',
        result: { output: 'Blue.', text: 'Blue.', model: 'only-mine' },
      });
      const read = await client.get(`/v1/jobs/${id}/result`);
      expect(read.body).toMatchObject({
        id,
        output: 'Blue.',
        result: { output: 'Blue.' },
        receipt: accepted.body.receipt,
      });
      const whole = await native(id);
      expect(whole).toMatchObject({ result: { text: 'Blue.' }, metrics: { reported: { duration: 1.5 } } });
      expect((await client.get(`/v1/jobs/${id}/receipts`)).body.items).toEqual([accepted.body.receipt]);
      expect((await client.get(`/v1/jobs/${id}/receipt`)).body).toEqual(accepted.body.receipt);
    });
  });
};
