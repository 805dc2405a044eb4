import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { newId } from '@aitbc/contracts';
import { eventually, scratchRedis } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectRedis, createLog, openQueue, openWorker } from './index.ts';

const log = createLog('test', 'silent');

/** A wire to Redis that can be held (nothing passes, nobody notices) and cut (nobody gets in). */
const openWire = async (redisUrl: string) => {
  const target = new URL(redisUrl);
  const sockets = new Set<Socket>();
  let isHeld = false;
  const server: Server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => isHeld || to.write(chunk));
      from.on('error', () => {});
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `redis://127.0.0.1:${port}${target.pathname}`,
    hold: () => {
      isHeld = true;
    },
    cut: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
    mend: async (): Promise<void> => {
      isHeld = false;
      await listen(port);
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
};

let redisUrl: string;
let wire: Awaited<ReturnType<typeof openWire>>;
beforeEach(async () => {
  redisUrl = await scratchRedis();
  wire = await openWire(redisUrl);
});
afterEach(() => wire.close());

const connected = async (url: string) => {
  const redis = connectRedis(url, log);
  if (redis.status !== 'ready') await once(redis, 'ready');
  return redis;
};

test('a producer whose connection breaks at the first thing it sends works when it is mended', async () => {
  const redis = await connected(wire.url);
  const queue = openQueue(newId(), redis, 'test');
  wire.hold();
  const first = queue.add('batch', {}).then(
    () => 'added',
    () => 'refused',
  );
  wire.cut();
  expect(await first).toBe('refused');
  await wire.mend();
  await eventually(() => redis.status === 'ready');
  await queue.add('batch', {});
  expect(await queue.hasWaiting()).toBe(true);
  await queue.close();
  redis.disconnect();
});

test('a producer without a connection refuses at once', async () => {
  const redis = await connected(wire.url);
  wire.cut();
  await eventually(() => redis.status !== 'ready');
  const queue = openQueue(newId(), redis, 'test');
  const before = performance.now();
  await expect(queue.add('batch', {})).rejects.toThrow();
  expect(performance.now() - before).toBeLessThan(500);
  await queue.close();
  redis.disconnect();
});

test('a worker whose connection breaks at the first look, and later, takes up its work again', async () => {
  const name = newId();
  const redis = await connected(redisUrl);
  const queue = openQueue(name, redis, 'test');
  const done: unknown[] = [];
  wire.hold();
  const worker = openWorker({
    queue: name,
    prefix: 'test',
    redisUrl: wire.url,
    log,
    onStuck: (reason) => expect.fail(reason),
    process: async (data) => {
      done.push(data);
    },
  });
  await queue.add('batch', 1);
  wire.cut();
  await wire.mend();
  await eventually(() => done.length === 1);
  wire.hold();
  await queue.add('batch', 2);
  wire.cut();
  await wire.mend();
  await eventually(() => done.includes(2), { withinMs: 20_000 });
  await worker.stop();
  await queue.close();
  redis.disconnect();
});

test('what failed for long is tried again soon, so that it does not wait as long as the outage once more', async () => {
  const name = newId();
  const redis = await connected(redisUrl);
  const queue = openQueue(name, redis, 'test');
  await queue.add('batch', 1);
  // As after an outage of a quarter of an hour.
  await redis.hset(`test:${name}:1`, 'atm', 12);
  const tries: number[] = [];
  const worker = openWorker({
    queue: name,
    prefix: 'test',
    redisUrl,
    log,
    onStuck: (reason) => expect.fail(reason),
    process: async () => {
      tries.push(performance.now());
      if (tries.length === 1) throw new Error('the store is away');
    },
  });
  await eventually(() => tries.length === 2);
  await worker.stop();
  await queue.close();
  redis.disconnect();
});
