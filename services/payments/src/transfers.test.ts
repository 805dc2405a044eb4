import { type Caller, ledgerAddress, newId, routes, SYSTEM_ADDRESSES, toMinor } from '@aitbc/contracts';
import { eventually, someone } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toCsv } from './csv.ts';
import { type Stand, standForTest } from './testing/stand.ts';

let stand: Stand;
beforeAll(async () => {
  stand = await standForTest();
});
afterAll(() => stand.stop());

type Body = { to: string; amount: number; memo?: string };
const give = (caller: Caller, body: Body, idempotencyKey?: string) =>
  stand.as(caller).call(routes.payments.transfer, {
    body,
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
  });
const statement = async (caller: Caller, query: { limit?: number; cursor?: string } = {}) => {
  const reply = await stand.as(caller).call(routes.payments.statement, { query });
  if (!reply.ok) throw new Error(JSON.stringify(reply.body));
  return reply.body;
};
const available = async (caller: Caller) => (await stand.balanceOf(caller)).available;
const codeOf = (reply: Awaited<ReturnType<typeof give>>) => (reply.ok ? reply.status : reply.body.error.code);

/** Somebody who may give away what he has. */
const giver = (amount: number, changes: Partial<Caller> = {}) =>
  stand.funded(amount, { scopes: ['client', 'trade'], ...changes });

describe('a transfer', () => {
  it('moves money at once, to an account or an address; both read the memo, and nobody else', async () => {
    const [from, to] = [await giver(10), await stand.funded(0)];
    const made = await give(from, { to: to.account_id, amount: 1.5, memo: 'for the weekend' });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      from: { account_id: from.account_id, address: ledgerAddress(from.account_id) },
      to: { account_id: to.account_id, address: ledgerAddress(to.account_id) },
      amount: 1.5,
      memo: 'for the weekend',
    });
    expect(codeOf(await give(from, { to: ledgerAddress(to.account_id).toUpperCase(), amount: 0.25 }))).toBe(
      201,
    );
    expect([await available(from), await available(to)]).toEqual([8.25, 1.75]);

    const [received] = (await statement(to)).items.slice(-1);
    const sent = (await statement(from)).items.find(({ memo }) => memo !== null);
    expect(received).toMatchObject({ kind: 'transfer', amount: 1.5, balance: 1.5, memo: 'for the weekend' });
    expect(sent).toMatchObject({ kind: 'transfer', amount: -1.5, balance: 8.5, memo: 'for the weekend' });

    const hash = received?.hash as string;
    const shown = await eventually(async () => {
      const reply = await stand.as(null).call(routes.payments.transaction, { params: { hash } });
      return reply.ok && reply.body.block_height !== null ? reply.body : undefined;
    });
    expect(shown).toMatchObject({ kind: 'transfer', value: 1.5, to: ledgerAddress(to.account_id) });
    expect(JSON.stringify(shown)).not.toContain('weekend');
  });

  it('is made once for an idempotency key', async () => {
    const [from, to] = [await giver(1), await stand.funded(0)];
    const body = { to: to.account_id, amount: 0.6 };
    const replies = await Promise.all([1, 2, 3].map(() => give(from, body, 'once')));
    for (const reply of replies) expect(['IDEMPOTENCY_KEY_IN_USE', 201]).toContain(codeOf(reply));
    expect(codeOf(await give(from, body, 'once'))).toBe(201);
    expect(codeOf(await give(from, { ...body, amount: 0.1 }, 'once'))).toBe('IDEMPOTENCY_KEY_REUSED');
    expect([await available(from), await available(to)]).toEqual([0.4, 0.6]);
  });

  it('never gives more than is available, whoever asks at the same time', async () => {
    const [from, to] = [await giver(1), await stand.funded(0)];
    const replies = await Promise.all(
      Array.from({ length: 8 }, () => give(from, { to: to.account_id, amount: 0.3 })),
    );
    expect(replies.map(codeOf).sort()).toEqual(
      [201, 201, 201, ...Array(5).fill('INSUFFICIENT_FUNDS')].sort(),
    );
    expect([await available(from), await available(to)]).toEqual([0.1, 0.9]);
  });

  it('gives no more than the cap of the key a day, and the key that follows it no more either', async () => {
    const from = await giver(10, { transfer_cap_minor: toMinor(2) });
    const to = await stand.funded(0);
    expect(codeOf(await give(from, { to: to.account_id, amount: 1.5 }))).toBe(201);
    const refused = await give(from, { to: to.account_id, amount: 0.6 });
    expect(codeOf(refused)).toBe('TRANSFER_CAP_EXCEEDED');
    const { details } = (refused as Extract<typeof refused, { ok: false }>).body.error;
    expect(Date.parse(details.resets_at as string) % 86_400_000).toBe(0);
    expect(codeOf(await give(from, { to: to.account_id, amount: 0.5 }))).toBe(201);
    // Another key of the account has its own.
    expect(codeOf(await give({ ...from, credential_id: newId() }, { to: to.account_id, amount: 2 }))).toBe(
      201,
    );
    expect(await available(from)).toBe(6);
  });

  it('is for sessions and keys that may trade', async () => {
    const to = await stand.funded(0);
    const body = { to: to.account_id, amount: 0.1 };
    for (const scopes of [['client'], ['miner'], ['vote'], ['admin']] as const)
      expect(codeOf(await give(await stand.funded(1, { scopes: [...scopes] }), body))).toBe('FORBIDDEN');
    expect(codeOf(await give(await stand.funded(1, { scopes: ['user'] }), body))).toBe(201);
  });

  it('is refused to oneself, to nobody, to what is no account, and in the wrong form', async () => {
    const from = await giver(1);
    const own = ledgerAddress(from.account_id);
    const refused = async (body: unknown, code: string, path?: string) => {
      const reply = await give(from, body as Body);
      expect([body, codeOf(reply)]).toEqual([body, code]);
      if (path !== undefined) expect(JSON.stringify(reply.body)).toContain(`"path":"${path}"`);
    };
    await refused({ to: from.account_id, amount: 0.1 }, 'VALIDATION_ERROR', 'to');
    await refused({ to: own, amount: 0.1 }, 'VALIDATION_ERROR', 'to');
    await refused({ to: SYSTEM_ADDRESSES.mint, amount: 0.1 }, 'VALIDATION_ERROR', 'to');
    await refused({ to: SYSTEM_ADDRESSES.treasury, amount: 0.1 }, 'VALIDATION_ERROR', 'to');
    await refused({ to: newId(), amount: 0.1 }, 'NOT_FOUND');
    await refused({ to: ledgerAddress(newId()), amount: 0.1 }, 'NOT_FOUND');
    await refused({ to: 'somebody', amount: 0.1 }, 'VALIDATION_ERROR', 'to');
    await refused({ to: `${own}a`, amount: 0.1 }, 'VALIDATION_ERROR', 'to');
    await refused({ to: newId(), amount: 0 }, 'VALIDATION_ERROR', 'amount');
    await refused({ to: newId(), amount: -1 }, 'VALIDATION_ERROR', 'amount');
    await refused({ to: newId(), amount: 0.1, memo: 'x'.repeat(141) }, 'VALIDATION_ERROR', 'memo');
    await refused({ to: newId(), amount: 0.1, memo: 'a\u0000b' }, 'VALIDATION_ERROR', 'memo');
    expect(await available(from)).toBe(1);
  });
});

describe('the statement', () => {
  it('has the balance after each entry, on every page, whatever is added meanwhile', async () => {
    const [from, to] = [await giver(5), await stand.funded(3)];
    for (let i = 1; i <= 4; i += 1) await give(from, { to: to.account_id, amount: i / 10 });
    const whole = (await statement(to)).items;
    expect(whole.map(({ amount, balance }) => [amount, balance])).toEqual([
      [0.4, 4],
      [0.3, 3.6],
      [0.2, 3.3],
      [0.1, 3.1],
      [3, 3],
    ]);
    const walked: typeof whole = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<typeof statement>> = await statement(to, {
        limit: 2,
        ...(cursor === null ? {} : { cursor }),
      });
      walked.push(...page.items);
      cursor = page.next_cursor;
      await give(from, { to: to.account_id, amount: 0.01 });
    } while (cursor !== null);
    expect(walked).toEqual(whole);
    expect(await statement(someone(['client']))).toEqual({ items: [], next_cursor: null });
  });

  it('is a CSV too, in which no memo is a formula', async () => {
    const [from, to] = [await giver(5), await stand.funded(0)];
    await give(from, { to: to.account_id, amount: 0.00000001, memo: '=HYPERLINK("http://x";"y")' });
    await give(from, { to: to.account_id, amount: 1, memo: 'lunch' });
    const path = '/v1/users/me/transactions?format=csv&limit=1';
    const first = await fetch(stand.url + path, { headers: stand.headersOf(to)('GET', path) });
    expect(first.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    const [, next] = /^<(.*)>; rel="next"$/.exec(first.headers.get('link') ?? '') ?? [];
    const { pathname, search } = new URL(next as string, stand.url + path);
    expect(pathname).toBe('/v1/users/me/transactions');
    const second = await fetch(stand.url + pathname + search, {
      headers: stand.headersOf(to)('GET', pathname + search),
    });
    expect(second.headers.get('link')).toBeNull();
    const [head, line] = (await first.text()).split('\r\n');
    expect(head).toBe('"time","kind","amount","balance","currency","counterparty","reference","memo","hash"');
    expect(line).toContain(',"transfer",1,1.00000001,"AITBC",');
    expect(await second.text()).toContain(
      `,0.00000001,0.00000001,"AITBC","${ledgerAddress(from.account_id)}",`,
    );
  });
});

describe('a text in a CSV', () => {
  it.each([
    ['=1+1', `"'=1+1"`],
    ['  @SUM(A1)', `"  '@SUM(A1)"`],
    ['+49 30 1', `"'+49 30 1"`],
    ['-1', `"'-1"`],
    ['\t=1', `"\t'=1"`],
    ['＝1', `"'＝1"`],
    ['a;=cmd()', `"a;'=cmd()"`],
    ['a",=cmd()', `"a"",'=cmd()"`],
    ['a\n=cmd()', `"a\n'=cmd()"`],
    ['1 - 2 = 3; well-meant', '"1 - 2 = 3; well-meant"'],
  ])('%j', (text, written) => {
    expect(toCsv(['memo'], [{ memo: text }])).toBe(`"memo"\r\n${written}\r\n`);
  });
});
