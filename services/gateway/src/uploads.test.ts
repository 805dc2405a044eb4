import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { listen } from '@aitbc/chassis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';
import { rawRequest } from './testing/raw.ts';

/** Everything twenty times as fast as it is: an upload of 42 s takes two. `UPLOAD_SPEED=1` takes them all. */
const SPEED = Number(process.env.UPLOAD_SPEED ?? 20);
const KB = 1_024;
const PACE = { silenceSeconds: 15 / SPEED, leastBytesPerSecond: 4 * KB * SPEED };
const TICK_MS = 20;

/** What the service behind the gateway read. */
const read: number[] = [];
let service: Awaited<ReturnType<typeof listen>>;
let gateway: TestGateway;
beforeAll(async () => {
  service = await listen(
    async (request, response) => {
      let bytes = 0;
      try {
        for await (const chunk of request) bytes += (chunk as Buffer).length;
      } catch {
        // The gateway cut a slow one off.
        return;
      }
      read.push(bytes);
      response.setHeader('content-type', 'application/json');
      response.end('{"status":"completed","receipt":null}');
    },
    '127.0.0.1',
    0,
    { pace: PACE },
  );
  const pace = {
    BODY_SILENCE_SECONDS: String(PACE.silenceSeconds),
    BODY_LEAST_BYTES_PER_SECOND: String(PACE.leastBytesPerSecond),
  };
  gateway = await startTestGateway({ ...pace, JOBS_URL: service.url });
});
afterAll(async () => {
  await gateway.stop();
  await service.stop();
});

/** Sends `total` bytes of a result at a steady rate, and says what came back. */
const upload = async (total: number, bytesPerSecond: number, headers: string[] = []) => {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  let text = '';
  socket.on('error', () => {});
  socket.on('data', (data) => {
    text += data;
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  const lines = ['Host: a', `X-Api-Key: ${KEYS.miner}`, 'Content-Type: application/json', ...headers];
  socket.write(rawRequest('POST /v1/miner/result', [...lines, `Content-Length: ${total}`]));
  const startedAt = performance.now();
  for (let sent = 0; sent < total && text === '' && !socket.destroyed; ) {
    const due = Math.min(total, Math.ceil(((performance.now() - startedAt) / 1_000) * bytesPerSecond));
    if (due > sent) socket.write('x'.repeat(due - sent));
    sent = due;
    await sleep(TICK_MS);
  }
  await Promise.race([closed, sleep(20_000 / SPEED + 1_000)]);
  const tookSeconds = (performance.now() - startedAt) / 1_000;
  const isClosed = socket.destroyed;
  socket.destroy();
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return { head, body, isClosed, tookSeconds, status: Number(head.split(' ')[1]) };
};
const isTooSlow = (answer: Awaited<ReturnType<typeof upload>>) => {
  expect(answer).toMatchObject({ status: 408, isClosed: true });
  expect(answer.head).toMatch(/x-request-id: \S/i);
  expect(JSON.parse(answer.body)).toEqual({
    error: { code: 'REQUEST_TIMEOUT', message: expect.stringContaining('too slowly'), details: {} },
  });
};

test('a large result over a slow line is taken, as long as it keeps coming', {
  timeout: 120_000,
}, async () => {
  const total = 800 * KB;
  const answer = await upload(total, 19 * KB * SPEED, ['Connection: close']);
  expect([answer.status, read]).toEqual([200, [total]]);
  expect(answer.tookSeconds).toBeGreaterThan(40 / SPEED);
});

test('a body that stops coming is told 408', { timeout: 60_000 }, async () => {
  isTooSlow(await upload(100 * KB, 0));
});

test('a body that drips is told 408', { timeout: 60_000 }, async () => {
  isTooSlow(await upload(100 * KB, SPEED));
});

test('a body below the least rate is told 408, not before it had its chance', {
  timeout: 60_000,
}, async () => {
  const answer = await upload(800 * KB, 2 * KB * SPEED);
  isTooSlow(answer);
  expect(answer.tookSeconds).toBeGreaterThan(15 / SPEED);
});

test('a refused body that goes on dripping holds no connection', { timeout: 60_000 }, async () => {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname).on('error', () => {});
  const closed = new Promise<boolean>((resolve) => socket.once('close', () => resolve(true)));
  socket.resume();
  socket.write(rawRequest('POST /v1/miner/result', ['Host: a', 'Content-Length: 100000'], '{'));
  expect(await Promise.race([closed, sleep(60_000 / SPEED, false)])).toBe(true);
});
