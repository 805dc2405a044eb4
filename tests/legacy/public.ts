import { allRoutes, newId } from '@aitbc/contracts';
import { beforeAll, expect, test } from 'vitest';
import { type Coordinator, passes } from '../coordinator.ts';
import { funded, minerOf } from './accounts.ts';
import { type Program, programOf } from './program.ts';

// What pages of the original read, its market, and what none of its programs may do.

export const publicReads = (given: () => Coordinator): void => {
  let coordinator: Coordinator;
  let cli: Program;
  beforeAll(async () => {
    coordinator = given();
    cli = (await funded(coordinator)).program;
  });
  const newMiner = (more?: Record<string, string>) => minerOf(coordinator, more);

  test('an explorer page reads blocks, transactions and addresses', async () => {
    const page = programOf(coordinator);
    await passes(async () => {
      const [transaction] = (await page.get('/api/explorer/transactions')).body.items;
      expect(transaction).toMatchObject({
        status: 'Succeeded',
        value: expect.stringMatching(/^[\d.]+$/),
        from: expect.any(String),
        block: expect.any(Number),
      });
      expect((await page.get(`/api/explorer/transactions/${transaction.hash}`)).body.value).toBe(
        transaction.value,
      );
    });
    const [block] = (await page.get('/api/v1/blocks?chain_id=aitbc&limit=5')).body.items;
    expect(block.txCount).toBe(block.tx_count);
    expect((await page.get(`/v1/explorer/blocks/${block.hash}`)).body).toEqual(block);
    expect((await page.get(`/api/explorer/blocks/${block.height}`)).body).toEqual(block);
    expect((await page.get('/v1/explorer/blocks')).body.items[0].txCount).toBeGreaterThan(0);
    for (const unknown of ['0'.repeat(64), `0x${'f'.repeat(64)}`, newId(), '999999999', 'does-not-exist'])
      for (const path of ['/v1/explorer/blocks', '/api/explorer/blocks'])
        expect([unknown, (await page.get(`${path}/${unknown}`)).status]).toEqual([unknown, 404]);
    const [address] = (await page.get('/api/explorer/addresses')).body.items;
    expect(address).toMatchObject({
      txCount: address.tx_count,
      lastActive: address.last_seen,
      recentTransactions: [],
    });
    const one = (await page.get(`/v1/explorer/addresses/${address.address}`)).body;
    expect(one.recentTransactions).toEqual(one.recent_transactions.map(({ hash }: { hash: string }) => hash));
  });

  test('the market: offer a card, find it, book it, review it', async () => {
    const { program: owner } = await newMiner({ 'x-miner-id': 'default' });
    const offered = await owner.post('/v1/marketplace/gpu/register', {
      gpu: {
        name: 'RTX 5090',
        memory_gb: 32,
        cuda_cores: 21_760,
        compute_capability: '12.0',
        price_per_hour: 0.5,
        description: null,
      },
    });
    expect(offered).toMatchObject({
      status: 201,
      body: { gpu_id: offered.body.id, model: 'RTX 5090', region: 'unknown' },
    });
    const { gpu_id } = offered.body;
    expect(
      (await programOf(coordinator).get('/v1/marketplace/gpu/list?model=RTX+5090')).body.items,
    ).toMatchObject([{ gpu_id, status: 'available', average_rating: null, total_reviews: 0 }]);
    expect((await programOf(coordinator).get('/v1/marketplace/stats')).body).toEqual({
      totalOffers: 1,
      openCapacity: 1,
      averagePrice: 0.5,
      activeBids: 0,
    });
    expect((await programOf(coordinator).get('/v1/marketplace/offers')).body).toMatchObject([
      { id: gpu_id, price: 0.5, status: 'open', gpu_model: 'RTX 5090' },
    ]);
    const booked = await cli.post(`/v1/marketplace/gpu/${gpu_id}/book`, {
      gpu_id,
      duration_hours: 1,
      job_id: null,
    });
    expect(booked).toMatchObject({ status: 201, body: { booking_id: booked.body.id, total_cost: 0.5 } });
    expect((await programOf(coordinator).get(`/v1/marketplace/gpu/${gpu_id}`)).body.status).toBe('booked');
    expect(
      (await cli.post(`/v1/marketplace/gpu/${gpu_id}/book`, { gpu_id: newId(), duration_hours: 1 })).status,
    ).toBe(422);
    expect(
      (await programOf(coordinator).get('/v1/marketplace/gpu/list?model=RTX+5090')).body.items,
    ).toMatchObject([{ gpu_id, status: 'booked' }]);
    await cli.post(`/v1/marketplace/gpu/${gpu_id}/release`);
    expect(
      (await cli.post(`/v1/marketplace/gpu/${gpu_id}/reviews`, { rating: 5, comment: null })).status,
    ).toBe(201);
    expect((await cli.get('/v1/marketplace/orders?status=completed')).body.items).toMatchObject([
      { order_id: booked.body.id, total_cost: 0.5 },
    ]);
  });

  test('no key of theirs is left in what anybody can read, nor in what the coordinator writes', async () => {
    const { key: minerKey, program } = await newMiner();
    const { key: otherKey } = await newMiner();
    const answers = [];
    for (const name of [minerKey, otherKey]) {
      answers.push(await program.post(`/v1/miners/register?miner_id=${name}`, { capabilities: {} }));
      answers.push(await program.post('/v1/miners/heartbeat', { miner_id: name }, { 'x-miner-id': name }));
      answers.push(await program.post(`/v1/miners/${name}/earnings`));
      answers.push(await program.get(`/v1/miners/${encodeURIComponent(name)}/jobs?miner_id=${name}`));
      answers.push(await program.put(`/v1/miners/${name}/capabilities`, {}));
    }
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const metrics = await (await fetch(`${coordinator.url}/metrics`)).text();
    const miners = (await programOf(coordinator).get('/v1/miners?limit=500')).text;
    const said = coordinator.said.map(({ line }) => line).join('\n');
    for (const text of [...answers.map((answer) => answer.text), metrics, miners, said])
      for (const secret of [minerKey, otherKey]) expect(text).not.toContain(secret);
    expect(metrics).toContain('/v1/miners/:miner_id/earnings');
  });

  test('who may call what: nobody without a key, and none with a key for something else', async () => {
    const clientKey = (await coordinator.newAccount(['client'])).key;
    const minerKey = (await coordinator.newAccount(['miner'])).key;
    const closed = allRoutes.filter(({ alias, who }) => alias !== undefined && !who.includes('public'));
    expect(closed.length).toBeGreaterThan(20);
    for (const { method, path, who, name } of closed) {
      const address = coordinator.url + path.replace(/:[a-z_]+/g, newId());
      const wrong = who.includes('client') ? minerKey : clientKey;
      const status = async (headers: Record<string, string>) =>
        (await fetch(address, { method, headers })).status;
      expect([name, await status({}), await status({ 'x-api-key': wrong })]).toEqual([name, 401, 403]);
    }
    const preflight = await fetch(`${coordinator.url}/v1/miners/x/capabilities`, {
      method: 'OPTIONS',
      headers: { origin: 'https://a.example', 'access-control-request-method': 'PUT' },
    });
    expect(preflight.headers.get('access-control-allow-methods')).toContain('PUT');
    expect(preflight.headers.get('access-control-allow-headers')).toContain('X-Miner-ID');
    expect((await fetch(`${coordinator.url}/v1/miners/poll`, { method: 'HEAD' })).status).toBe(405);
  });

  test('what is not offered says so, and does nothing', async () => {
    const answers = [
      await programOf(coordinator).post('/v1/users/login', { username: 'a', password: 'b' }),
      await programOf(coordinator).post('/v1/exchange/create-payment', { user_id: 'a', aitbc_amount: 1 }),
      await cli.post('/v1/marketplace/bids', { provider: 'a', capacity: 1, price: 1 }),
    ];
    for (const { status, body } of answers) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
      expect(body.error.message).toEqual(expect.any(String));
    }
  });
};
