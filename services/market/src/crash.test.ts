import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Caller, routes } from '@aitbc/contracts';
import {
  builtOf,
  callerOf,
  eventually,
  keepOutput,
  scratchDirectory,
  scratchRedis,
  serviceEnv,
  someone,
} from '@aitbc/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { OFFER, type PaymentsStandIn, startPaymentsStandIn } from './market.fixture.ts';

const { market } = routes;
const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
/** From the death of the process until books and GPUs agree. */
const AGREE_WITHIN_MS = 60_000;

let payments: PaymentsStandIn;
let redisUrl: string;
let env: Record<string, string>;
// A file and a broker of its own for each: what one left to say, or payments to it, would trip the next one's failpoint.
beforeEach(async () => {
  redisUrl = await scratchRedis();
  payments = await startPaymentsStandIn(scratchDirectory(), redisUrl);
  env = {
    ...serviceEnv('market', scratchDirectory(), redisUrl),
    LOG_LEVEL: 'info',
    BUSINESS_TIME_SCALE: '3600',
    BOOKING_HOLD_SECONDS: '2.5',
  };
});
let child: ChildProcess | undefined;
const end = async (): Promise<void> => {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
};
afterEach(async () => {
  await end();
  await payments.stop();
});

/** The real program in a process of its own. @returns its address. */
const start = async (failpoint?: string): Promise<string> => {
  const started = spawn(process.execPath, [builtOf(MAIN)], {
    env: { ...process.env, ...env, ...(failpoint === undefined ? {} : { FAILPOINT: failpoint }) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = started;
  keepOutput(started);
  for await (const line of createInterface({ input: started.stdout as NodeJS.ReadableStream })) {
    const entry = line.startsWith('{') ? (JSON.parse(line) as { msg?: string; url?: string }) : {};
    if (entry.msg === 'ready' && entry.url !== undefined) {
      started.stdout?.resume();
      return entry.url;
    }
  }
  throw new Error('the service ended before it was ready');
};

const steps = ['book', 'held', 'refused', 'unanswered', 'withdrawn', 'ended', 'settled'];
const failpoints = [
  ...steps.flatMap((step) => [`market:${step}:before-commit`, `market:${step}:after-commit`]),
  'relay:before-publish',
  'relay:after-publish',
];

it.each(failpoints)(
  'kill -9 at %s: books and GPUs agree afterwards',
  async (failpoint) => {
    const isSilent = failpoint.includes('unanswered') || failpoint.includes('withdrawn');
    payments.behaviour.isSilent = isSilent;
    const client = someone(['client']);
    await payments.credit(client, failpoint.includes('refused') ? 0.1 : 100);
    const total = await payments.total();
    const owner = someone(['miner']);

    const doomedUrl = await start(failpoint);
    const doomed = child as ChildProcess;
    const died = once(doomed, 'exit');
    const offer = await callerOf(doomedUrl, owner).call(market.register, { body: OFFER });
    if (!offer.ok) throw new Error(JSON.stringify(offer.body));
    const params = { gpu_id: offer.body.id };
    const booking = callerOf(doomedUrl, client)
      .call(market.book, { params, body: { duration_hours: 1 } })
      .catch(() => undefined);
    if (failpoint.includes('withdrawn')) {
      const anyone = callerOf(doomedUrl, null);
      await eventually(async () => {
        const gpu = await anyone.call(market.get, { params });
        return gpu.ok && gpu.body.current_booking !== null;
      });
      await callerOf(doomedUrl, client)
        .call(market.release, { params })
        .catch(() => undefined);
    }
    const [, signal] = await died;
    expect(signal).toBe('SIGKILL');
    await booking;

    const diedAt = performance.now();
    const url = await start();
    const ordersOf = async (caller: Caller) => {
      const reply = await callerOf(url, caller).call(market.orders, { query: {} });
      if (!reply.ok) throw new Error(JSON.stringify(reply.body));
      return reply.body.items;
    };
    const final = isSilent || failpoint.includes('refused') ? ['cancelled'] : ['settled', 'cancelled'];
    const told = new Set<string>();
    const agree = () =>
      eventually(
        async () => {
          const orders = await ordersOf(client);
          for (const order of orders) {
            const hold = (await payments.holds()).find((row) => row.order_id === order.id);
            // What payments was silent about it says in the end.
            if (isSilent && hold?.state === 'held' && !told.has(order.id) && order.status === 'cancelled') {
              told.add(order.id);
              await payments.sayHeld(order.id);
            }
            expect(final).toContain(order.status);
            expect(hold?.state).not.toBe('held');
            if (order.status === 'settled')
              expect(hold).toMatchObject({
                state: 'settled',
                paid_minor: Math.round((order.paid as number) * 1e8),
              });
            else expect(hold?.paid_minor ?? 0).toBe(0);
          }
          // And no hold without its order.
          const known = new Set(orders.map((order) => order.id));
          expect(
            (await payments.holds()).filter(
              (row) => row.booker_id === client.account_id && !known.has(row.order_id),
            ),
          ).toEqual([]);
          const gpu = await callerOf(url, null).call(market.get, { params });
          expect(gpu.body).toMatchObject({ available: true, current_booking: null, upcoming_bookings: [] });
          expect(await payments.total()).toBe(total);
          return orders;
        },
        { withinMs: AGREE_WITHIN_MS, everyMs: 50 },
      );
    const orders = await agree();
    expect(orders).toHaveLength(failpoint === 'market:book:before-commit' ? 0 : 1);
    expect(performance.now() - diedAt).toBeLessThan(AGREE_WITHIN_MS);

    // The market goes on.
    if (failpoint === 'market:book:before-commit') {
      const again = await callerOf(url, client).call(market.book, { params, body: { duration_hours: 1 } });
      expect(again.status).toBe(201);
      expect(await agree()).toHaveLength(1);
    }
  },
  120_000,
);
