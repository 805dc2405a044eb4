import { join } from 'node:path';
import { openStore, type Store } from '@aitbc/chassis';
import { newId } from '@aitbc/contracts';
import { scratchDirectory } from '@aitbc/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { creditFromMint } from './commands/mint.ts';
import { createSealer, sealBlock } from './seal.ts';
import { openSigner, type Signer } from './signing.ts';
import { beginTerm, findTip, sealingTerm } from './store/blocks.ts';

const never = new AbortController().signal;

let store: Store;
let signer: Signer;
let signed: number;
beforeEach(async () => {
  store = await openStore({ url: join(scratchDirectory(), 'payments.db'), service: 'payments', migrations });
  const opened = await openSigner(store, { NODE_ENV: 'test' });
  await opened.keep();
  signed = 0;
  signer = {
    ...opened,
    sign: (bytes) => {
      signed += 1;
      return opened.sign(bytes);
    },
  };
});
afterEach(() => store.close());

const credit = () =>
  store.transact('test', (trx) =>
    creditFromMint(trx, {
      transfer_id: newId(),
      account_id: newId(),
      amount_minor: 1,
      kind: 'credit',
      reference: newId(),
      now_ms: Date.now(),
    }),
  );

test('of two that seal, the one whose term is over fails before it signs', async () => {
  await credit();
  const older = await store.transact('test', beginTerm);
  const newer = await store.transact('test', beginTerm);
  expect(newer).toBeGreaterThan(older);
  await expect(sealBlock(store, signer, older, Date.now())).rejects.toThrow('another process seals');
  expect(signed).toBe(0);
  expect(await findTip(store.read)).toBeUndefined();
  expect(await sealBlock(store, signer, newer, Date.now())).toBe(1);
  expect(signed).toBe(1);
});

test('a term never falls', async () => {
  await store.transact('test', beginTerm);
  await expect(
    store.transact('test', (trx) =>
      trx.run({ compile: () => ({ sql: 'UPDATE sealer SET term = 0', parameters: [] }) } as never),
    ),
  ).rejects.toThrow('a term only rises');
});

test('who led once and leads again takes a new term, and seals on', async () => {
  const options = { intervalMs: () => 0, now: () => Date.now() };
  const [first, second] = [createSealer(store, signer, options), createSealer(store, signer, options)];
  for (const seal of [first, second, first]) {
    await credit();
    const { height = -1 } = (await findTip(store.read)) ?? {};
    // The first turn may find its term over.
    await seal(never);
    await seal(never);
    expect((await findTip(store.read))?.height).toBe(height + 1);
  }
  expect(await sealingTerm(store.read)).toBe(3);
});
