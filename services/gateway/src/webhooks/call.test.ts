import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, test } from 'vitest';
import { type CallRules, callStranger, isPublicAddress, type Resolve } from './call.ts';
import { newSeed, secretOf, signWebhook } from './signature.ts';

const newWebhookSecret = () => secretOf(Buffer.alloc(32, 7), newSeed());

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0)) cleanUp();
});

/** Somebody's server, on an address of this machine. */
const receiver = async (answer: RequestListener, host = '127.0.0.1') => {
  let connections = 0;
  const server = createServer(answer);
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  cleanUps.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { port, connections: () => connections };
};
/** Each name stands for these addresses. */
const names =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

/** As in production, but for http and for what stands on this machine. */
const rules = (changes: Partial<CallRules> = {}): CallRules => ({
  isDevelopment: true,
  isAllowed: (address) => address === '127.0.0.1' || isPublicAddress(address),
  resolve: names('127.0.0.1'),
  ...changes,
});
const call = (url: string, changes: Partial<CallRules> = {}, body = '{}') =>
  callStranger(new URL(url), {}, body, rules(changes));

describe('an address that a stranger chose', () => {
  test.each([
    '127.0.0.1',
    '10.0.0.1',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.169.254',
    '0.0.0.0',
    '255.255.255.255',
    '224.0.0.1',
    '198.18.0.1',
    '::',
    '::1',
    '::ffff:10.0.0.1',
    '::10.0.0.1',
    '64:ff9b::a00:1',
    '2002:a00:1::',
    'fd00:ec2::254',
    'fe80::1%eth0',
    'fec0::1',
    'ff02::1',
    'no address',
  ])('%s is not out in the internet', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
  test.each(['8.8.8.8', '2606:4700:4700::1111'])('%s is', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  test('that is one of this house, however it is written, is never connected to', async () => {
    const inside = await receiver((_request, response) => response.end('secret'));
    for (const host of [
      '127.0.0.1',
      '2130706433',
      '0x7f.1',
      '0177.0.0.1',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '0',
    ])
      expect([host, await call(`http://${host}:${inside.port}/`, { isAllowed: isPublicAddress })]).toEqual([
        host,
        { kind: 'failed', reason: 'address_refused' },
      ]);
    // A name for both: which of them is taken is not left to chance.
    for (const found of [['127.0.0.1'], ['8.8.8.8', '127.0.0.1'], ['::ffff:127.0.0.1']])
      expect(
        await call(`http://trap.example:${inside.port}/`, {
          isAllowed: isPublicAddress,
          resolve: names(...found),
        }),
      ).toEqual({ kind: 'failed', reason: 'address_refused' });
    expect(inside.connections()).toBe(0);
  });

  test('is looked up once, and that is where the connection goes', async () => {
    const good = await receiver((_request, response) => response.end('hello'));
    let lookUps = 0;
    const changing: Resolve = async () => {
      lookUps += 1;
      return [{ address: lookUps === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }];
    };
    expect(await call(`http://changes.example:${good.port}/`, { resolve: changing })).toEqual({
      kind: 'answered',
      status: 200,
      text: 'hello',
    });
    expect([lookUps, good.connections()]).toEqual([1, 1]);
  });

  test('sends nobody on to another one', async () => {
    const inside = await receiver((_request, response) => response.end('secret'));
    for (const status of [301, 302, 303, 307, 308]) {
      const redirecting = await receiver((_request, response) =>
        response.writeHead(status, { location: `http://127.0.0.1:${inside.port}/` }).end(),
      );
      expect(await call(`http://redirects.example:${redirecting.port}/`)).toMatchObject({ status });
    }
    expect(inside.connections()).toBe(0);
  });

  test.each([
    ['http://x.example/', { isDevelopment: false }],
    ['ftp://x.example/', {}],
    ['https://user:password@x.example/', {}],
  ])('%s is none', async (url, changes) => {
    expect(await call(url, changes)).toEqual({ kind: 'failed', reason: 'url_refused' });
  });

  test('that nobody knows, where nobody listens, or that speaks something else is not reached', async () => {
    const unknown: Resolve = () => Promise.reject(new Error('ENOTFOUND'));
    expect(await call('http://nobody.example/', { resolve: unknown })).toMatchObject({
      reason: 'name_unknown',
    });
    expect(await call('http://nobody.example/', { resolve: names() })).toMatchObject({
      reason: 'name_unknown',
    });
    const plain = await receiver((_request, response) => response.end());
    expect(await call(`https://plain.example:${plain.port}/`)).toMatchObject({ reason: 'not_reached' });
    const rude = await receiver((request) => request.socket.destroy());
    expect(await call(`http://rude.example:${rude.port}/`)).toMatchObject({ reason: 'not_reached' });
  });
});

describe('what a stranger answers', () => {
  test('is awaited for so long and no longer', async () => {
    const hangs = await receiver(() => {});
    expect(await call(`http://hangs.example:${hangs.port}/`, { timeoutMs: 100 })).toMatchObject({
      reason: 'timed_out',
    });
    const slow: Resolve = () => new Promise(() => {});
    expect(await call('http://slow.example/', { timeoutMs: 100, resolve: slow })).toMatchObject({
      reason: 'timed_out',
    });
    // It was said that it arrived: that the rest never ends changes nothing.
    const drips = await receiver((_request, response) => {
      response.writeHead(202).write('a');
    });
    expect(await call(`http://drips.example:${drips.port}/`, { timeoutMs: 500 })).toEqual({
      kind: 'answered',
      status: 202,
      text: 'a',
    });
  });

  test('after the time, a name that is found at last is not called any more', async () => {
    const late = await receiver((_request, response) => response.end());
    let find: (addresses: { address: string; family: number }[]) => void = () => {};
    const found = new Promise<{ address: string; family: number }[]>((resolve) => {
      find = resolve;
    });
    await call(`http://late.example:${late.port}/`, { timeoutMs: 50, resolve: () => found });
    find([{ address: '127.0.0.1', family: 4 }]);
    // A call after it has come and gone.
    await call(`http://prompt.example:${late.port}/`);
    expect(late.connections()).toBe(1);
  });

  test('is read to a kilobyte, whatever length it claims', async () => {
    const endless = await receiver((_request, response) => {
      response.writeHead(200, { 'content-length': '9000000000' });
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(16_384)));
      };
      response.on('drain', more);
      more();
    });
    const answer = await call(`http://endless.example:${endless.port}/`);
    expect(answer).toEqual({ kind: 'answered', status: 200, text: 'x'.repeat(1_024) });
    const short = await receiver((_request, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('only this', () => response.destroy());
    });
    expect(await call(`http://short.example:${short.port}/`)).toEqual({
      kind: 'answered',
      status: 200,
      text: 'only this',
    });
  });

  test('comes after all that was sent, and no more than 20 KB is', async () => {
    let heard = '';
    const listens = await receiver(async (request, response) => {
      for await (const chunk of request) heard += chunk;
      response.writeHead(500).end('sorry');
    });
    const url = `http://listens.example:${listens.port}/hook`;
    expect(await call(url, {}, '{"a":"ü"}')).toMatchObject({ status: 500, text: 'sorry' });
    expect(heard).toBe('{"a":"ü"}');
    await expect(call(url, {}, 'x'.repeat(20 * 1_024 + 1))).rejects.toThrow('too large');
  });
});

describe('the signature', () => {
  const body = '{"type":"job.completed","data":{"id":"ü"}}';
  const sign = (secrets: string[], atMs = Date.now()) => signWebhook({ id: 'msg_1', atMs, body }, secrets);

  test('is good by the Standard Webhooks library, for both secrets while one is rotated', () => {
    const [old, fresh, other] = [newWebhookSecret(), newWebhookSecret(), newWebhookSecret()];
    const headers = sign([fresh, old]);
    for (const secret of [old, fresh])
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Webhook(other).verify(body, headers)).toThrow();
    expect(() => new Webhook(old).verify(`${body} `, headers)).toThrow();
    expect(() => new Webhook(old).verify(body, sign([fresh]))).toThrow();
  });

  test('is of its time', () => {
    const secret = newWebhookSecret();
    const headers = sign([secret], Date.now() - 3_600_000);
    expect(() => new Webhook(secret).verify(body, headers)).toThrow();
  });
});
