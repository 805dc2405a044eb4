import type { Trx } from '@aitbc/chassis';
import { isIncluded, newId, type Transaction } from '@aitbc/contracts';
import { timeLimit } from '@aitbc/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openScratch } from './exchange/testing/stand.ts';
import { createExplorerHandlers } from './routes/explorer.ts';
import { sealBlock } from './seal.ts';
import { openSigner } from './signing.ts';
import { MINT, openUser } from './store/accounts.ts';
import { move, transferId } from './store/transfers.ts';

/** The largest block there is, and more of them than one answer may hash. */
const BLOCK_MAX = 4_096;
const BLOCKS = 6;
const PART = 64;

let store: Awaited<ReturnType<typeof openScratch>>;
let address: string;
beforeAll(async () => {
  store = await openScratch();
  const signer = await openSigner(store, { NODE_ENV: 'test' } as never);
  await signer.keep();
  for (let block = 0; block < BLOCKS; block += 1) {
    // A transaction has 5 s. PostgreSQL needs a millisecond a transfer, and ten on a machine that is full.
    const part = (first: number) => async (trx: Trx) => {
      const crowd = await openUser(trx, '018f4c3e-0000-7000-8000-000000000001', 1);
      const one = await openUser(trx, '018f4c3e-0000-7000-8000-000000000002', 1);
      address = one.address;
      for (let index = first; index < first + PART; index += 1) {
        const id = newId();
        await move(trx, {
          id: transferId('credit', id),
          kind: 'credit',
          reference: id,
          from: MINT,
          to: index === 0 ? one : crowd,
          amount_minor: 1,
          now_ms: 1,
        });
      }
    };
    for (let first = 0; first < BLOCK_MAX; first += PART) await store.transact('test', part(first));
    expect(await sealBlock(store, signer, 0, Date.now())).toBe(BLOCK_MAX);
  }
}, timeLimit(180_000));
afterAll(() => store.close());

type Query = { address?: string; limit: number; cursor?: string; proofs: 'true' | 'false'; order: 'newest' };

test('proofs of transactions in many large blocks cost two trees an answer; the walk goes on to the end', async () => {
  let leaves = 0;
  const counting = {
    ...store,
    read: {
      get: store.read.get.bind(store.read),
      all: (async (query: never, values: never) => {
        const rows = await store.read.all(query, values);
        if (rows.length === BLOCK_MAX) leaves += rows.length;
        return rows;
      }) as typeof store.read.all,
    },
  };
  const handlers = createExplorerHandlers(counting);
  const ask = async (query: Query) => {
    leaves = 0;
    const reply = await handlers.transactions({ query } as never);
    return (reply as { body: { items: Transaction[]; next_cursor: string | null } }).body;
  };
  const seen: Transaction[] = [];
  let cursor: string | undefined;
  let pages = 0;
  do {
    const page = await ask({
      address,
      limit: 500,
      proofs: 'true',
      order: 'newest',
      ...(cursor === undefined ? {} : { cursor }),
    });
    expect(leaves).toBeLessThanOrEqual(2 * BLOCK_MAX);
    expect(page.items.length).toBeGreaterThan(0);
    seen.push(...page.items);
    cursor = page.next_cursor ?? undefined;
    pages += 1;
  } while (cursor !== undefined);
  expect(seen).toHaveLength(BLOCKS);
  expect(pages).toBe(BLOCKS / 2);
  const blocks = (await handlers.blocks({ query: { limit: 10, order: 'newest' } } as never)) as {
    body: { items: { height: number; merkle_root: string }[] };
  };
  for (const { hash, block_height, proof } of seen) {
    const root = blocks.body.items.find(({ height }) => height === block_height)?.merkle_root ?? '';
    expect(
      isIncluded(
        Buffer.from(hash, 'hex'),
        proof?.index ?? -1,
        BLOCK_MAX,
        (proof?.path ?? []).map((hex) => Buffer.from(hex, 'hex')),
        Buffer.from(root, 'hex'),
      ),
    ).toBe(true);
  }
  // Asked for again, the trees are there.
  await ask({ address, limit: 500, proofs: 'true', order: 'newest' });
  expect(leaves).toBe(0);
});
