import { routes } from '@aitbc/contracts';
import { eventually, openPeers } from '@aitbc/testing';
import { createSiweMessage } from 'viem/siwe';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { KEYS, startTestGateway, type TestGateway } from './testing/gateway.ts';
import { newWallet } from './testing/wallet.ts';

const { challenge, login, logout, me, endSession, createKey, listKeys, revokeKey, rotateKey } =
  routes.gateway;
const { adminCreateKey, adminListKeys, adminRevokeKey } = routes.gateway;
const DAY_MS = 86_400_000;

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway({
    RATE_LIMIT_CLIENT_PER_MINUTE: '100000',
    RATE_LIMIT_USER_PER_MINUTE: '100000',
  });
});
afterAll(() => gateway.stop());
afterEach(() => {
  vi.useRealTimers();
});

/** Only the clock that says what time it is; timers and sockets go on. */
const setNow = (ms: number) => vi.useFakeTimers({ toFake: ['Date'], now: ms });

type Wallet = ReturnType<typeof newWallet>;

const askChallenge = async (address: string, to = gateway) => {
  const reply = await to.client().call(challenge, { body: { wallet_address: address } });
  if (!reply.ok) throw new Error(reply.body.error.message);
  return reply.body;
};
const tryLogin = async (wallet: Wallet, message: string, address: string = wallet.address, to = gateway) =>
  to.client().call(login, {
    body: { wallet_address: address, message, signature: await wallet.signMessage({ message }) },
  });
const signIn = async (wallet: Wallet = newWallet(), address: string = wallet.address) => {
  const reply = await tryLogin(wallet, (await askChallenge(address)).message, address);
  if (!reply.ok) throw new Error(reply.body.error.message);
  return reply.body;
};

describe('wallet sign-in', () => {
  test('a signed challenge opens a session that is a user, and a client of the same account', async () => {
    const wallet = newWallet();
    const session = await signIn(wallet);
    expect(session.wallet_address).toBe(wallet.address);
    expect(Date.parse(session.expires_at) - Date.now()).toBeGreaterThan(7 * DAY_MS - 60_000);
    const who = await gateway.user(session.session_token).call(me, {});
    expect(who.body).toMatchObject({
      user_id: session.user_id,
      wallet_address: wallet.address,
      scopes: ['user'],
      sessions: [{ current: true }],
    });
    await gateway.user(session.session_token).call(routes.jobs.list, {});
    expect(gateway.upstream.heard.at(-1)?.signed?.caller).toMatchObject({
      account_id: session.user_id,
      scopes: ['user'],
      wallet_address: wallet.address,
    });
  });

  test('the case of an address never makes two accounts', async () => {
    const wallet = newWallet();
    const spellings = [
      wallet.address,
      wallet.address.toLowerCase(),
      `0x${wallet.address.slice(2).toUpperCase()}`,
    ];
    const accounts = [];
    for (const spelling of spellings) accounts.push((await signIn(wallet, spelling)).user_id);
    expect(new Set(accounts).size).toBe(1);
  });

  test('the account is told to payments once', async () => {
    const peers = await openPeers(gateway.env.REDIS_URL as string);
    const mail = peers.listen('payments');
    const wallet = newWallet();
    const { user_id } = await signIn(wallet);
    await signIn(wallet);
    await eventually(() =>
      mail.some((one) => 'account_id' in one.payload && one.payload.account_id === user_id),
    );
    const told = mail.filter(
      (one) => one.name === 'gateway.account_created' && one.payload.account_id === user_id,
    );
    expect(told).toEqual([
      { name: 'gateway.account_created', payload: { account_id: user_id, wallet_address: wallet.address } },
    ]);
    await peers.close();
  });

  test('the message is ERC-4361 for this host, good for five minutes', async () => {
    const wallet = newWallet();
    const { message, nonce, expires_at } = await askChallenge(wallet.address);
    const { host } = new URL(gateway.url);
    expect(message).toContain(
      `${host} wants you to sign in with your Ethereum account:\n${wallet.address}\n`,
    );
    expect(message).toContain(`Nonce: ${nonce}\n`);
    expect(Date.parse(expires_at) - Date.now()).toBeLessThanOrEqual(300_000);
  });

  test('the same signed message ten times at once opens exactly one session', async () => {
    const wallet = newWallet();
    const { message } = await askChallenge(wallet.address);
    const replies = await Promise.all(Array.from({ length: 10 }, () => tryLogin(wallet, message)));
    expect(replies.map((reply) => reply.status).sort()).toEqual([200, ...Array(9).fill(401)]);
    const winner = replies.find((reply) => reply.ok);
    if (winner?.ok !== true) throw new Error('nobody won');
    const who = await gateway.user(winner.body.session_token).call(me, {});
    expect('sessions' in who.body && who.body.sessions.length).toBe(1);
  });

  test.each<[string, (wallet: Wallet, message: string, nonce: string) => Promise<{ status: number }>]>([
    ["another wallet's signature", (wallet, message) => tryLogin(newWallet(), message, wallet.address)],
    ["another wallet's address", (wallet, message) => tryLogin(wallet, message, newWallet().address)],
    [
      'a message of its own without challenge',
      (wallet) => tryLogin(wallet, siwe(wallet, 'a1b2c3d4e5f6a7b8')),
    ],
    [
      "another host's message",
      (wallet, _message, nonce) => tryLogin(wallet, siwe(wallet, nonce, 'evil.example')),
    ],
    ['another chain', (wallet, _message, nonce) => tryLogin(wallet, siwe(wallet, nonce, undefined, 5))],
    ['a message that is changed a little', (wallet, message) => tryLogin(wallet, `${message} `)],
    ['no message at all', (wallet) => tryLogin(wallet, 'please let me in')],
    [
      'a signature of zeros',
      (wallet, message) =>
        gateway.client().call(login, {
          body: { wallet_address: wallet.address, message, signature: `0x${'0'.repeat(130)}` },
        }),
    ],
  ])('%s is refused, and the challenge stays good', async (_name, attempt) => {
    const wallet = newWallet();
    const { message, nonce } = await askChallenge(wallet.address);
    expect((await attempt(wallet, message, nonce)).status).toBe(401);
    expect((await tryLogin(wallet, message)).status).toBe(200);
  });

  const siwe = (wallet: Wallet, nonce: string, domain = new URL(gateway.url).host, chainId = 1) =>
    createSiweMessage({
      address: wallet.address,
      chainId,
      domain,
      nonce,
      uri: `http://${domain}`,
      version: '1',
    });

  test('a challenge that has run out is refused', async () => {
    const wallet = newWallet();
    const { message } = await askChallenge(wallet.address);
    setNow(Date.now() + 5 * 60_000 + 1);
    expect((await tryLogin(wallet, message)).status).toBe(401);
  });

  test('in production the host is the configured one, or there is no sign-in', async () => {
    const production = { NODE_ENV: 'production', TRUST_PROXY: '0' };
    const without = await startTestGateway(production, gateway);
    const body = { wallet_address: newWallet().address };
    expect((await without.client().call(challenge, { body })).status).toBe(503);
    await without.stop();
    const named = await startTestGateway({ ...production, PUBLIC_URL: 'https://api.example.org' }, gateway);
    const asked = await named.client().call(challenge, { body, headers: { host: 'evil.example' } });
    expect(asked.ok && asked.body.message).toMatch(/^api\.example\.org wants you/);
    await named.stop();
  });
});

describe('sessions', () => {
  test('end after a day without use, and after a week of use', async () => {
    const start = Date.now();
    const idle = gateway.user((await signIn()).session_token);
    const busy = gateway.user((await signIn()).session_token);
    for (let hours = 0; hours < 7 * 24; hours += 20) {
      setNow(start + hours * 3_600_000);
      expect([hours, (await busy.call(me, {})).status]).toEqual([hours, 200]);
    }
    expect((await idle.call(me, {})).status).toBe(401);
    setNow(start + 7 * DAY_MS + 60_000);
    expect((await busy.call(me, {})).status).toBe(401);
  });

  test('survive a restart, and so does their last use', async () => {
    const first = await startTestGateway({}, gateway);
    const session = await signIn();
    const start = Date.now();
    setNow(start + 20 * 3_600_000);
    expect((await first.user(session.session_token).call(me, {})).status).toBe(200);
    await first.stop();
    const second = await startTestGateway({}, gateway);
    setNow(start + 40 * 3_600_000);
    expect((await second.user(session.session_token).call(me, {})).status).toBe(200);
    await second.stop();
  });

  test('one ends, another one is ended, all end', async () => {
    const wallet = newWallet();
    const tokens = [];
    for (let index = 0; index < 4; index += 1) tokens.push((await signIn(wallet)).session_token);
    const [first, second, third, fourth] = tokens.map((token) => gateway.user(token)) as [
      ReturnType<TestGateway['user']>,
      ReturnType<TestGateway['user']>,
      ReturnType<TestGateway['user']>,
      ReturnType<TestGateway['user']>,
    ];
    expect((await first.call(logout, {})).body).toEqual({ sessions_ended: 1 });
    expect((await first.call(me, {})).status).toBe(401);

    const who = await second.call(me, {});
    const sessions = 'sessions' in who.body ? who.body.sessions : [];
    expect(sessions).toHaveLength(3);
    const other = sessions.find((session) => !session.current);
    if (other === undefined) throw new Error('no other session');
    expect((await second.call(endSession, { params: { session_id: other.id } })).status).toBe(200);
    expect((await second.call(endSession, { params: { session_id: other.id } })).status).toBe(404);

    const stranger = gateway.user((await signIn()).session_token);
    const mine = sessions.find((session) => session.current)?.id as string;
    expect((await stranger.call(endSession, { params: { session_id: mine } })).status).toBe(404);

    expect((await second.call(logout, { query: { all: 'true' } })).body).toEqual({ sessions_ended: 2 });
    for (const ended of [second, third, fourth]) expect((await ended.call(me, {})).status).toBe(401);
  });
});

describe('API keys', () => {
  const make = async (token: string, body: Partial<Parameters<typeof bodyOf>[0]> = {}) => {
    const reply = await gateway.user(token).call(createKey, { body: bodyOf(body) });
    if (!reply.ok) throw new Error(reply.body.error.message);
    return reply.body;
  };
  const bodyOf = (changes: {
    scopes?: ('client' | 'miner' | 'trade' | 'vote')[];
    label?: string;
    expires_at?: string;
    spend_cap?: number;
    daily_transfer_cap?: number;
    default_price?: number;
  }) => ({ scopes: ['client' as const], label: 'a test', ...changes });

  test('a user makes one: shown once, kept as a hash, acting for the account', async () => {
    const { session_token, user_id } = await signIn();
    const made = await make(session_token, { spend_cap: 12.5, label: 'render farm' });
    expect(made).toMatchObject({
      account_id: user_id,
      label: 'render farm',
      spend_cap: 12.5,
      last_used_at: null,
    });
    expect(made.key).toMatch(/^ak_test_[\w-]{49}$/);
    await gateway.client(made.key).call(routes.jobs.list, {});
    expect(gateway.upstream.heard.at(-1)?.signed?.caller).toEqual({
      account_id: user_id,
      credential_id: made.id,
      scopes: ['client'],
      wallet_address: expect.stringMatching(/^0x/),
      spend_cap_minor: 1_250_000_000,
    });
    const listed = await gateway.user(session_token).call(listKeys, {});
    expect('items' in listed.body && listed.body.items).toHaveLength(1);
    expect(JSON.stringify(listed.body)).not.toContain(made.key);
  });

  test('says when it was last used', async () => {
    const { session_token } = await signIn();
    const made = await make(session_token);
    await gateway.client(made.key).call(me, {});
    const second = await startTestGateway({}, gateway);
    await second.client(made.key).call(me, {});
    await second.stop();
    const listed = await gateway.user(session_token).call(listKeys, {});
    expect('items' in listed.body && listed.body.items[0]?.last_used_at).toMatch(/Z$/);
  });

  test('a scope it does not have stays shut, also when it has others', async () => {
    const made = await make((await signIn()).session_token, { scopes: ['miner'] });
    expect((await gateway.client(made.key).call(routes.jobs.list, {})).status).toBe(403);
    expect((await gateway.client(made.key).call(adminListKeys, {})).status).toBe(403);
    const admin = await gateway
      .user((await signIn()).session_token)
      .call(createKey, { body: { scopes: ['admin' as 'client'], label: 'mine' } });
    expect(admin.status).toBe(422);
  });

  test('governs and trades only when it was made for that; a session asks for it, nothing gives it unasked', async () => {
    const { session_token } = await signIn();
    const body = { proposal_id: '01920000-0000-7000-8000-000000000000', vote: 'for' } as const;
    const casts = async (key: string) =>
      (await gateway.client(key).call(routes.governance.vote, { body })).status;
    const plain = await make(session_token, { scopes: ['client', 'miner'] });
    expect(plain.scopes).toEqual(['client', 'miner']);
    expect(await casts(plain.key)).toBe(403);
    const heard = gateway.upstream.heard.length;
    const voter = await make(session_token, { scopes: ['vote'] });
    await casts(voter.key);
    expect(gateway.upstream.heard.slice(heard).map((one) => one.signed?.caller?.scopes)).toEqual([['vote']]);
    expect((await gateway.client(voter.key).call(routes.jobs.list, {})).status).toBe(403);
    const all = await make(session_token, { scopes: ['client', 'miner', 'trade', 'vote'] });
    expect((await gateway.client(all.key).call(me, {})).body).toMatchObject({
      scopes: ['client', 'miner', 'trade', 'vote'],
    });
  });

  test('works until it expires', async () => {
    const start = Date.now();
    const made = await make((await signIn()).session_token, {
      expires_at: new Date(start + 3_600_000).toISOString(),
    });
    const client = gateway.client(made.key);
    expect((await client.call(me, {})).status).toBe(200);
    setNow(start + 3_599_000);
    expect((await client.call(me, {})).status).toBe(200);
    setNow(start + 3_600_000);
    const late = await client.call(me, {});
    expect([late.status, !late.ok && late.body.error.message]).toEqual([401, 'This API key is expired.']);
  });

  test('an expiry in the past is refused', async () => {
    const reply = await gateway
      .user((await signIn()).session_token)
      .call(createKey, { body: { scopes: ['client'], label: 'late', expires_at: '2020-01-01T00:00:00Z' } });
    expect(reply.body).toMatchObject({ error: { details: { issues: [{ path: 'expires_at' }] } } });
  });

  test('revoked, it is refused by every gateway at once', async () => {
    const { session_token } = await signIn();
    const made = await make(session_token);
    const second = await startTestGateway({}, gateway);
    for (const one of [gateway, second]) expect((await one.client(made.key).call(me, {})).status).toBe(200);
    const params = { key_id: made.id };
    expect((await gateway.user(session_token).call(revokeKey, { params })).status).toBe(200);
    expect((await gateway.client(made.key).call(me, {})).status).toBe(401);
    // The remembered answer alone would last four seconds.
    await eventually(async () => (await second.client(made.key).call(me, {})).status === 401, {
      withinMs: 1_500,
    });
    expect((await gateway.user(session_token).call(revokeKey, { params })).status).toBe(409);
    await second.stop();
  });

  test('revoked while the broadcast is lost, it is refused within five seconds', async () => {
    const { session_token } = await signIn();
    const made = await make(session_token);
    // No Redis there: this gateway answers, and hears nothing of the others.
    const deaf = await startTestGateway({ REDIS_URL: 'redis://127.0.0.1:1' }, gateway);
    expect((await deaf.client(made.key).call(me, {})).status).toBe(200);
    const revokedAt = Date.now();
    await gateway.user(session_token).call(revokeKey, { params: { key_id: made.id } });
    await eventually(async () => (await deaf.client(made.key).call(me, {})).status === 401, {
      withinMs: 5_000,
    });
    expect(Date.now() - revokedAt).toBeLessThan(5_000);
    await deaf.stop();
  });

  test('rotated, the old one works on for the overlap and no longer', async () => {
    const start = Date.now();
    const { session_token } = await signIn();
    const old = await make(session_token, { label: 'kept', spend_cap: 3 });
    const user = gateway.user(session_token);
    const rotated = await user.call(rotateKey, {
      params: { key_id: old.id },
      body: { overlap_seconds: 600 },
    });
    if (!rotated.ok) throw new Error(rotated.body.error.message);
    expect(rotated.body).toMatchObject({ label: 'kept', spend_cap: 3, replaces: old.id });
    for (const key of [old.key, rotated.body.key]) {
      expect((await gateway.client(key).call(me, {})).status).toBe(200);
    }
    setNow(start + 700_000);
    expect((await gateway.client(old.key).call(me, {})).status).toBe(401);
    expect((await gateway.client(rotated.body.key).call(me, {})).status).toBe(200);
  });

  test('rotated, it is no new cap and no new limit: services hear of the first of them', async () => {
    const { session_token } = await signIn();
    const first = await make(session_token, { spend_cap: 3 });
    const user = gateway.user(session_token);
    const keys = [first];
    for (let turn = 0; turn < 3; turn += 1) {
      const params = { key_id: (keys.at(-1) as { id: string }).id };
      const rotated = await user.call(rotateKey, { params, body: { overlap_seconds: 600 } });
      if (!rotated.ok) throw new Error(rotated.body.error.message);
      keys.push(rotated.body);
    }
    for (const { key } of keys) {
      await gateway.client(key).call(routes.jobs.list, {});
      expect(gateway.upstream.heard.at(-1)?.signed?.caller).toMatchObject({
        credential_id: first.id,
        spend_cap_minor: 300_000_000,
      });
    }
  });

  test('one that trades may have a cap a day, which services hear of and a rotation keeps', async () => {
    const { session_token } = await signIn();
    const user = gateway.user(session_token);
    const old = await make(session_token, { scopes: ['client', 'trade'], daily_transfer_cap: 2.5 });
    const rotated = await user.call(rotateKey, {
      params: { key_id: old.id },
      body: { overlap_seconds: 600 },
    });
    if (!rotated.ok) throw new Error(rotated.body.error.message);
    for (const key of [old, rotated.body]) {
      expect(key.daily_transfer_cap).toBe(2.5);
      await gateway.client(key.key).call(routes.jobs.list, {});
      expect(gateway.upstream.heard.at(-1)?.signed?.caller).toMatchObject({
        credential_id: old.id,
        transfer_cap_minor: 250_000_000,
      });
    }
    const useless = await user.call(createKey, { body: bodyOf({ daily_transfer_cap: 1 }) });
    expect(useless.status).toBe(422);
  });

  test('one may name what its requests to models pay, which services hear of and a rotation keeps', async () => {
    const { session_token } = await signIn();
    const user = gateway.user(session_token);
    const old = await make(session_token, { scopes: ['client'], default_price: 0.125 });
    const rotated = await user.call(rotateKey, {
      params: { key_id: old.id },
      body: { overlap_seconds: 600 },
    });
    if (!rotated.ok) throw new Error(rotated.body.error.message);
    for (const key of [old, rotated.body]) {
      expect(key.default_price).toBe(0.125);
      await gateway.client(key.key).call(routes.jobs.list, {});
      expect(gateway.upstream.heard.at(-1)?.signed?.caller).toMatchObject({
        default_price_minor: 12_500_000,
      });
    }
    const plain = await make(session_token, { scopes: ['client'] });
    expect(plain.default_price).toBeNull();
  });

  test("a stranger's key is not there", async () => {
    const made = await make((await signIn()).session_token);
    const stranger = gateway.user((await signIn()).session_token);
    const params = { key_id: made.id };
    expect((await stranger.call(revokeKey, { params })).status).toBe(404);
    expect((await stranger.call(rotateKey, { params, body: { overlap_seconds: 0 } })).status).toBe(404);
    const listed = await stranger.call(listKeys, {});
    expect(listed.body).toEqual({ items: [], next_cursor: null });
  });

  test('an account has a hundred usable ones at most', async () => {
    const { session_token } = await signIn();
    const keys = await Promise.all(Array.from({ length: 100 }, () => make(session_token)));
    await expect(make(session_token)).rejects.toThrow('at most 100');
    await gateway.user(session_token).call(revokeKey, { params: { key_id: keys[0]?.id as string } });
    await make(session_token);
  });

  test('lists go page by page, newest first, and can leave out what no longer works', async () => {
    const { session_token } = await signIn();
    const user = gateway.user(session_token);
    const ids: string[] = [];
    for (let index = 0; index < 5; index += 1) ids.unshift((await make(session_token)).id);
    await user.call(revokeKey, { params: { key_id: ids[2] as string } });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await user.call(listKeys, {
        query: { limit: 2, ...(cursor === undefined ? {} : { cursor }) },
      });
      if (!page.ok) throw new Error(page.body.error.message);
      seen.push(...page.body.items.map((item) => item.id));
      cursor = page.body.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(seen).toEqual(ids);
    const active = await user.call(listKeys, { query: { active: 'true' } });
    expect('items' in active.body && active.body.items.map((item) => item.id)).toEqual(
      ids.filter((id) => id !== ids[2]),
    );
  });

  test('an operator makes, finds and revokes any; a new account unless told which', async () => {
    const admin = gateway.client(KEYS.admin);
    const { user_id } = await signIn();
    const body = { scopes: ['client', 'miner'] as ('client' | 'miner')[], label: 'partner' };
    const own = await admin.call(adminCreateKey, { body });
    const theirs = await admin.call(adminCreateKey, { body: { ...body, account_id: user_id } });
    if (!own.ok || !theirs.ok) throw new Error('not made');
    expect(theirs.body.account_id).toBe(user_id);
    expect(own.body.account_id).not.toBe(user_id);
    const found = await admin.call(adminListKeys, { query: { account_id: user_id } });
    expect('items' in found.body && found.body.items.map((item) => item.id)).toEqual([theirs.body.id]);
    await admin.call(adminRevokeKey, { params: { key_id: theirs.body.id } });
    expect((await gateway.client(theirs.body.key).call(me, {})).status).toBe(401);
    const nobody = await admin.call(adminCreateKey, {
      body: { ...body, account_id: '01920000-0000-7000-8000-000000000000' },
    });
    expect(nobody.status).toBe(422);
  });
});

describe('keys of the configuration', () => {
  test('keep their account over restarts; taken out they are refused; back they are what they were', async () => {
    const account = async (one: TestGateway) => {
      const reply = await one.client('a-key-that-comes-and-goes').call(me, {});
      return reply.ok ? reply.body.user_id : reply.status;
    };
    const list = (keys: string) => ({ CLIENT_API_KEYS: `${gateway.env.CLIENT_API_KEYS}${keys}` });
    const seen = [];
    for (const keys of [
      ',a-key-that-comes-and-goes',
      ',a-key-that-comes-and-goes',
      '',
      ',a-key-that-comes-and-goes',
    ]) {
      const one = await startTestGateway(list(keys), gateway);
      seen.push(await account(one));
      await one.stop();
    }
    const [first] = seen;
    expect(first).toMatch(/^[0-9a-f-]{36}$/);
    expect(seen).toEqual([first, first, 401, first]);
  });

  test('one that an operator revoked stays revoked', async () => {
    const changes = { MINER_API_KEYS: `${KEYS.miner},a-leaked-key-of-a-miner` };
    const first = await startTestGateway(changes, gateway);
    const admin = first.client(KEYS.admin);
    const who = await first.client('a-leaked-key-of-a-miner').call(me, {});
    if (!who.ok) throw new Error('not there');
    const found = await admin.call(adminListKeys, { query: { account_id: who.body.user_id } });
    const id = 'items' in found.body ? found.body.items[0]?.id : undefined;
    await admin.call(adminRevokeKey, { params: { key_id: id as string } });
    await first.stop();
    const second = await startTestGateway(changes, gateway);
    expect((await second.client('a-leaked-key-of-a-miner').call(me, {})).status).toBe(401);
    await second.stop();
  });

  test('API_KEYS are clients and miners', async () => {
    const one = await startTestGateway({ API_KEYS: 'a-key-for-both-sides' }, gateway);
    const who = await one.client('a-key-for-both-sides').call(me, {});
    expect(who.body).toMatchObject({ scopes: ['client', 'miner'] });
    await one.stop();
  });
});
