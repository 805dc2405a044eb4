import type { Trx } from '@aitbc/chassis';
import { Problem } from '@aitbc/contracts';
import { Transaction } from '@scure/btc-signer';
import { acceptTransaction, isSpendable } from './chain.ts';
import { FAUCET_SCRIPT, faucetKey, faucetSpend } from './keys.ts';
import { findOutput, findTransaction, unspentOf, withDescendants } from './store.ts';
import type { Tx } from './transactions.ts';

/** Signals that it may be replaced (BIP 125). */
const SEQUENCE = 0xfffffffd;
const FEE_RATE = 2;
/** Virtual bytes of a transaction without inputs, and of each p2wpkh input. */
const BASE_VSIZE = 11 + 2 * 43;
const INPUT_VSIZE = 68;
/** A smaller rest is left to the miner. */
const CHANGE_SATS_MIN = 546;

interface Coin {
  txid: string;
  vout: number;
  value_sats: number;
}

const feeFor = (inputs: number): number => (BASE_VSIZE + inputs * INPUT_VSIZE) * FEE_RATE;

const choose = async (
  trx: Trx,
  sats: number,
  feeSats: number | undefined,
): Promise<{ coins: Coin[]; fee: number }> => {
  const coins: Coin[] = [];
  let sum = 0;
  for (const coin of await unspentOf(trx, FAUCET_SCRIPT)) {
    if (!(await isSpendable(trx, coin))) continue;
    coins.push(coin);
    sum += coin.value_sats;
    const fee = feeSats ?? feeFor(coins.length);
    if (sum >= sats + fee) return { coins, fee };
  }
  throw new Problem(
    'INSUFFICIENT_FUNDS',
    'The faucet has not so much; mine blocks, and it gets their rewards.',
  );
};

/** The coins of a transaction that still waits: to spend them another way. */
const coinsOf = async (trx: Trx, txid: string): Promise<{ coins: Coin[]; fee: number }> => {
  const replaced = await findTransaction(trx, txid);
  if (replaced === undefined) throw new Error(`no transaction ${txid}`);
  const coins: Coin[] = [];
  for (const { txid: spent, vout } of replaced.tx.inputs)
    coins.push({ txid: spent, vout, value_sats: (await findOutput(trx, spent, vout))?.value_sats ?? 0 });
  let fee = feeFor(coins.length);
  for (const each of await withDescendants(trx, txid))
    fee += (await findTransaction(trx, each))?.fee_sats ?? 0;
  return { coins, fee };
};

/**
 * Pays from the faucet: a signed transaction into the mempool.
 * @param to.replaces spends the coins of this waiting transaction instead, with a higher fee
 * @throws Problem INSUFFICIENT_FUNDS; Rejected
 */
export const pay = async (
  trx: Trx,
  to: { script: string; sats: number; fee_sats?: number; replaces?: string },
): Promise<{ tx: Tx; fee_sats: number }> => {
  const { coins, fee } =
    to.replaces === undefined ? await choose(trx, to.sats, to.fee_sats) : await coinsOf(trx, to.replaces);
  const transaction = new Transaction({ allowUnknownOutputs: true });
  for (const coin of coins)
    transaction.addInput({
      txid: coin.txid,
      index: coin.vout,
      sequence: SEQUENCE,
      witnessUtxo: { script: faucetSpend.script, amount: BigInt(coin.value_sats) },
    });
  transaction.addOutput({ script: Buffer.from(to.script, 'hex'), amount: BigInt(to.sats) });
  const change = coins.reduce((sum, coin) => sum + coin.value_sats, 0) - to.sats - fee;
  if (change >= CHANGE_SATS_MIN)
    transaction.addOutput({ script: faucetSpend.script, amount: BigInt(change) });
  transaction.sign(faucetKey.privateKey as Uint8Array);
  transaction.finalize();
  const tx = await acceptTransaction(trx, transaction.extract());
  return { tx, fee_sats: (await findTransaction(trx, tx.txid))?.fee_sats ?? fee };
};
