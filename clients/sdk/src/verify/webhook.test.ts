import { Webhook } from 'standardwebhooks';
import { expect, test } from 'vitest';
import { verifyWebhook, WebhookVerificationError } from '../index.ts';

// The vector of the specification's own libraries (standard-webhooks, in each of their languages).
const SECRET = 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const PAYLOAD = '{"test": 2432232314}';
const HEADERS = {
  'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  'webhook-timestamp': '1614265330',
  'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
};
const now = new Date(1_614_265_330_000);
const verify = (
  change: { payload?: string; secret?: string | string[]; headers?: object; now?: Date } = {},
) =>
  verifyWebhook(change.payload ?? PAYLOAD, { ...HEADERS, ...change.headers }, change.secret ?? SECRET, {
    now: change.now ?? now,
  });
const codeOf = async (verdict: Promise<unknown>): Promise<unknown> => {
  const error: { code?: unknown } = await verdict.then(
    () => ({}),
    (caught) => caught,
  );
  expect(error).toBeInstanceOf(WebhookVerificationError);
  return error.code;
};

test('the vector of the specification, in every form that it may come', async () => {
  const is = { test: 2432232314 };
  expect(await verify()).toEqual(is);
  expect(await verify({ secret: `whsec_${SECRET}` })).toEqual(is);
  expect(
    await verifyWebhook(new TextEncoder().encode(PAYLOAD), new Headers(HEADERS), SECRET, { now }),
  ).toEqual(is);
  const upper = Object.fromEntries(
    Object.entries(HEADERS).map(([name, value]) => [name.toUpperCase(), value]),
  );
  expect(await verifyWebhook(PAYLOAD, upper, SECRET, { now })).toEqual(is);
});

test('of several signatures and secrets one that fits is enough', async () => {
  const signature = `v1a,xxxx v1,${btoa('x'.repeat(32))} v1,!! ${HEADERS['webhook-signature']}`;
  expect(await verify({ headers: { 'webhook-signature': signature } })).toBeDefined();
  expect(await verify({ secret: [`whsec_${btoa('another secret, 24 bytes')}`, SECRET] })).toBeDefined();
});

test('what was changed, is too old or from the future, or is not signed is refused', async () => {
  expect(await codeOf(verify({ payload: `${PAYLOAD} ` }))).toBe('WEBHOOK_SIGNATURE');
  expect(await codeOf(verify({ secret: btoa('another secret, 24 bytes') }))).toBe('WEBHOOK_SIGNATURE');
  expect(await codeOf(verify({ headers: { 'webhook-id': 'msg_x' } }))).toBe('WEBHOOK_SIGNATURE');
  expect(await codeOf(verify({ headers: { 'webhook-timestamp': '1614265331' } }))).toBe('WEBHOOK_SIGNATURE');
  expect(
    await codeOf(
      verify({ headers: { 'webhook-signature': HEADERS['webhook-signature'].replace('v1', 'v2') } }),
    ),
  ).toBe('WEBHOOK_SIGNATURE');
  const seconds = (off: number) => new Date(now.getTime() + off * 1_000);
  expect(await verify({ now: seconds(300) })).toBeDefined();
  expect(await verify({ now: seconds(-300) })).toBeDefined();
  expect(await codeOf(verify({ now: seconds(301) }))).toBe('WEBHOOK_TIME');
  expect(await codeOf(verify({ now: seconds(-301) }))).toBe('WEBHOOK_TIME');
  expect(await codeOf(verify({ headers: { 'webhook-timestamp': '1e9' } }))).toBe('WEBHOOK_TIME');
  for (const name of Object.keys(HEADERS))
    expect(await codeOf(verify({ headers: { [name]: undefined } }))).toBe('WEBHOOK_NOT_SIGNED');
});

test('a body that was parsed, and a secret that is none, are told to who wrote the program', async () => {
  await expect(verifyWebhook({ test: 1 } as never, HEADERS, SECRET)).rejects.toThrow('not an object');
  await expect(verify({ secret: 'whsec_???' })).rejects.toThrow(TypeError);
  await expect(verify({ secret: [] })).rejects.toThrow(TypeError);
});

test('what the library of the specification signs, by two secrets while one is rotated', async () => {
  const [old, fresh] = [`whsec_${btoa('a'.repeat(32))}`, `whsec_${btoa('b'.repeat(32))}`];
  const body = JSON.stringify({ type: 'job.completed', data: { note: '☀' } });
  const at = new Date();
  const headers = {
    'webhook-id': 'w-1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1_000)),
    'webhook-signature': [fresh, old].map((secret) => new Webhook(secret).sign('w-1', at, body)).join(' '),
  };
  for (const secret of [old, fresh])
    expect(await verifyWebhook(body, headers, secret)).toEqual(JSON.parse(body));
});
