import type { Reader } from '@aitbc/chassis';
import { addressOf, scriptOf } from '../wallet.ts';
import { parseHeader } from './blocks.ts';
import {
  blockTransactions,
  findBlock,
  findBlockByHash,
  findOutput,
  findTip,
  findTransaction,
  mempoolTxids,
  type StoredTx,
  transactionsOf,
} from './store.ts';

// Esplora's HTTP interface over the local chain, as its documentation describes it.

const PAGE = 25;
const MEMPOOL_PAGE = 50;

const status = async (reader: Reader, height: number | null) => {
  const block = height === null ? undefined : await findBlock(reader, height);
  return block === undefined
    ? { confirmed: false }
    : { confirmed: true, block_height: height, block_hash: block.hash, block_time: block.time_s };
};

const outputJson = (output: { script: string; value_sats: number }) => {
  const address = addressOf(Buffer.from(output.script, 'hex'), 'regtest');
  return {
    scriptpubkey: output.script,
    ...(address === null
      ? { scriptpubkey_type: 'op_return' }
      : { scriptpubkey_type: 'v0_p2wpkh', scriptpubkey_address: address }),
    value: output.value_sats,
  };
};

const inputJson = async (reader: Reader, tx: StoredTx['tx'], input: StoredTx['tx']['inputs'][number]) => {
  const spent = await findOutput(reader, input.txid, input.vout);
  return {
    txid: input.txid,
    vout: input.vout,
    prevout: spent === undefined ? null : outputJson(spent),
    scriptsig: input.script_sig,
    witness: input.witness.map((item) => item.toString('hex')),
    is_coinbase: tx.is_coinbase,
    sequence: input.sequence,
  };
};

const transactionJson = async (reader: Reader, { tx, fee_sats, height }: StoredTx) => ({
  txid: tx.txid,
  version: tx.version,
  locktime: tx.lock_time,
  vin: await Promise.all(tx.inputs.map((input) => inputJson(reader, tx, input))),
  vout: tx.outputs.map(outputJson),
  size: tx.raw.length,
  weight: tx.weight,
  fee: fee_sats,
  status: await status(reader, height),
});

const blockJson = async (reader: Reader, hash: string) => {
  const block = await findBlockByHash(reader, hash);
  if (block === undefined) return null;
  const header = parseHeader(block.header);
  return {
    id: hash,
    height: block.height,
    version: header.version,
    timestamp: header.time_s,
    tx_count: (await blockTransactions(reader, block.height)).length,
    merkle_root: header.merkle_root,
    previousblockhash: block.height === 0 ? null : header.previous,
    nonce: header.nonce,
    bits: header.bits,
  };
};

const addressTransactions = async (reader: Reader, script: string) => {
  const all = await transactionsOf(reader, script);
  return [
    ...all.filter((each) => each.height === null).slice(0, MEMPOOL_PAGE),
    ...all.filter((each) => each.height !== null).slice(0, PAGE),
  ];
};

const after = async (reader: Reader, script: string, txid: string | undefined) => {
  const confirmed = (await transactionsOf(reader, script)).filter((each) => each.height !== null);
  const start = txid === undefined ? 0 : confirmed.findIndex((each) => each.tx.txid === txid) + 1;
  return confirmed.slice(start, start + PAGE);
};

/** @returns plain text, JSON, or undefined for what is not there. */
export const answerEsplora = async (reader: Reader, path: string): Promise<string | object | undefined> => {
  const [kind, id = '', what, extra, last] = path.split('/').filter((part) => part !== '');
  const tip = await findTip(reader);
  if (kind === 'blocks' && id === 'tip') return what === 'height' ? String(tip?.height) : tip?.hash;
  if (kind === 'block-height') return (await findBlock(reader, Number(id)))?.hash;
  if (kind === 'mempool' && id === 'txids') return await mempoolTxids(reader);
  if (kind === 'block') {
    const block = await blockJson(reader, id);
    if (what === 'status') return { in_best_chain: block !== null, height: block?.height };
    return block ?? undefined;
  }
  if (kind === 'tx') {
    const found = await findTransaction(reader, id);
    if (found === undefined) return undefined;
    if (what === 'status') return await status(reader, found.height);
    if (what === 'hex') return found.tx.raw.toString('hex');
    return await transactionJson(reader, found);
  }
  if (kind === 'address' && what === 'txs') {
    const script = scriptOf(id, 'regtest');
    if (script === null) return undefined;
    const found =
      extra === 'chain' ? await after(reader, script, last) : await addressTransactions(reader, script);
    return await Promise.all(found.map((each) => transactionJson(reader, each)));
  }
  return undefined;
};
