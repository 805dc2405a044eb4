import type { Store, Trx } from '@aitbc/chassis';
import { HDKey } from '@scure/bip32';
import { p2wpkh, Transaction } from '@scure/btc-signer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openScratch } from '../testing/stand.ts';
import { networkOf } from '../wallet.ts';
import { parseHeader } from './blocks.ts';
import { acceptTransaction, beginChain, COINBASE_MATURITY, disconnect, mine, Rejected } from './chain.ts';
import { pay } from './faucet.ts';
import { blockTransactions, findBlock, findTip, findTransaction, mempoolTxids, unspentOf } from './store.ts';
import { sha256d, shown } from './transactions.ts';

const NOW = Date.UTC(2026, 0, 1);
const someone = HDKey.fromMasterSeed(new Uint8Array(32).fill(9));
const theirs = p2wpkh(someone.publicKey as Uint8Array, networkOf('regtest'));
const THEIR_SCRIPT = Buffer.from(theirs.script).toString('hex');

let store: Store;
const run = <T>(fn: (trx: Trx) => T | Promise<T>): Promise<T> => store.transact('test', fn);
beforeAll(async () => {
  store = await openScratch();
  while (await run(beginChain));
});
afterAll(() => store.close());

const tipHeight = async (): Promise<number> => (await findTip(store.read))?.height ?? -1;
/** Spends their coins on to themselves, signed with `key`. */
const spend = async (key: HDKey, fee = 1_000): Promise<Uint8Array> => {
  const coin = (await unspentOf(store.read, THEIR_SCRIPT))[0];
  if (coin === undefined) throw new Error('no coin');
  const transaction = new Transaction();
  transaction.addInput({
    txid: coin.txid,
    index: coin.vout,
    sequence: 0xfffffffd,
    witnessUtxo: { script: p2wpkh(key.publicKey as Uint8Array).script, amount: BigInt(coin.value_sats) },
  });
  transaction.addOutput({ script: theirs.script, amount: BigInt(coin.value_sats - fee) });
  transaction.sign(key.privateKey as Uint8Array);
  transaction.finalize();
  return transaction.extract();
};

describe('the local chain', () => {
  test('is the same wherever it begins, and every block follows the one before with its work done', async () => {
    const other = await openScratch();
    while (await other.transact('test', beginChain));
    expect(await findTip(other.read)).toEqual(await findTip(store.read));
    await other.close();
    for (let height = 1; height <= (await tipHeight()); height += 1) {
      const header = parseHeader((await findBlock(store.read, height))?.header as Buffer);
      expect(header.previous).toBe((await findBlock(store.read, height - 1))?.hash);
      expect(header.hash < '80').toBe(true);
    }
  });

  test('a payment waits in the mempool and enters a block', async () => {
    const { tx } = await run((trx) => pay(trx, { script: THEIR_SCRIPT, sats: 50_000 }));
    expect(await mempoolTxids(store.read)).toContain(tx.txid);
    const parsed = Transaction.fromRaw(tx.raw, { allowUnknownOutputs: true });
    expect(parsed.id).toBe(tx.txid);
    await run((trx) => mine(trx, { blocks: 1, nowMs: NOW }));
    expect(await mempoolTxids(store.read)).toEqual([]);
    expect((await findTransaction(store.read, tx.txid))?.height).toBe(await tipHeight());
    const [reward] = await blockTransactions(store.read, await tipHeight());
    expect(reward?.tx.outputs[0]?.value_sats).toBe(50 * 100_000_000 + 2 * (11 + 86 + 68));
  });

  test('the Merkle root and witness commitment are those of the transactions', async () => {
    await run((trx) => pay(trx, { script: THEIR_SCRIPT, sats: 50_000 }));
    await run((trx) => mine(trx, { blocks: 1, nowMs: NOW }));
    const [reward, payment, none] = (await blockTransactions(store.read, await tipHeight())).map(
      ({ tx }) => tx,
    );
    expect(none).toBeUndefined();
    const pair = (a: string, b: string): Buffer =>
      sha256d(Buffer.concat([a, b].map((hex) => Buffer.from(hex, 'hex').reverse())));
    const header = parseHeader((await findBlock(store.read, await tipHeight()))?.header as Buffer);
    expect(header.merkle_root).toBe(shown(pair(reward?.txid ?? '', payment?.txid ?? '')));
    const root = pair('0'.repeat(64), payment?.wtxid ?? '');
    expect(reward?.outputs[1]?.script).toBe(
      `6a24aa21a9ed${sha256d(Buffer.concat([root, Buffer.alloc(32)])).toString('hex')}`,
    );
  });

  test('refuses what no node would take', async () => {
    const refusal = (raw: Uint8Array) =>
      run((trx) => acceptTransaction(trx, raw)).then(
        () => 'taken',
        (error: Rejected) => error.message,
      );
    await run((trx) => pay(trx, { script: THEIR_SCRIPT, sats: 60_000 }));
    const thief = HDKey.fromMasterSeed(new Uint8Array(32).fill(8));
    expect(await refusal(await spend(thief))).toMatch(/not the one that was paid/);
    const forged = Buffer.from(await spend(someone));
    // A byte of the signature's s.
    const at = forged.length - 4 - 34 - 10;
    forged[at] = (forged[at] as number) ^ 1;
    expect(await refusal(forged)).toMatch(/signature is not valid|cannot be read/);
    expect(await refusal(await spend(someone, 1))).toBe('min relay fee not met');
    expect(await refusal(Buffer.from('00', 'hex'))).toBe('TX decode failed');
    await expect(run((trx) => pay(trx, { script: THEIR_SCRIPT, sats: 293 }))).rejects.toThrow('dust');

    const good = await spend(someone);
    expect(await refusal(good)).toBe('taken');
    expect(await refusal(good)).toBe('taken');
    await run((trx) => mine(trx, { blocks: 1, nowMs: NOW }));
  });

  test('rewards are spendable after a hundred blocks, not before', async () => {
    const height = (await tipHeight()) - COINBASE_MATURITY + 2;
    const immature = (await blockTransactions(store.read, height))[0]?.tx;
    expect(immature?.is_coinbase).toBe(true);
    const coins = await unspentOf(store.read, immature?.outputs[0]?.script ?? '');
    expect(coins.some((coin) => coin.txid === immature?.txid)).toBe(true);
    // The faucet holds it and does not choose it: it asks for more than all ripe rewards.
    await expect(run((trx) => pay(trx, { script: THEIR_SCRIPT, sats: 5_000 * 100_000_000 }))).rejects.toThrow(
      'The faucet has not so much',
    );
  });

  test('a replacement that pays more takes the place of the first, with all that hangs on it', async () => {
    const first = await run((trx) => pay(trx, { script: THEIR_SCRIPT, sats: 70_000 }));
    const child = await run(async (trx) => acceptTransaction(trx, await spend(someone)));
    expect(child.inputs[0]?.txid).toBe(first.tx.txid);
    const second = await run((trx) =>
      pay(trx, { script: THEIR_SCRIPT, sats: 10_000, replaces: first.tx.txid }),
    );
    expect(second.fee_sats).toBeGreaterThan(first.fee_sats);
    expect(await mempoolTxids(store.read)).toEqual([second.tx.txid]);
    await expect(run((trx) => acceptTransaction(trx, first.tx.raw))).rejects.toThrow(Rejected);
    await run((trx) => mine(trx, { blocks: 1, nowMs: NOW }));
  });

  test('blocks that are taken back leave their payments waiting, in order, and their rewards gone', async () => {
    const parent = await run((trx) => pay(trx, { script: THEIR_SCRIPT, sats: 80_000 }));
    const child = await run((trx) => pay(trx, { script: THEIR_SCRIPT, sats: 81_000 }));
    await run((trx) => mine(trx, { blocks: 1, nowMs: NOW }));
    const lost = await findTip(store.read);
    const reward = (await blockTransactions(store.read, lost?.height ?? 0))[0]?.tx.txid ?? '';
    await run((trx) => disconnect(trx, 1));
    expect(await mempoolTxids(store.read)).toEqual([parent.tx.txid, child.tx.txid]);
    expect(await findTransaction(store.read, reward)).toBeUndefined();
    await run((trx) => mine(trx, { blocks: 2, nowMs: NOW + 5_000, only: [child.tx.txid] }));
    expect((await findTip(store.read))?.height).toBe((lost?.height ?? 0) + 1);
    expect((await findBlock(store.read, lost?.height ?? 0))?.hash).not.toBe(lost?.hash);
    // The child may not come before its parent.
    const isChained = child.tx.inputs.some((input) => input.txid === parent.tx.txid);
    expect((await findTransaction(store.read, child.tx.txid))?.height === null).toBe(isChained);
    expect((await findTransaction(store.read, parent.tx.txid))?.height).toBeNull();
  });
});
