import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { eventually } from '@aitbc/testing';
import express from 'express';
import { afterEach, expect, test } from 'vitest';
import { listen } from './listen.ts';

/** What is open after five seconds is ended; the rest is for a busy machine. */
const STOPS_WITHIN_MS = 9_000;
const STREAMS = 200;
const ASK = 'GET /stream HTTP/1.1\r\nHost: a\r\n\r\n';

const sockets: Socket[] = [];
const open = (port: number, text: string): Socket => {
  const socket = connect(port, '127.0.0.1', () => socket.write(text));
  socket.on('error', () => {});
  sockets.push(socket);
  return socket;
};
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Streams that say something all the time, and a place that hands its connection over and forgets it. */
const start = async () => {
  const app = express();
  const ends = new Set<() => void>();
  const pieces = { bytes: 100 };
  const begun = { streams: 0 };
  app.get('/stream', (_request, response) => {
    response.status(200).set('content-type', 'text/event-stream').flushHeaders();
    const timer = setInterval(() => response.write('x'.repeat(pieces.bytes)), 5);
    const end = () => {
      ends.delete(end);
      clearInterval(timer);
      response.end();
    };
    ends.add(end);
    begun.streams += 1;
    response.on('close', end);
  });
  const http = await listen(app, '127.0.0.1', 0, {
    prepare: (server) => void server.on('upgrade', (_request, socket) => socket.write('yours\n')),
  });
  return { http, ends, pieces, begun };
};

/** How callers leave: with a reset, at once, half, or not at all. */
const LEAVING: ((socket: Socket) => void)[] = [
  (socket) => void socket.resetAndDestroy(),
  (socket) => void socket.destroy(),
  (socket) => void socket.end(),
  () => {},
];

test.each([
  { what: 'read', bytes: 100, asks: 1 },
  { what: 'do not read', bytes: 100_000, asks: 1 },
  { what: 'ask several times on one connection', bytes: 100, asks: 3 },
])(
  'a server stops while callers of streams who $what leave in every way',
  {
    timeout: 30_000,
  },
  async ({ bytes, asks }) => {
    const { http, ends, pieces, begun } = await start();
    pieces.bytes = bytes;
    for (let index = 0; index < STREAMS; index += 1) {
      const socket = open(http.port, ASK.repeat(asks));
      if (bytes > 1_000) socket.pause();
      else socket.resume();
      // While it starts, while it stops, and after.
      setTimeout(() => LEAVING[index % 4]?.(socket), index * 2);
    }
    await eventually(() => begun.streams > STREAMS / 2);
    const startedAt = performance.now();
    const stopped = http.stop();
    for (const end of ends) end();
    await stopped;
    expect(performance.now() - startedAt).toBeLessThan(STOPS_WITHIN_MS);
  },
);

test('a connection that was handed over and forgotten does not hold the stop up', {
  timeout: 30_000,
}, async () => {
  const { http } = await start();
  const held = open(http.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n');
  const [said] = await once(held, 'data');
  expect(String(said)).toBe('yours\n');
  const startedAt = performance.now();
  await http.stop();
  expect(performance.now() - startedAt).toBeLessThan(STOPS_WITHIN_MS);
});
