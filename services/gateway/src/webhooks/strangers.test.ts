import { routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isPublicAddress, type Resolve } from './call.ts';
import { type Receiver, startReceiver } from './testing/receiver.ts';
import { type Stand, startStand, startTestWorker } from './testing/stand.ts';

// Through the gateway, the queue and the worker: what receivers do, and where names lead. Everything that must not be reached is
// this machine, on which somebody listens.

const { deleteWebhook } = routes.gateway;

/** The receivers of this test stand on it; every other address of this machine counts as what it is. */
const OUTSIDE = '127.0.0.2';
let stand: Stand;
let worker: Awaited<ReturnType<typeof startTestWorker>>;
let inside: Receiver;
let lookUps: Record<string, string[][]>;

const resolve: Resolve = async (name) => {
  const answers = lookUps[name];
  if (answers === undefined) throw new Error('ENOTFOUND');
  // The last one stays.
  const found = (answers.length > 1 ? answers.shift() : answers[0]) ?? [];
  return found.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));
};
beforeAll(async () => {
  lookUps = {};
  stand = await startStand();
  worker = await startTestWorker(stand.gateway, {
    isDevelopment: true,
    isAllowed: (address) => address === OUTSIDE || isPublicAddress(address),
    resolve,
    timeoutMs: 1_000,
  });
  inside = await startReceiver();
});
afterAll(async () => {
  await worker.stop();
  await stand.stop();
  await inside.stop();
  expect(inside.connections()).toBe(0);
});

/** What the log says of the first try. */
const firstTry = async (url: string) => {
  const hook = await stand.hook(url);
  await stand.jobEnded();
  const attempt = await eventually(async () => (await stand.deliveries(hook.id))[0]?.attempts[0]);
  await stand.client.call(deleteWebhook, { params: { webhook_id: hook.id } });
  return attempt;
};

describe('the worker never connects to', () => {
  test.each(['127.0.0.1', '2130706433', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0'])('%s', async (host) => {
    expect(await firstTry(`http://${host}:${inside.port}/`)).toMatchObject({
      status: null,
      error: 'address_refused',
    });
  });

  test('what a name stands for', async () => {
    const addresses = ['127.0.0.1', '169.254.169.254', '::1', '::ffff:10.0.0.1', '10.0.0.1', 'fd00:ec2::254'];
    for (const [at, address] of addresses.entries()) {
      lookUps[`trap${at}.example`] = [['93.184.215.14', address]];
      expect(await firstTry(`http://trap${at}.example:${inside.port}/`)).toMatchObject({
        error: 'address_refused',
      });
    }
  });

  test('what a name stands for at the second look', async () => {
    const outside = await startReceiver(undefined, OUTSIDE);
    lookUps['changes.example'] = [[OUTSIDE], ['127.0.0.1']];
    // Somebody listens inside on that very port.
    const trap = await startReceiver(undefined, '127.0.0.1', outside.port);
    const hook = await stand.hook(`http://changes.example:${outside.port}/`);
    await stand.jobEnded();
    await eventually(() => outside.taken.length === 1);
    await stand.jobEnded();
    await eventually(
      async () => (await stand.deliveries(hook.id))[0]?.attempts[0]?.error === 'address_refused',
    );
    expect([outside.connections(), trap.connections()]).toEqual([1, 0]);
    await stand.client.call(deleteWebhook, { params: { webhook_id: hook.id } });
    await Promise.all([outside.stop(), trap.stop()]);
  });

  test.each([
    (port: number) => `http://127.0.0.1:${port}/`,
    (port: number) => `http://[::1]:${port}/`,
    () => 'http://169.254.169.254/latest/meta-data/',
  ])('where a receiver redirects to (%#)', async (to) => {
    const redirects = await startReceiver(
      (_taken, response) => void response.writeHead(307, { location: to(inside.port) }).end(),
      OUTSIDE,
    );
    lookUps['redirects.example'] = [[OUTSIDE]];
    expect(await firstTry(`http://redirects.example:${redirects.port}/`)).toMatchObject({
      status: 307,
      error: 'bad_status',
    });
    expect(redirects.connections()).toBe(1);
    await redirects.stop();
  });
});

describe('a receiver that', () => {
  const answers: [string, Parameters<typeof startReceiver>[0], object][] = [
    [
      'fails',
      (_taken, response) => void response.writeHead(500).end('x'),
      { status: 500, error: 'bad_status' },
    ],
    ['hangs', () => {}, { status: null, error: 'timed_out' }],
    [
      'lies about length',
      (_taken, response) => {
        response.writeHead(200, { 'content-length': '9000000000' });
        response.write('y'.repeat(5_000));
      },
      { status: 200, error: null, response: 'y'.repeat(1_024) },
    ],
    ['breaks off', (_taken, _response, request) => void request.socket.destroy(), { error: 'not_reached' }],
  ];
  test.each(answers)('%s is written down as what it did', async (_what, answer, expected) => {
    const receiver = await startReceiver(answer, OUTSIDE);
    lookUps['receiver.example'] = [[OUTSIDE]];
    expect(await firstTry(`http://receiver.example:${receiver.port}/`)).toMatchObject(expected);
    await receiver.stop();
  });
});
