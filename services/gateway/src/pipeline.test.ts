import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { eventually } from '@aitbc/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';
import { rawRequest, sendRaw } from './testing/raw.ts';

let gateway: TestGateway;
let behindProxy: TestGateway;
const CONNECTIONS_MAX = 20;
beforeAll(async () => {
  const limits = {
    RATE_LIMIT_CLIENT_PER_MINUTE: '1000000',
    CONNECTIONS_PER_ADDRESS: String(CONNECTIONS_MAX),
  };
  gateway = await startTestGateway(limits);
  behindProxy = await startTestGateway({ ...limits, TRUST_PROXY: '1' }, gateway);
});
afterAll(async () => {
  await behindProxy.stop();
  await gateway.stop();
});
/** The services take their time, so that what comes behind a request is looked at before its answer. */
beforeEach(() => {
  gateway.upstream.control.answer = (_heard, response) =>
    void setTimeout(() => {
      response.setHeader('content-type', 'application/json');
      response.setHeader('content-length', '2');
      response.end('{}');
    }, 100);
});

const HEADERS = ['Host: localhost', `X-Api-Key: ${KEYS.client}`];
const GET = rawRequest('GET /v1/client/jobs', HEADERS);
const CONNECT = rawRequest('CONNECT x:1', HEADERS);
const statuses = async (chunks: string | string[]) =>
  (await sendRaw(gateway.url, chunks, 1_500)).map(({ status }) => status);

describe('what is broken behind a good request is refused after its answer', () => {
  test.each([
    ['garbage', [200, 400], [`${GET}no request at all\r\n\r\n`]],
    ['garbage behind three', [200, 200, 200, 400], [`${GET}${GET}${GET}\x00\x01\r\n\r\n`]],
    ['garbage in a packet of its own', [200, 400], [GET, 'no request at all\r\n\r\n']],
    ['garbage, and more of it', [200, 400], [`${GET}bad\r\n\r\n`, 'bad\r\n\r\n', 'bad\r\n\r\n']],
    ['two lengths', [200, 400], [GET + rawRequest('GET /v1/miners', ['Content-Length: 1, 2', ...HEADERS])]],
    ['headers too large', [200, 431], [GET + rawRequest('GET /v1/miners', [`A: ${'x'.repeat(20_000)}`])]],
    ['CONNECT', [200, 405], [GET + CONNECT]],
    ['CONNECT behind two', [200, 200, 405], [GET + GET + CONNECT]],
    ['nothing but garbage', [400], ['no request at all\r\n\r\n']],
  ])('%s', async (_name, expected, chunks) => {
    expect(await statuses(chunks)).toEqual(expected);
  });

  test('also when that answer has begun', async () => {
    gateway.upstream.control.answer = (_heard, response) => {
      response.setHeader('content-length', '4');
      response.write('ab');
      setTimeout(() => response.end('cd'), 300);
    };
    const answers = await sendRaw(gateway.url, [`${GET}no request at all\r\n\r\n`], 1_500);
    expect(answers.map(({ status }) => status)).toEqual([200, 400]);
    expect(answers[0]?.body).toBe('abcd');
  });

  test('a body that breaks has no other answer than that', async () => {
    const post = rawRequest('POST /v1/client/jobs', [...HEADERS, 'Transfer-Encoding: chunked'], 'zz\r\n');
    expect(await statuses(post)).toEqual([400]);
    expect(await statuses(GET + post)).toEqual([200, 400]);
  });
});

describe('the connections of one address', () => {
  const open = async (url: string, count: number): Promise<Socket[]> => {
    const { hostname, port } = new URL(url);
    const sockets = Array.from({ length: count }, () => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.on('error', () => {});
      socket.resume();
      return socket;
    });
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    return sockets;
  };
  const living = (sockets: readonly Socket[]) => sockets.filter((socket) => !socket.closed).length;

  test('are bounded: more are closed at once, and what closes makes room', async () => {
    const sockets = await open(gateway.url, CONNECTIONS_MAX + 5);
    await eventually(() => living(sockets) === CONNECTIONS_MAX);
    expect(await sendRaw(gateway.url, GET, 100)).toEqual([]);
    for (const socket of sockets) socket.destroy();
    const answered = await eventually(async () => {
      const [answer] = await sendRaw(gateway.url, GET, 500);
      return answer?.status;
    });
    expect(answered).toBe(200);
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(Number(/^connections_refused\{.*\} (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThanOrEqual(6);
  });

  test('are not, behind a proxy: all come from there', async () => {
    const sockets = await open(behindProxy.url, CONNECTIONS_MAX + 5);
    const [answer] = await sendRaw(behindProxy.url, GET, 500);
    expect(answer?.status).toBe(200);
    expect(living(sockets)).toBe(CONNECTIONS_MAX + 5);
    for (const socket of sockets) socket.destroy();
  });
});
