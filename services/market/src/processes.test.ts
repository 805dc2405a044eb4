import { loadConfig, type Running } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import {
  callerOf,
  eventually,
  hasPostgres,
  openPeers,
  type PostgresServer,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
  startPostgres,
} from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { configShape } from './config.ts';
import { startMarket } from './service.ts';

const { market } = routes;
const GPUS = 8;

let server: PostgresServer;
const running: Running[] = [];
beforeAll(async () => {
  if (hasPostgres) server = await startPostgres();
}, 60_000);
afterAll(async () => {
  await Promise.all(running.map((service) => service.stop()));
  await server?.stop();
});

test.skipIf(!hasPostgres)(
  'two processes: one wins a window, and the answer of payments wakes who waits, wherever it arrives',
  async () => {
    const redisUrl = await scratchRedis();
    const env = {
      ...serviceEnv('market', scratchDirectory(), redisUrl),
      DATABASE_URL: await server.database(),
    };
    const start = async () => {
      const service = await startMarket(loadConfig(configShape, env), (reason) => expect.fail(reason));
      running.push(service);
      return service;
    };
    const [first, second] = [await start(), await start()];
    const peers = await openPeers(redisUrl);
    const toPayments = peers.listen('payments');
    let answered = 0;
    // Payments says yes to all.
    const answering = setInterval(() => {
      for (; answered < toPayments.length; answered += 1) {
        const message = toPayments[answered];
        if (message?.name !== 'market.booking_requested') continue;
        const { order_id } = message.payload;
        void peers.send('payments.booking_held', { order_id, payment_id: order_id });
      }
    }, 5);

    const owner = someone(['miner']);
    const offers: { id: string }[] = [];
    for (let index = 0; index < GPUS; index += 1) {
      const made = await callerOf(first.url, owner).call(market.register, {
        body: { model: 'A100', memory_gb: 80, region: 'eu', price_per_hour: 1 },
      });
      if (!made.ok) throw new Error(JSON.stringify(made.body));
      offers.push(made.body);
    }
    const tomorrow = Date.now() + 86_400_000;
    const bookings = await Promise.all(
      offers.flatMap((gpu) =>
        [first, second, first, second].map(async (service, index) => ({
          gpu: gpu.id,
          reply: await eventually(
            async () => {
              const reply = await callerOf(service.url, someone(['client'])).call(market.book, {
                params: { gpu_id: gpu.id },
                body: {
                  duration_hours: 2,
                  start_time: new Date(tomorrow + (index % 3) * 1_800_000).toISOString(),
                },
              });
              // Told to come back by a busy store, it does.
              return reply.status === 503 ? undefined : reply;
            },
            { withinMs: 30_000 },
          ),
        })),
      ),
    );
    clearInterval(answering);
    for (const { id } of offers) {
      const replies = bookings.filter(({ gpu }) => gpu === id).map(({ reply }) => reply.status);
      expect(replies.sort()).toEqual([201, 409, 409, 409]);
    }
    // Woken, or looked again: never left with what was before the answer.
    for (const { reply } of bookings) if (reply.ok) expect(reply.body.status).toBe('active');
    await peers.close();
  },
  120_000,
);
