import { newId, routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Coordinator, must, passes } from '../coordinator.ts';
import { funded, minerOf } from './accounts.ts';
import { type Program, programOf } from './program.ts';
import { areSigned } from './receipts.ts';

// Whole sessions of programs that were written for the original coordinator, as they run: calls in their order, with the
// headers and bodies that they send, read as they read the answers.

export const sessions = (given: () => Coordinator): void => {
  let coordinator: Coordinator;
  let accountId: string;
  let cli: Program;

  beforeAll(async () => {
    coordinator = given();
    // The command line has one key for everything.
    ({ id: accountId, program: cli } = await funded(coordinator));
  });

  const newMiner = (more?: Record<string, string>) => minerOf(coordinator, more);
  const taken = (program: Program) =>
    eventually(async () => {
      const answer = await program.post('/api/v1/miners/poll', { max_wait_seconds: 5 });
      return answer.status === 200 ? answer.body : undefined;
    });
  const stateOf = async (id: string) => (await cli.get(`/v1/jobs/${id}`)).body.state;

  test('a miner host with a model server: health, registration by its key, work, silence, result', async () => {
    const { key: minerKey, program } = await newMiner();
    const headers = { 'x-miner-id': minerKey };
    const health = await programOf(coordinator).get('/v1/health');
    expect(health.body).toMatchObject({ status: 'ok', env: 'test', db: 'ok', redis: 'ok' });
    expect((await programOf(coordinator).get('/api/health')).body.status).toBe('ok');
    expect((await program.post('/v1/miners/heartbeat', undefined, headers)).status).toBe(404);

    const registration = {
      capabilities: {
        gpu: { model: 'NVIDIA GeForce RTX 4060 Ti', memory_gb: 16_376, cuda_version: '535.104.05' },
        ollama: { available: true, models: ['host-model:latest'] },
        cpu: { cores: 8 },
        price: 0.001,
        region: null,
      },
      concurrency: 1,
      region: null,
    };
    const registered = await program.post('/v1/miners/register', registration, headers);
    expect(registered.status).toBe(200);
    expect(registered.body.session_token.slice(0, 10)).toHaveLength(10);
    const mine = must(
      await coordinator.anyone.call(routes.miners.me, { query: {}, headers: { 'x-api-key': minerKey } }),
    ).items[0];
    expect(mine).toMatchObject({
      name: 'default',
      gpus: [{ model: 'NVIDIA GeForce RTX 4060 Ti', vram_gb: 16, count: 1 }],
      cuda_version: null,
      models: ['host-model:latest'],
      price_per_job: 0.001,
    });

    const submitted = await cli.post('/v1/jobs', {
      payload: { type: 'inference', model: 'host-model:latest', prompt: 'Hi', max_tokens: null },
      constraints: { gpu: 'RTX 4060 Ti', min_vram_gb: 16, cuda: null },
      ttl_seconds: 900,
      payment_amount: 0.5,
      payment_currency: 'AITBC',
    });
    expect(submitted.body).toMatchObject({ payment_status: 'pending', payment_id: null });
    const work = await taken(programOf(coordinator, minerKey, headers));
    expect(work.job_id).toBe(submitted.body.job_id);
    const busy = { status: 'busy', inflight: 0, current_jobs: 0, metadata: { last_seen: 'now' } };
    for (let beat = 0; beat < 4; beat++)
      expect((await program.post('/v1/miners/heartbeat', busy, headers)).body).toEqual({ status: 'ok' });
    expect(await stateOf(work.job_id)).toBe('RUNNING');
    const answered = await program.post(
      `/v1/miners/${work.job_id}/result`,
      {
        result: { status: 'completed', output: 'Hello!', model: 'host-model:latest', aitbc_earned: 9_000 },
        metrics: { gpu_utilization: 80.5, gpu: 'RTX', duration: null },
      },
      headers,
    );
    expect(answered.body).toMatchObject({ status: 'ok', receipt: { price: 0.5, units: expect.any(Number) } });
    await passes(async () => expect(await stateOf(work.job_id)).toBe('COMPLETED'));

    // Its next job fails, and it says so in a result.
    const second = await cli.post('/v1/jobs', {
      payload: { type: 'inference', model: 'host-model:latest', prompt: 'Hi' },
      payment_amount: 0.5,
    });
    const failing = await taken(programOf(coordinator, minerKey, headers));
    const failed = await program.post(`/v1/miners/${failing.job_id}/result`, {
      result: { status: 'failed', error: 'model server away', price: 1 },
    });
    expect(failed.body).toEqual({ status: 'ok', receipt: null });
    expect((await cli.get(`/v1/jobs/${second.body.id}`)).body).toMatchObject({
      state: 'FAILED',
      error: 'MINER_FAILED: model server away',
    });
    await passes(async () =>
      expect((await cli.get(`/v1/jobs/${second.body.id}/payment`)).body.status).toBe('refunded'),
    );

    // One that says it in so many words.
    const third = await cli.post('/v1/jobs', {
      payload: { type: 'inference', model: 'host-model:latest', prompt: 'Hi' },
      payment_amount: 0.5,
    });
    await taken(programOf(coordinator, minerKey, headers));
    expect(
      (
        await program.post(`/v1/miners/${third.body.id}/fail`, {
          error_code: 'OOM',
          error_message: 'no memory',
          metrics: { a: 'b' },
        })
      ).body,
    ).toEqual({ status: 'ok' });
    expect((await cli.get(`/v1/jobs/${third.body.id}`)).body.error).toBe('OOM: no memory');
  });

  test('the command line of a client: submit, pay, look, cancel, refund, receipts', async () => {
    const payload = { type: 'training', epochs: 3 };
    const submitted = await cli.post('/v1/jobs', {
      payload,
      constraints: { gpu: 'no such card' },
      ttl_seconds: 900,
    });
    const jobId = submitted.body.job_id;
    const paid = await cli.post('/v1/payments', {
      job_id: jobId,
      amount: 2,
      currency: 'AITBC',
      payment_method: 'aitbc_token',
      escrow_timeout_seconds: null,
    });
    expect(paid).toMatchObject({
      status: 201,
      body: { payment_id: paid.body.id, payment_method: 'aitbc_token', refund_address: expect.any(String) },
    });
    expect((await cli.get(`/v1/jobs/${jobId}/payment`)).body).toMatchObject({ payment_id: paid.body.id });
    const refund = (body: object) => cli.post(`/v1/payments/${paid.body.id}/refund`, body);
    expect((await refund({ job_id: jobId, payment_id: newId(), reason: 'why not' })).status).toBe(422);
    expect((await refund({ job_id: newId(), payment_id: paid.body.id, reason: 'why not' })).status).toBe(422);
    expect(await refund({ job_id: jobId, payment_id: paid.body.id, reason: 'why not' })).toMatchObject({
      status: 200,
      body: { status: 'refunded', payment_id: paid.body.id },
    });
    // Both ids are allowed there too, and the state alone is against it.
    const release = (body: object) => cli.post(`/v1/payments/${paid.body.id}/release`, body);
    expect((await release({ job_id: jobId, payment_id: newId() })).status).toBe(422);
    const released = await release({ job_id: jobId, payment_id: paid.body.id, reason: null });
    expect([released.status, released.body.error.code]).toEqual([409, 'PAYMENT_ALREADY_RESOLVED']);
    const receipt = (await cli.get(`/v1/payments/${paid.body.id}/receipt`)).body;
    expect(receipt).toMatchObject({
      job_id: jobId,
      status: 'refunded',
      transaction_hash: receipt.claims.transfers.at(-1).hash,
    });
    await passes(async () => expect(await stateOf(jobId)).toBe('CANCELED'));
    expect((await cli.get('/v1/jobs?limit=10&status=canceled')).body.items[0].job_id).toBe(jobId);
    expect((await cli.get('/v1/payments/does-not-exist')).status).toBe(404);
  });

  test('the command line of a miner: register, poll by GET, results, earnings, capabilities, goodbye', async () => {
    const { id: owner, program } = await newMiner({ 'x-miner-id': 'rig-1' });
    const register = () =>
      program.post('/v1/miners/register', {
        capabilities: {
          models: ['cli-model'],
          gpus: [
            { name: 'A100', memory_mb: 81_920 },
            { name: 'A100', memory_mb: 81_920 },
            { name: 'unknown', memory_mb: 0 },
          ],
        },
        concurrency: 2,
      });
    await register();
    expect(
      await program.put('/v1/miners/rig-1/capabilities', {
        capabilities: { models: ['cli-model-2'], cuda_version: '12.4' },
      }),
    ).toMatchObject({ status: 200 });
    const listed = async () =>
      must(await coordinator.admin.call(routes.miners.list, { query: {} })).items.length;
    expect(await listed()).toBeGreaterThan(0);

    // A job in our words reaches it in the original's.
    const client = await coordinator.newAccount(['client']);
    const chat = must(
      await client.caller.call(routes.jobs.submit, {
        body: {
          job_type: 'llm_inference',
          parameters: { model: 'cli-model-2', messages: [{ role: 'user', content: 'Hi' }] },
          constraints: { cuda_version_min: '12.1' },
        },
      }),
    );
    const work = await eventually(async () => {
      const answer = await program.get('/v1/miners/poll');
      return answer.body.job_id === undefined ? undefined : answer.body;
    });
    expect(work).toEqual({
      job_id: chat.id,
      payload: { type: 'chat', model: 'cli-model-2', messages: [{ role: 'user', content: 'Hi' }] },
      constraints: {
        gpu: null,
        cuda: '12.1',
        min_vram_gb: null,
        models: ['cli-model-2'],
        region: null,
        max_price: null,
      },
    });
    await passes(async () =>
      expect((await program.get('/v1/miners/rig-1/jobs')).body.items).toMatchObject([{ job_id: chat.id }]),
    );
    // Another of the account's miners is not the one that has it.
    const other = await program.post(
      `/v1/miners/${chat.id}/result`,
      { result: 'x' },
      { 'x-miner-id': 'rig-2' },
    );
    expect(other.status).toBe(404);
    expect((await program.post(`/v1/miners/${chat.id}/result`, { result: 'Hello' })).status).toBe(200);
    expect(must(await client.caller.call(routes.jobs.get, { params: { job_id: chat.id } })).result).toEqual({
      output: 'Hello',
      text: 'Hello',
    });
    expect((await program.post('/v1/miners/rig-1/earnings')).body).toMatchObject({ items: [], total: 0 });

    // What it has in hand when it is taken off goes back at once.
    const held = must(
      await client.caller.call(routes.jobs.submit, {
        body: { job_type: 'llm_inference', parameters: { model: 'cli-model-2', prompt: 'Hi' } },
      }),
    );
    await eventually(async () => (await program.get('/v1/miners/poll')).body.job_id);
    expect((await program.remove('/v1/miners/rig-1')).body).toEqual({ status: 'ok' });
    expect((await program.post('/v1/miners/heartbeat')).status).toBe(404);
    await passes(async () =>
      expect(must(await client.caller.call(routes.jobs.get, { params: { job_id: held.id } })).status).toBe(
        'pending',
      ),
    );
    expect((await program.get('/v1/miners/poll')).status).toBe(404);
    const late = await program.post(`/v1/miners/${held.id}/result`, { result: 'late' }, { 'x-miner-id': '' });
    expect([late.status, late.body.error.code]).toEqual([409, 'STALE_LEASE']);
    await register();
    expect((await program.post('/v1/miners/heartbeat')).status).toBe(200);
    expect(owner).toBeDefined();
  });

  test('the Python client of receipts: reads one, and checks it with nothing of ours', async () => {
    const { program } = await newMiner({ 'x-miner-id': 'py' });
    await program.post('/v1/miners/register', { capabilities: { models: ['py-model'] } });
    const receipts = [];
    for (const payment_amount of [null, 0.00001, 1.5]) {
      const submitted = await cli.post('/v1/jobs', {
        payload: { type: 'inference', model: 'py-model', prompt: 'a secret prompt' },
        payment_amount,
      });
      await taken(program);
      await program.post(`/v1/miners/${submitted.body.id}/result`, { result: 'a secret answer: Ö' });
      const receipt = (await cli.get(`/v1/jobs/${submitted.body.id}/receipt`)).body;
      expect(receipt).toMatchObject({
        version: '1.0',
        job_id: submitted.body.id,
        client: accountId,
        status: 'COMPLETED',
        unit_type: 'gpu_seconds',
        price: payment_amount === 0.00001 ? '0.00001' : (payment_amount ?? 0),
      });
      expect(Number.isInteger(receipt.started_at) && Number.isInteger(receipt.completed_at)).toBe(true);
      receipts.push(receipt, receipt.payload, { ...receipt, price: 1_000 });
      expect(JSON.stringify(receipt)).not.toContain('secret');
      const { keys } = must(await coordinator.anyone.call(routes.jobs.jwks, {}));
      expect(keys.map(({ x }) => x)).toContain(receipt.signature.key_id);
      // The same bytes each time.
      expect((await cli.get(`/v1/jobs/${submitted.body.id}/receipts`)).body.items).toEqual([receipt]);
    }
    expect(areSigned(receipts)).toEqual([true, true, false, true, true, false, true, true, false]);
  });

  describe('the JavaScript client', () => {
    test('submits, reads, lists, and has a receipt checked', async () => {
      const { program } = await newMiner({ 'x-miner-id': 'js' });
      await program.post('/v1/miners/register', { capabilities: { models: ['js-model'] } });
      const submitted = await cli.post('/api/v1/jobs', {
        service_type: 'inference',
        model: 'js-model',
        parameters: { prompt: 'Hi', max_tokens: 5 },
        requirements: null,
      });
      expect(submitted.body).toMatchObject({
        status: 'queued',
        serviceType: 'llm_inference',
        model: 'js-model',
      });
      const work = await taken(program);
      expect(work.payload).toEqual({ type: 'inference', model: 'js-model', prompt: 'Hi', max_tokens: 5 });
      await program.post(`/v1/miners/${work.job_id}/result`, { result: { text: 'Hey' } });
      const { result, output } = (await cli.get(`/api/v1/jobs/${work.job_id}/result`)).body;
      expect([result.text, result.output, output]).toEqual(['Hey', 'Hey', 'Hey']);
      const page = (await cli.get('/api/v1/jobs?limit=1&offset=0')).body;
      expect(page.items).toMatchObject([{ id: work.job_id, status: 'completed' }]);
      const receipts = (await cli.get(`/api/v1/jobs/${work.job_id}/receipts?limit=10`)).body;
      expect(receipts.next_cursor).toBeNull();
      const [receipt] = receipts.items;
      const form = (payload: object) => ({
        receipt_id: receipt.receiptId,
        job_id: receipt.jobId,
        miner: receipt.miner,
        coordinator: receipt.coordinator,
        issued_at: receipt.issuedAt,
        status: 'Attested',
        payload,
      });
      const check = async (body: object) =>
        (await programOf(coordinator).post('/api/v1/receipts/verify', body)).body;
      expect(await check(form(receipt.payload))).toMatchObject({
        valid: true,
        reason: null,
        claims: { job_id: work.job_id },
      });
      expect(await check(form({ ...receipt.payload, price: 7 }))).toEqual({
        valid: false,
        claims: null,
        reason: 'price is not what was signed',
      });
      expect(await check({ ...form(receipt.payload), job_id: newId() })).toMatchObject({ valid: false });
      const { signature, ...rest } = receipt.payload;
      const forged = { ...signature, sig: Buffer.alloc(64).toString('base64url') };
      expect(await check(form({ ...rest, signature: forged }))).toMatchObject({
        valid: false,
        reason: 'the signature does not match',
      });

      const explored = (
        await programOf(coordinator).get(`/v1/explorer/receipts?job_id=${work.job_id}&status=Attested`)
      ).body;
      expect(explored).toMatchObject({
        jobId: work.job_id,
        items: [
          { receiptId: receipt.receiptId, jobId: work.job_id, miner: receipt.miner, status: 'Attested' },
        ],
      });
      expect((await programOf(coordinator).get('/api/explorer/receipts')).body).toMatchObject({
        jobId: 'all',
      });
      expect((await programOf(coordinator).get('/v1/explorer/receipts?job_id=does-not-exist')).status).toBe(
        404,
      );
    });
  });
};
