import { loadConfig } from '@aitbc/chassis';
import { type Caller, newId, OPEN_INVOICES_MAX, type ReplyOf, routes } from '@aitbc/contracts';
import { eventually, scratchDirectory, scratchRedis, serviceEnv, someone } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configShape } from '../config.ts';
import { startPayments } from '../service.ts';
import { type Stand, standForTest } from '../testing/stand.ts';

const { exchangeCreate, exchangeStatus, exchangeList, exchangeRates, devBitcoinSend, devBitcoinMine } =
  routes.payments;
type Body<T extends typeof exchangeCreate | typeof exchangeStatus> = Extract<
  ReplyOf<T>,
  { body: object }
>['body'];

const buyer = (): Caller => someone(['client']);

/** What a buyer does, against a stand. */
const shopping = (stand: () => Stand) => {
  const create = async (
    caller: Caller,
    body: { aitbc_amount?: number; btc_amount?: number },
  ): Promise<Body<typeof exchangeCreate>> => {
    const reply = await stand().as(caller).call(exchangeCreate, { body });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body;
  };
  const status = async (
    caller: Caller,
    payment_id: string,
    wait_seconds = 0,
  ): Promise<Body<typeof exchangeStatus>> => {
    const reply = await stand()
      .as(caller)
      .call(exchangeStatus, { params: { payment_id }, query: { wait_seconds } });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body;
  };
  const until = (caller: Caller, payment_id: string, wanted: string) =>
    eventually(
      async () => {
        const found = await status(caller, payment_id);
        if (found.status !== wanted) throw new Error(`is ${found.status}, not ${wanted}`);
        return found;
      },
      { withinMs: 20_000 },
    );
  const send = async (caller: Caller, payment_id: string, btc_amount?: number): Promise<string> => {
    const reply = await stand()
      .as(caller)
      .call(devBitcoinSend, { body: { payment_id, ...(btc_amount === undefined ? {} : { btc_amount }) } });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
    return reply.body.txid;
  };
  const mine = async (caller: Caller, blocks = 1): Promise<void> => {
    const reply = await stand().as(caller).call(devBitcoinMine, { body: { blocks } });
    if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  };
  return { create, status, until, send, mine };
};

describe('buying with bitcoin', () => {
  let stand: Stand;
  const { create, status, until, send, mine } = shopping(() => stand);
  beforeAll(async () => {
    stand = await standForTest();
  });
  afterAll(() => stand.stop());

  test('paid in two parts, mined, confirmed: credited, and in the explorer with the txid', async () => {
    const caller = buyer();
    const made = await create(caller, { aitbc_amount: 500 });
    expect(made).toMatchObject({
      status: 'pending',
      btc_amount: 0.005,
      aitbc_amount: 500,
      rate: 100_000,
      uri: `bitcoin:${made.payment_address}?amount=0.005&label=AITBC`,
    });
    expect(made.payment_address).toMatch(/^bcrt1q/);
    const svg = Buffer.from(made.qr.replace('data:image/svg+xml;base64,', ''), 'base64').toString();
    expect(svg).toMatch(/^<svg xmlns=.*<\/svg>$/);

    const first = await send(caller, made.payment_id, 0.002);
    expect(await until(caller, made.payment_id, 'underpaid')).toMatchObject({
      received: 0.002,
      remaining: 0.003,
      confirmations: 0,
      credited: null,
    });
    const second = await send(caller, made.payment_id);
    await until(caller, made.payment_id, 'processing');
    await mine(caller);
    const paid = await until(caller, made.payment_id, 'confirmed');
    expect(paid).toMatchObject({ received: 0.005, remaining: 0, confirmations: 1, reverted: false });
    expect(paid.transactions.map(({ txid }) => txid).sort()).toEqual([first, second].sort());
    expect(paid.credited).toMatchObject({ aitbc_amount: 500, btc_amount: 0.005, late_rate: null });
    expect(await stand.balanceOf(caller)).toMatchObject({ available: 500 });

    const shown = await stand.as(null).call(routes.payments.transaction, {
      params: { hash: paid.credited?.transaction_hash ?? '' },
    });
    expect(shown.ok && shown.body).toMatchObject({ kind: 'exchange', value: 500 });
    expect(shown.ok && shown.body.reference).toBe(
      `bitcoin:${paid.tx_hash}:${paid.transactions.find(({ txid }) => txid === paid.tx_hash)?.vout}`,
    );
  });

  test('every invoice has an address of its own', async () => {
    const made = await Promise.all(Array.from({ length: 6 }, () => create(buyer(), { btc_amount: 0.001 })));
    expect(new Set(made.map((each) => each.payment_address)).size).toBe(6);
  });

  test('over-payment is credited at the invoice rate, and a payment after the credit becomes its own', async () => {
    const caller = buyer();
    const made = await create(caller, { btc_amount: 0.001 });
    expect(made.aitbc_amount).toBe(100);
    await send(caller, made.payment_id, 0.0015);
    await mine(caller);
    const paid = await until(caller, made.payment_id, 'overpaid');
    expect(paid.credited).toMatchObject({ aitbc_amount: 150, btc_amount: 0.0015 });

    await send(caller, made.payment_id, 0.0003);
    await mine(caller);
    const next = await eventually(
      async () => (await status(caller, made.payment_id)).followed_by ?? undefined,
    );
    const follower = await until(caller, next, 'late');
    expect(follower).toMatchObject({ follows: made.payment_id, btc_amount: 0 });
    expect(follower.credited).toMatchObject({ aitbc_amount: 30, btc_amount: 0.0003, late_rate: 100_000 });
    expect(await stand.balanceOf(caller)).toMatchObject({ available: 180 });
  });

  test('amounts that do not agree, are too small, too large or missing are refused, with nothing made', async () => {
    const caller = buyer();
    const refusal = async (body: object) => {
      const reply = await stand.as(caller).call(exchangeCreate, { body: body as { btc_amount: number } });
      return reply.ok ? reply.status : [reply.status, reply.body.error.code];
    };
    expect(await refusal({ aitbc_amount: 100, btc_amount: 0.00100002 })).toEqual([400, 'AMOUNT_MISMATCH']);
    expect(await refusal({ btc_amount: 0.00000545 })).toEqual([422, 'VALIDATION_ERROR']);
    expect(await refusal({ btc_amount: 101 })).toEqual([422, 'VALIDATION_ERROR']);
    expect(await refusal({ btc_amount: 0.000000001 })).toEqual([422, 'VALIDATION_ERROR']);
    expect(await refusal({ aitbc_amount: -1 })).toEqual([422, 'VALIDATION_ERROR']);
    expect(await refusal({})).toEqual([422, 'VALIDATION_ERROR']);
    expect(await refusal({ aitbc_amount: 1, address: 'x' })).toEqual([422, 'VALIDATION_ERROR']);
    const list = await stand.as(caller).call(exchangeList, {});
    expect(list.ok && list.body.items).toEqual([]);
    // One satoshi of rounding is no disagreement.
    expect(await refusal({ aitbc_amount: 100, btc_amount: 0.00100001 })).toBe(201);
  });

  test('an account has so many open invoices and no more; the list shows them by pages', async () => {
    const caller = buyer();
    for (let count = 0; count < OPEN_INVOICES_MAX; count += 1) await create(caller, { aitbc_amount: 1 });
    const reply = await stand.as(caller).call(exchangeCreate, { body: { aitbc_amount: 1 } });
    expect(reply).toMatchObject({ status: 409, body: { error: { code: 'INVOICE_LIMIT_REACHED' } } });

    const seen: string[] = [];
    let cursor: string | null | undefined;
    do {
      const query: { limit: number; cursor?: string } = cursor ? { limit: 4, cursor } : { limit: 4 };
      const page = await stand.as(caller).call(exchangeList, { query });
      if (!page.ok) throw new Error(JSON.stringify(page.body));
      seen.push(...page.body.items.map((item) => item.payment_id));
      cursor = page.body.next_cursor;
    } while (cursor !== null);
    expect(seen.length).toBe(OPEN_INVOICES_MAX);
    expect(seen).toEqual([...seen].sort().reverse());
    expect(await stand.as(caller).call(exchangeList, { query: { cursor: 'nonsense' } })).toMatchObject({
      status: 422,
    });
    // Another account is not hindered.
    await create(buyer(), { aitbc_amount: 1 });
  });

  test('the same request twice is one invoice, whole both times', async () => {
    const caller = buyer();
    const twice = await Promise.all(
      [1, 2].map(() =>
        stand.as(caller).call(exchangeCreate, { body: { aitbc_amount: 3 }, idempotencyKey: 'once' }),
      ),
    );
    expect(twice[0]?.body).toEqual(twice[1]?.body);
    expect(twice[0]?.ok && twice[0].body.qr).toMatch(/^data:/);
  });

  test('a stranger sees nothing, an operator sees it', async () => {
    const { payment_id } = await create(buyer(), { aitbc_amount: 1 });
    const ask = (caller: Caller) => stand.as(caller).call(exchangeStatus, { params: { payment_id } });
    expect(await ask(buyer())).toMatchObject({ status: 404 });
    expect(await ask(stand.admin)).toMatchObject({ status: 200 });
    expect(await stand.as(buyer()).call(exchangeStatus, { params: { payment_id: newId() } })).toMatchObject({
      status: 404,
    });
    expect(await stand.as(buyer()).call(devBitcoinSend, { body: { payment_id } })).toMatchObject({
      status: 404,
    });
  });

  test('a waiting status is answered when something changes, long before its time', async () => {
    const caller = buyer();
    const { payment_id } = await create(caller, { aitbc_amount: 10 });
    const startedAt = performance.now();
    /** A status request that waits; when this resolves, the service has taken it. */
    const wait = async () => {
      const answer = status(caller, payment_id, 25);
      await status(caller, payment_id);
      return { answer };
    };
    const waiting = await wait();
    await send(caller, payment_id);
    expect((await waiting.answer).status).toBe('processing');
    const mined = await wait();
    await mine(caller);
    expect((await mined.answer).status).toBe('confirmed');
    // What is final is answered at once.
    await status(caller, payment_id, 25);
    expect(performance.now() - startedAt).toBeLessThan(15_000);
  });

  test('rates are public', async () => {
    const reply = await stand.as(null).call(exchangeRates, {});
    expect(reply.ok && reply.body).toMatchObject({
      btc_to_aitbc: 100_000,
      aitbc_to_btc: 0.00001,
      network: 'regtest',
      expires_in_seconds: 3_600,
    });
  });

  test('a bad address, or none of this network, is refused', async () => {
    const body = { address: 'bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu', btc_amount: 1 };
    expect(await stand.as(buyer()).call(devBitcoinSend, { body })).toMatchObject({ status: 422 });
    const { payment_address: address } = await create(buyer(), { aitbc_amount: 1 });
    expect(
      await stand.as(buyer()).call(devBitcoinSend, { body: { address, btc_amount: 100_000 } }),
    ).toMatchObject({ status: 402 });
    expect(
      await stand.as(buyer()).call(devBitcoinSend, { body: { address, btc_amount: 0.00000001 } }),
    ).toMatchObject({ status: 422 });
  });

  test('chain and invoices survive a restart, and a payment made before it is credited after', async () => {
    const caller = buyer();
    const { payment_id } = await create(caller, { aitbc_amount: 20 });
    const txid = await send(caller, payment_id);
    await stand.restart();
    await mine(caller);
    expect(await until(caller, payment_id, 'confirmed')).toMatchObject({ tx_hash: txid });
    expect(await stand.balanceOf(caller)).toMatchObject({ available: 20 });
    const health = (await (await fetch(`${stand.url}/health/ready`)).json()) as {
      dependencies: Record<string, unknown>;
    };
    expect(health.dependencies.bitcoin).toEqual({ ok: true, required: false, message: null });
  });
});

describe('time', () => {
  let stand: Stand;
  const { create, until, send, mine } = shopping(() => stand);
  beforeAll(async () => {
    stand = await standForTest({ BITCOIN_INVOICE_SECONDS: '3' });
  });
  afterAll(() => stand.stop());

  test('an invoice nobody pays expires by itself, and is credited at the rate of the day when paid late', async () => {
    const caller = buyer();
    const { payment_id, expires_at } = await create(caller, { aitbc_amount: 100 });
    await until(caller, payment_id, 'expired');
    // The time of a block is in whole seconds: one of the second in which the invoice expired is not late.
    await eventually(() => Math.floor(Date.now() / 1_000) * 1_000 > Date.parse(expires_at));
    await send(caller, payment_id);
    await until(caller, payment_id, 'processing');
    await mine(caller);
    const paid = await until(caller, payment_id, 'late');
    expect(paid.credited).toMatchObject({ aitbc_amount: 100, late_rate: 100_000 });
    expect(paid.transactions).toMatchObject([{ late: true, credited: true }]);
  });

  test('what came too little is credited when the time is over', async () => {
    const caller = buyer();
    const { payment_id } = await create(caller, { aitbc_amount: 100 });
    await send(caller, payment_id, 0.0004);
    await mine(caller);
    const paid = await eventually(async () => {
      const found = await until(caller, payment_id, 'underpaid');
      return found.credited === null ? undefined : found;
    });
    expect(paid.credited).toMatchObject({ aitbc_amount: 40, btc_amount: 0.0004, late_rate: null });
  });
});

describe('an unreachable node', () => {
  test('delays and never breaks: invoices are made, readiness names it', async () => {
    const stand = await standForTest({
      BITCOIN_RPC_URL: 'http://payments:pa55@127.0.0.1:1',
      BITCOIN_NETWORK: 'regtest',
      BITCOIN_ADDRESS: 'bcrt1qyrfrpadwgw7p5eh3e9h3jmu4kwlz4prx73cqny',
    });
    const { create } = shopping(() => stand);
    const made = await create(buyer(), { aitbc_amount: 1 });
    expect(made.payment_address).toBe('bcrt1qyrfrpadwgw7p5eh3e9h3jmu4kwlz4prx73cqny');
    const health = await fetch(`${stand.url}/health/ready`);
    expect(health.status).toBe(200);
    const text = await health.text();
    const { dependencies } = JSON.parse(text) as {
      dependencies: Record<string, { ok: boolean; message: string }>;
    };
    expect(dependencies.bitcoin).toMatchObject({ ok: false, required: false });
    expect(dependencies.bitcoin?.message).toMatch(/^Bitcoin Core (has not answered|does not answer)/);
    expect(text).not.toContain('pa55');
    // A real node, so no local chain to drive.
    expect(await stand.as(buyer()).call(devBitcoinMine, { body: {} })).toMatchObject({ status: 404 });
    await stand.stop();
  });
});

describe('production', () => {
  const KEY = 'MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g';
  const XPUB =
    'zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs';
  const production = { NODE_ENV: 'production', LEDGER_SIGNING_KEY: KEY };

  test.each([
    ['no source', { BITCOIN_XPUB: XPUB }, 'BITCOIN_RPC_URL or ESPLORA_URL'],
    ['no key', { ESPLORA_URL: 'http://127.0.0.1:1/api' }, 'BITCOIN_XPUB or BITCOIN_ADDRESS'],
  ])('with %s every exchange route says so, and the dev routes do not exist', async (_, env, missing) => {
    const stand = await standForTest({ ...production, ...env });
    for (const reply of [
      await stand.as(buyer()).call(exchangeCreate, { body: { aitbc_amount: 1 } }),
      await stand.as(buyer()).call(exchangeStatus, { params: { payment_id: newId() } }),
      await stand.as(buyer()).call(exchangeList, {}),
      await stand.as(null).call(exchangeRates, {}),
    ]) {
      expect(reply).toMatchObject({ status: 503, body: { error: { code: 'SERVICE_UNAVAILABLE' } } });
      expect(JSON.stringify(reply.body)).toContain(missing);
      expect(reply.headers.get('retry-after')).not.toBeNull();
    }
    expect(await stand.as(buyer()).call(devBitcoinMine, { body: {} })).toMatchObject({
      status: 404,
      body: { error: { code: 'NOT_FOUND' } },
    });
    expect(await stand.as(buyer()).call(devBitcoinSend, { body: { payment_id: newId() } })).toMatchObject({
      status: 404,
    });
    await stand.stop();
  });

  test('with both, addresses are those of the operator, and the dev routes do not exist', async () => {
    const stand = await standForTest({
      ...production,
      BITCOIN_XPUB: XPUB,
      ESPLORA_URL: 'http://127.0.0.1:1/api',
    });
    const { create } = shopping(() => stand);
    const made = await create(buyer(), { aitbc_amount: 1 });
    expect(made.payment_address).toBe('bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu');
    expect(await stand.as(stand.admin).call(devBitcoinMine, { body: {} })).toMatchObject({ status: 404 });
    await stand.stop();
  });

  test('a private key ends the start, unrepeated', async () => {
    const directory = scratchDirectory();
    const key = `x${'prv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi'}`;
    const config = loadConfig(configShape, {
      ...serviceEnv('payments', directory, await scratchRedis()),
      ...production,
      ESPLORA_URL: 'http://127.0.0.1:1/api',
      BITCOIN_XPUB: key,
    });
    const started = startPayments(config, (reason) => expect.fail(reason));
    await expect(started).rejects.toThrow('BITCOIN_XPUB: is a PRIVATE key');
    await expect(started).rejects.not.toThrow(key);
  });
});
