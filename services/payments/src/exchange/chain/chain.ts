import type { Reader, Trx } from '@aitbc/chassis';
import { coinbase, mineHeader, parseHeader, SUBSIDY_SATS } from './blocks.ts';
import { FAUCET_SCRIPT } from './keys.ts';
import {
  addBlock,
  addTransaction,
  blockTransactions,
  dropBlock,
  dropTransactions,
  findOutput,
  findTip,
  findTransaction,
  mempool,
  nextMempoolPosition,
  placeTransaction,
  type StoredTx,
  shiftMempool,
  withDescendants,
} from './store.ts';
import { checkInput, NO_TXID, parseTransaction, type Tx } from './transactions.ts';

/** Blocks until a reward may be spent. */
export const COINBASE_MATURITY = 100;
/** Mined at the beginning, so that the faucet has ten spendable rewards. */
const FIRST_BLOCKS = COINBASE_MATURITY + 10;
/** The first second of regtest. */
const GENESIS_TIME_S = 1_296_688_602;
/** What a node relays at the least, in satoshis a virtual byte. */
const FEE_RATE_MIN = 1;
const DUST_SATS = 546;
const WITNESS_DUST_SATS = 294;

/** A transaction that no node would take; the code is that of Bitcoin Core's RPC. */
export class Rejected extends Error {
  readonly code: number;
  constructor(message: string, code = -26) {
    super(message);
    this.code = code;
  }
}
const MISSING_INPUTS = -25;

const dustOf = (script: string): number =>
  script.startsWith('6a') ? 0 : /^(00|5[1-9a-f]|60)/.test(script) ? WITNESS_DUST_SATS : DUST_SATS;

const isMature = (place: { height: number | null; position: number }, tipHeight: number): boolean =>
  place.height === null || place.position > 0 || tipHeight + 1 - place.height >= COINBASE_MATURITY;

/**
 * Takes a transaction into the mempool, by the rules: its inputs exist, are mature and signed for, and no money is made.
 * One that spends what a waiting one spends takes its place if it pays more (BIP 125).
 * @throws Rejected
 */
export const acceptTransaction = async (trx: Trx, raw: Uint8Array): Promise<Tx> => {
  let tx: Tx;
  try {
    tx = parseTransaction(raw);
  } catch {
    throw new Rejected('TX decode failed', -22);
  }
  if ((await findTransaction(trx, tx.txid)) !== undefined) return tx;
  if (tx.is_coinbase) throw new Rejected('coinbase');
  const outpoints = new Set(tx.inputs.map((input) => `${input.txid}:${input.vout}`));
  if (outpoints.size !== tx.inputs.length) throw new Rejected('bad-txns-inputs-duplicate');

  const tipHeight = (await findTip(trx))?.height ?? 0;
  const conflicts = new Set<string>();
  let inSats = 0;
  for (const [index, input] of tx.inputs.entries()) {
    const spent = await findOutput(trx, input.txid, input.vout);
    if (spent === undefined) throw new Rejected('bad-txns-inputs-missingorspent', MISSING_INPUTS);
    if (!isMature(spent, tipHeight)) throw new Rejected('bad-txns-premature-spend-of-coinbase');
    if (spent.spent_by !== null) {
      if ((await findTransaction(trx, spent.spent_by))?.height !== null)
        throw new Rejected('bad-txns-inputs-missingorspent', MISSING_INPUTS);
      for (const txid of await withDescendants(trx, spent.spent_by)) conflicts.add(txid);
    }
    const wrong = checkInput(tx, index, spent);
    if (wrong !== null) throw new Rejected(`mandatory-script-verify-flag-failed (${wrong})`);
    inSats += spent.value_sats;
  }
  const outSats = tx.outputs.reduce((sum, output) => sum + output.value_sats, 0);
  if (tx.outputs.some((output) => output.value_sats < dustOf(output.script))) throw new Rejected('dust');
  const fee = inSats - outSats;
  if (fee < 0) throw new Rejected('bad-txns-in-belowout');
  if (fee < tx.vsize * FEE_RATE_MIN) throw new Rejected('min relay fee not met');
  let replacedFees = 0;
  for (const txid of conflicts) replacedFees += (await findTransaction(trx, txid))?.fee_sats ?? 0;
  if (conflicts.size > 0 && fee < replacedFees + tx.vsize * FEE_RATE_MIN)
    throw new Rejected('insufficient fee, rejecting replacement');

  await dropTransactions(trx, [...conflicts]);
  await addTransaction(trx, tx, fee, null, await nextMempoolPosition(trx));
  return tx;
};

/** @returns what waits on, and is in no block yet */
const mineOne = async (
  trx: Trx,
  block: { height: number; previous: string; timeS: number },
  waiting: readonly StoredTx[],
  only: ReadonlySet<string> | null,
): Promise<{ hash: string; waiting: readonly StoredTx[] }> => {
  const { height } = block;
  const left = new Set<string>();
  const chosen = waiting.filter(({ tx }) => {
    const isFree = !tx.inputs.some((input) => left.has(input.txid));
    if (isFree && (only === null || only.has(tx.txid))) return true;
    left.add(tx.txid);
    return false;
  });
  const fees = chosen.reduce((sum, each) => sum + each.fee_sats, 0);
  const txs = chosen.map((each) => each.tx);
  const reward = parseTransaction(coinbase(height, SUBSIDY_SATS + fees, FAUCET_SCRIPT, txs));
  const header = mineHeader(block.previous, [reward.txid, ...txs.map((tx) => tx.txid)], block.timeS);
  const { hash } = parseHeader(header);
  await Promise.all([
    addBlock(trx, { height, hash, header, time_s: block.timeS }),
    addTransaction(trx, reward, 0, height, 0),
    ...txs.map((tx, index) => placeTransaction(trx, tx.txid, height, index + 1)),
  ]);
  return { hash, waiting: waiting.filter(({ tx }) => left.has(tx.txid)) };
};

/**
 * Mines blocks with what waits in the mempool, the rewards going to the faucet.
 * @param options.only takes these transactions alone, where their parents are in the chain too
 * @returns their hashes
 */
export const mine = async (
  trx: Trx,
  options: { blocks: number; nowMs: number; only?: readonly string[] },
): Promise<string[]> => {
  const only = options.only === undefined ? null : new Set(options.only);
  const hashes: string[] = [];
  const tip = await findTip(trx);
  let waiting: readonly StoredTx[] = await mempool(trx);
  let height = tip?.height ?? -1;
  let previous = tip?.hash ?? NO_TXID;
  let timeS = tip?.time_s ?? 0;
  for (let count = 0; count < options.blocks; count += 1) {
    height += 1;
    timeS = Math.max(timeS + 1, Math.floor(options.nowMs / 1_000));
    const mined = await mineOne(trx, { height, previous, timeS }, waiting, only);
    previous = mined.hash;
    waiting = mined.waiting;
    hashes.push(mined.hash);
  }
  return hashes;
};

/** Takes the last blocks back. Their transactions wait in the mempool again; what spent a lost reward is gone. */
export const disconnect = async (trx: Trx, blocks: number): Promise<void> => {
  for (let count = 0; count < blocks; count += 1) {
    const tip = await findTip(trx);
    if (tip === undefined || tip.height === 0) return;
    const [reward, ...rest] = await blockTransactions(trx, tip.height);
    await shiftMempool(trx, rest.length);
    for (const [index, { tx }] of rest.entries()) await placeTransaction(trx, tx.txid, null, index + 1);
    if (reward !== undefined) await dropTransactions(trx, await withDescendants(trx, reward.tx.txid));
    await dropBlock(trx, tip.height);
  }
};

/** So many blocks of the beginning a transaction: a store on another machine takes a millisecond a statement. */
const BEGIN_BATCH = 20;
/**
 * Makes the chain where there is none, some blocks a call: the same blocks everywhere, long before any invoice.
 * @returns whether some are missing yet
 */
export const beginChain = async (trx: Trx): Promise<boolean> => {
  const first = ((await findTip(trx))?.height ?? -1) + 1;
  const last = Math.min(first + BEGIN_BATCH - 1, FIRST_BLOCKS);
  for (let height = first; height <= last; height += 1)
    await mine(trx, { blocks: 1, nowMs: (GENESIS_TIME_S + height * 600) * 1_000, only: [] });
  return last < FIRST_BLOCKS;
};

/** May the output be spent in the next block? */
export const isSpendable = async (
  reader: Reader,
  output: { height: number | null; position: number },
): Promise<boolean> => isMature(output, (await findTip(reader))?.height ?? 0);
