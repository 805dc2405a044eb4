import { type Client, type Reply, routes, SYSTEM_ADDRESSES, toMinor } from '@aitbc/contracts';
import { eventually, openByHand, testEngine, timeLimit } from '@aitbc/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { verifyLedger } from '../../../scripts/verify.ts';
import { aJob, type Stand, standForTest } from './testing/stand.ts';

const { blocks, transactions, addresses } = routes.payments;

let stand: Stand;
let anyone: Client;
/** At least so many transfers in so many blocks. */
const JOBS = 12;
beforeAll(async () => {
  stand = await standForTest();
  anyone = stand.as(null);
  const payer = await stand.funded(1_000);
  for (let i = 0; i < JOBS; i += 1) {
    const job = aJob(payer);
    await stand.peers.send('jobs.submitted', job.submitted(toMinor(1 + i)));
    const held = await eventually(() => stand.paymentOf(payer, job.job_id).catch(() => undefined));
    const ended = i % 3 === 0 ? job.ended('failed') : job.ended('completed', stand.paidWith(held));
    await stand.peers.send('jobs.ended', ended);
    // The third part of them each wait for a block of their own.
    if (i % 4 === 3) {
      const payment = await eventually(async () => {
        const now = await stand.paymentOf(payer, job.job_id).catch(() => undefined);
        return now === undefined || now.status === 'escrowed' ? undefined : now;
      });
      await untilSealed(payment.transaction_hash as string);
    }
  }
  await eventually(async () => {
    const page = await ok(anyone.call(transactions, { query: { limit: 1 } }));
    return page.items[0]?.block_height !== null && (await stand.balanceOf(payer)).held === 0;
  });
});
afterAll(() => stand.stop());

const ok = async <B>(reply: Promise<{ ok: true; body: B } | { ok: false; body: unknown }>): Promise<B> => {
  const got = await reply;
  if (!got.ok) throw new Error(JSON.stringify(got.body));
  return got.body;
};
const untilSealed = (hash: string) =>
  eventually(async () => {
    const reply = await anyone.call(routes.payments.transaction, { params: { hash } });
    return reply.ok && reply.body.block_height !== null ? reply.body : undefined;
  });

describe('pages', () => {
  it.each(['newest', 'oldest'] as const)(
    'of blocks and transactions, %s first, are whole and without a double',
    async (order) => {
      const heights: number[] = [];
      const hashes: string[] = [];
      let cursor: string | undefined;
      do {
        const page: Extract<Reply<typeof blocks>, { ok: true }>['body'] = await ok(
          anyone.call(blocks, { query: { order, limit: 2, cursor } }),
        );
        heights.push(...page.items.map((block) => block.height));
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
      do {
        const page: Extract<Reply<typeof transactions>, { ok: true }>['body'] = await ok(
          anyone.call(transactions, { query: { order, limit: 7, cursor } }),
        );
        hashes.push(...page.items.map((transaction) => transaction.hash));
        cursor = page.next_cursor ?? undefined;
      } while (cursor !== undefined);
      const rising = heights.map((_, index) => index);
      expect(heights).toEqual(order === 'oldest' ? rising : rising.reverse());
      expect(heights.length).toBeGreaterThanOrEqual(4);
      const counted = await ok(anyone.call(blocks, { query: { limit: 500 } }));
      const total = counted.items.reduce((sum, block) => sum + block.tx_count, 0);
      expect(hashes).toHaveLength(total);
      expect(new Set(hashes).size).toBe(total);
    },
  );

  it('of a block, from a block, and of an address are what they say', async () => {
    const all = (await ok(anyone.call(transactions, { query: { limit: 500, order: 'oldest' } }))).items;
    const inOne = await ok(anyone.call(transactions, { query: { limit: 500, order: 'oldest', block: 1 } }));
    expect(inOne.items).toEqual(all.filter((one) => one.block_height === 1));
    const from = await ok(
      anyone.call(transactions, { query: { limit: 500, order: 'oldest', from_block: 2 } }),
    );
    expect(from.items).toEqual(all.filter((one) => (one.block_height ?? 0) >= 2));
    const none = await ok(anyone.call(transactions, { query: { from_block: 1_000_000 } }));
    expect(none).toEqual({ items: [], next_cursor: null });
    const address = SYSTEM_ADDRESSES.platform;
    const mine = all.filter((one) => one.from === address || one.to === address);
    expect(mine.length).toBeGreaterThan(5);
    const found: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page: Extract<Reply<typeof transactions>, { ok: true }>['body'] = await ok(
        anyone.call(transactions, { query: { address, order: 'oldest', limit: 3, cursor } }),
      );
      found.push(...page.items);
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    expect(found).toEqual(mine);
    const shown = await anyone.call(routes.payments.address, { params: { address } });
    expect(shown).toMatchObject({ status: 200, body: { kind: 'platform', tx_count: mine.length } });
  });

  it('of addresses tell balances that come from the transactions', async () => {
    const all = (await ok(anyone.call(transactions, { query: { limit: 500 } }))).items;
    const list = await ok(anyone.call(addresses, { query: { limit: 500 } }));
    for (const entry of list.items) {
      const own = all.filter((one) => one.from === entry.address || one.to === entry.address);
      const minor = own.reduce(
        (sum, one) => sum + (one.to === entry.address ? 1 : -1) * toMinor(one.value),
        0,
      );
      expect([entry.address, toMinor(entry.balance), entry.tx_count]).toEqual([
        entry.address,
        minor,
        own.length,
      ]);
    }
    const mint = await ok(anyone.call(addresses, { query: { kind: 'mint' } }));
    expect(mint.items).toMatchObject([{ address: SYSTEM_ADDRESSES.mint, balance: -1_000 }]);
    expect((await ok(anyone.call(addresses, { query: { kind: 'escrow', limit: 500 } }))).items).toHaveLength(
      JOBS,
    );
  });

  it('refuse what is no cursor, and unknown things are 404', async () => {
    for (const cursor of ['x', 'nonsense', Buffer.from('p-1').toString('base64url'), '%00'])
      for (const route of [blocks, transactions, addresses])
        expect((await anyone.call(route, { query: { cursor } })).status).toBe(422);
    const missing = [
      anyone.call(routes.payments.block, { params: { height: 1_000_000 } }),
      anyone.call(routes.payments.transaction, { params: { hash: '0'.repeat(64) } }),
      anyone.call(routes.payments.proof, { params: { hash: '0'.repeat(64) } }),
      anyone.call(routes.payments.transaction, { params: { hash: 'zz' } }),
      anyone.call(routes.payments.address, { params: { address: `ait1${'a'.repeat(32)}` } }),
      anyone.call(routes.payments.address, { params: { address: "ait1' OR 1=1" } }),
    ];
    for (const reply of await Promise.all(missing)) expect(reply.status).toBe(404);
  });
});

describe('the chain', () => {
  it('is right from every height on', async () => {
    const whole = await verifyLedger({ url: stand.url, from: 0, headers: stand.headersOf(null) });
    expect(whole).toMatchObject({ wrong: null, supplyMinor: toMinor(1_000) });
    expect(whole.transactions).toBeGreaterThan(JOBS * 2);
    const seen: number[] = [];
    const later = await verifyLedger({
      url: stand.url,
      from: 2,
      headers: stand.headersOf(null),
      onProgress: ({ height }) => seen.push(height),
    });
    expect(later.wrong).toBeNull();
    expect(later.blocks).toBe(whole.blocks - 2);
    expect(seen[0]).toBe(2);
  });

  it('stays as it was sealed, over restarts', async () => {
    const read = async () =>
      (await ok(anyone.call(blocks, { query: { limit: 500, order: 'oldest' } }))).items;
    const before = await read();
    await stand.restart();
    anyone = stand.as(null);
    expect((await read()).slice(0, before.length)).toEqual(before);
  });

  const flip = (column: string) =>
    `${column} = CASE substr(${column}, 1, 1) WHEN '0' THEN '1' ELSE '0' END || substr(${column}, 2)`;
  const lastOf = (height: number) => `seq = (SELECT last_seq FROM block WHERE height = ${height})`;
  const NOTHING = testEngine === 'sqlite' ? 'zeroblob(32)' : `'\\x${'00'.repeat(32)}'`;
  const tampered: [string, string, number][] = [
    ['an amount', `UPDATE transfer SET amount_minor = amount_minor + 1 WHERE ${lastOf(2)}`, 2],
    ['a reference', `UPDATE transfer SET ${flip('reference')} WHERE ${lastOf(1)}`, 1],
    ['a receiver', `UPDATE transfer SET credit = 2 WHERE ${lastOf(0)}`, 0],
    ['a leaf', `UPDATE transfer SET hash = ${NOTHING} WHERE ${lastOf(2)}`, 2],
    ['a time', 'UPDATE block SET sealed_at_ms = sealed_at_ms + 1 WHERE height = 1', 1],
    ['a hash', `UPDATE block SET ${flip('hash')} WHERE height = 1`, 1],
    ['a signature', `UPDATE block SET ${flip('signature')} WHERE height = 2`, 2],
    ['a root', `UPDATE block SET ${flip('merkle_root')} WHERE height = 1`, 1],
    ['a link', `UPDATE block SET ${flip('previous_hash')} WHERE height = 2`, 2],
    ['the key', `UPDATE signing_key SET ${flip('x')}`, 0],
  ];
  it(
    'shows the first wrong block for every byte that was changed',
    async () => {
      const TABLES = ['block', 'transfer', 'signing_key'];
      /** Whoever can write to the tables can take their guards away too. */
      const byHand = async (statements: string): Promise<number> => {
        const db = await openByHand(stand.databaseUrl, 'off');
        const changed = await db.exec(statements);
        await db.close();
        return changed;
      };
      const each = (statement: (table: string) => string) => TABLES.map(statement).join('; ');
      const putRight = each(
        (table) => `DELETE FROM ${table}; INSERT INTO ${table} SELECT * FROM right_${table}`,
      );
      await stand.restart(() =>
        byHand(each((table) => `CREATE TABLE right_${table} AS SELECT * FROM ${table}`)),
      );
      for (const [what, sql, height] of tampered) {
        await stand.restart(async () => {
          await byHand(putRight);
          expect([what, await byHand(sql)]).toEqual([what, 1]);
        });
        const verdict = await verifyLedger({ url: stand.url, from: 0, headers: stand.headersOf(null) });
        expect([what, verdict.wrong?.height]).toEqual([what, height]);
      }
      await stand.restart(() => byHand(putRight));
      anyone = stand.as(null);
      expect(
        (await verifyLedger({ url: stand.url, from: 0, headers: stand.headersOf(null) })).wrong,
      ).toBeNull();
    },
    timeLimit(60_000),
  );
});
