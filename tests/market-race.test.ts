import { createClient, newId, routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Coordinator, must, passes, refusal, STARTING_MS, startCoordinator } from './coordinator.ts';

// Everybody wants the same GPUs in the same breath, through two doors.

const { gateway, market, payments } = routes;
const CLIENTS = 200;
const GPUS = 20;
const FUNDS = 100;
const PRICE = 3;
const HOURS = 2;

let coordinator: Coordinator;
beforeAll(async () => {
  coordinator = await startCoordinator({ gateways: 2 });
}, STARTING_MS);
afterAll(() => coordinator?.stop());

/** A few at a time: what stands before the race is no race. */
const times = async <T>(count: number, make: () => Promise<T>): Promise<T[]> => {
  const made: T[] = [];
  while (made.length < count)
    made.push(...(await Promise.all(Array.from({ length: Math.min(20, count - made.length) }, make))));
  return made;
};

test(`${CLIENTS} clients, ${GPUS} GPUs, two gateways, one moment: one winner a window, losers keep everything`, {
  timeout: 180_000,
}, async () => {
  const { urls } = coordinator.stack;
  expect(urls).toHaveLength(2);
  const clients = await times(CLIENTS, async () => {
    const { id, key } = await coordinator.newAccount(['client']);
    await passes(async () => {
      must(
        await coordinator.admin.call(payments.credit, {
          params: { account_id: id },
          body: { amount: FUNDS, reason: 'to rent with' },
          idempotencyKey: id,
        }),
      );
    });
    return { id, key };
  });
  const body = { model: 'RTX 4090', memory_gb: 24, region: 'eu', price_per_hour: PRICE };
  const owner = await coordinator.newAccount(['miner']);
  const gpus = await times(GPUS, async () => must(await owner.caller.call(market.register, { body })));

  // Everybody asks for now and for tomorrow; through the second gateway for an hour earlier, which overlaps.
  const tomorrow = Date.now() + 86_400_000;
  const startingAt = (ms: number) => ({ start_time: new Date(ms).toISOString() });
  const racers = clients.map((client, index) => {
    // Two in a row want the same GPU, and the doors take turns in being asked first.
    const gpu = Math.floor(index / 2);
    const door = (index + gpu) % 2;
    return { client, gpu, door, caller: createClient(urls[door] as string, { 'x-api-key': client.key }) };
  });
  // Both gateways know everybody and are warm.
  for (const racer of racers) must(await racer.caller.call(gateway.me, {}));
  const attempts = await Promise.all(
    racers.flatMap(({ client, gpu, door, caller }) =>
      [{}, startingAt(tomorrow - door * 3_600_000)].map(async (when, window) => {
        const wanted = gpus[(gpu + window) % GPUS] as (typeof gpus)[number];
        const reply = await caller.call(market.book, {
          params: { gpu_id: wanted.id },
          body: { duration_hours: HOURS, ...when },
          idempotencyKey: newId(),
        });
        return { client, door, window, gpu: wanted, reply };
      }),
    ),
  );

  const won = attempts.filter(({ reply }) => reply.ok);
  const lost = attempts.filter(({ reply }) => !reply.ok);
  expect(new Set(lost.map(({ reply }) => refusal(reply)))).toEqual(new Set(['409 GPU_NOT_AVAILABLE']));
  for (const gpu of gpus)
    expect(
      won
        .filter((attempt) => attempt.gpu === gpu)
        .map(({ window }) => window)
        .sort(),
    ).toEqual([0, 1]);
  // Held for all of them, and none that nobody was told of.
  const orders = await eventually(async () => {
    const { items } = must(await coordinator.admin.call(market.orders, { query: { limit: 500 } }));
    expect(items.filter(({ status }) => status !== 'active')).toEqual([]);
    return items;
  });
  expect(orders.map(({ id }) => id).sort()).toEqual(won.map(({ reply }) => must(reply).id).sort());
  for (const gpu of gpus) {
    const [first, next] = orders
      .filter(({ gpu_id }) => gpu_id === gpu.id)
      .sort((a, b) => Date.parse(a.start_time) - Date.parse(b.start_time));
    expect(Date.parse(first?.end_time as string)).toBeLessThanOrEqual(Date.parse(next?.start_time as string));
  }

  for (const { id, key } of clients) {
    const held = HOURS * PRICE * won.filter(({ client }) => client.id === id).length;
    const balance = must(
      await createClient(coordinator.url, { 'x-api-key': key }).call(payments.balance, {
        params: { user_id: id },
      }),
    );
    expect(balance).toMatchObject({ balance: FUNDS, available: FUNDS - held, held });
  }
  console.log(
    `${attempts.length} bookings at once: ${won.length} won ` +
      `(${won.filter(({ door }) => door === 1).length} through the second gateway), ${lost.length} refused`,
  );
});
