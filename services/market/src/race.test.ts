import { routes } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Scene, startScene } from './market.fixture.ts';

const { market } = routes;
const CLIENTS = 200;
const GPUS = 20;
const MONEY = 100;

let scene: Scene;
beforeAll(async () => {
  scene = await startScene();
});
afterAll(() => scene.stop());

it(`${CLIENTS} clients, ${GPUS} GPUs, one moment: one winner a window, clean losers with their money untouched`, async () => {
  const owner = someone(['miner']);
  const gpus = await Promise.all(
    Array.from({ length: GPUS }, () => scene.offer(owner, { price_per_hour: 10 })),
  );
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => scene.client(MONEY)));
  const tomorrow = Date.now() + 86_400_000;

  // Three windows: now; tomorrow; and one that overlaps tomorrow's by an hour on either side, asked for in the same breath.
  const windows = [
    { duration_hours: 2 },
    { duration_hours: 2, start_time: new Date(tomorrow).toISOString() },
    { duration_hours: 4, start_time: new Date(tomorrow - 3_600_000).toISOString() },
  ];
  const startedAt = performance.now();
  const attempts = await Promise.all(
    clients.flatMap((client, index) =>
      windows.map(async (body, window) => {
        const gpu = gpus[(index + window) % GPUS] as (typeof gpus)[number];
        const reply = await scene.call(client).call(market.book, { params: { gpu_id: gpu.id }, body });
        return { client, gpu, window, reply };
      }),
    ),
  );
  const tookMs = performance.now() - startedAt;

  const won = attempts.filter(({ reply }) => reply.ok);
  const lost = attempts.filter(({ reply }) => !reply.ok);
  for (const { reply } of lost) {
    expect(reply.status).toBe(409);
    expect(reply.body).toMatchObject({ error: { code: 'GPU_NOT_AVAILABLE' } });
  }
  for (const gpu of gpus) {
    const winners = won.filter((attempt) => attempt.gpu === gpu);
    expect(winners.filter(({ window }) => window === 0)).toHaveLength(1);
    expect(winners.filter(({ window }) => window !== 0)).toHaveLength(1);
  }
  expect(won).toHaveLength(2 * GPUS);

  const idsWon = won.map(({ reply }) => (reply.ok ? reply.body.id : ''));
  await eventually(async () => {
    const orders = await scene
      .call(someone(['admin']))
      .call(market.orders, { query: { status: 'active', limit: 500 } });
    return orders.ok && orders.body.items.length === won.length;
  });
  // Money was asked for the winners alone, and for each of them once.
  expect((await scene.payments.holds()).map((hold) => hold.order_id).sort()).toEqual([...idsWon].sort());
  for (const client of clients) {
    const owed = won
      .filter((attempt) => attempt.client === client)
      .reduce((sum, { window }) => sum + 10 * (windows[window]?.duration_hours ?? 0), 0);
    expect(await scene.payments.balance(client)).toBe(MONEY - owed);
  }
  console.info(
    `${attempts.length} bookings at once: ${won.length} won, ${lost.length} refused, ${Math.round(tookMs)} ms`,
  );
}, 120_000);
