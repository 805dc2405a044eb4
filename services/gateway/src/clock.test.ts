import { clock } from '@aitbc/chassis';
import { routes } from '@aitbc/contracts';
import { eventually } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { startTestGateway, type TestGateway } from './testing/gateway.ts';
import { newWallet } from './testing/wallet.ts';

const { challenge, login, me, createKey } = routes.gateway;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let gateway: TestGateway;
const limits = { RATE_LIMIT_USER_PER_MINUTE: '100000', RATE_LIMIT_CLIENT_PER_MINUTE: '100000' };
beforeEach(async () => {
  gateway = await startTestGateway(limits, undefined, clock.nowMs);
});
afterEach(async () => {
  putRight();
  await gateway.stop();
});

const wallClock = Date.now;
/** The wall clock of this process goes on, so much ahead or behind. */
const jump = (ms: number) => vi.spyOn(Date, 'now').mockImplementation(() => wallClock() + ms);
const putRight = () => vi.restoreAllMocks();

const signIn = async (to = gateway) => {
  const wallet = newWallet();
  const asked = await to.client().call(challenge, { body: { wallet_address: wallet.address } });
  if (!asked.ok) throw new Error(asked.body.error.message);
  const { message } = asked.body;
  const signature = await wallet.signMessage({ message });
  const reply = await to
    .client()
    .call(login, { body: { wallet_address: wallet.address, message, signature } });
  if (!reply.ok) throw new Error(reply.body.error.message);
  return reply.body;
};
const makeKey = async (token: string, livesMs: number) => {
  const expires_at = new Date(clock.nowMs() + livesMs).toISOString();
  const reply = await gateway
    .user(token)
    .call(createKey, { body: { scopes: ['client'], label: 'a', expires_at } });
  if (!reply.ok) throw new Error(reply.body.error.message);
  return reply.body.key;
};
const statusOf = async (client: ReturnType<TestGateway['client']>) => (await client.call(me, {})).status;

test.each([8 * DAY, -8 * DAY])('a jump of %i ms ends no session and no key', async (ms) => {
  const { session_token } = await signIn();
  const key = await makeKey(session_token, HOUR);
  jump(ms);
  // What was found good is remembered for 4 s; another gateway looks it up.
  const other = await startTestGateway(limits, gateway, gatewayClock());
  expect(await statusOf(other.user(session_token))).toBe(200);
  expect(await statusOf(other.client(key))).toBe(200);
  await other.stop();
});

test('a jump back brings back no key that ended', async () => {
  const { session_token } = await signIn();
  const key = await makeKey(session_token, 1_000);
  await eventually(async () => (await statusOf(gateway.client(key))) === 401);
  jump(-HOUR);
  expect(await statusOf(gateway.client(key))).toBe(401);
});

test('a session that was opened while the clock ran ahead lasts no longer than one of today, over a restart', async () => {
  const { session_token } = await signIn();
  jump(30 * DAY);
  const ahead = await startTestGateway(limits, gateway, () => Date.now());
  const late = await signIn(ahead);
  await ahead.stop();
  putRight();
  const today = await startTestGateway(limits, gateway, () => Date.now());
  for (const token of [session_token, late.session_token])
    expect(await statusOf(today.user(token))).toBe(200);
  const account = await today.user(late.session_token).call(me, {});
  const ends = account.ok ? account.body.sessions.map(({ expires_at }) => Date.parse(expires_at)) : [];
  expect(ends).toHaveLength(1);
  expect(ends[0]).toBeLessThanOrEqual(Date.now() + 7 * DAY);
  await today.stop();
});

/** The clock of a process that lived through the jump: a service takes the wall clock as it is when it starts. */
const gatewayClock = () => {
  const startedAt = performance.now();
  const atMs = wallClock();
  return () => Math.floor(atMs + performance.now() - startedAt);
};
