import type { Reader, Store } from '@aitbc/chassis';
import { fromSats } from '@aitbc/contracts';
import { addressOf, scriptOf } from '../wallet.ts';
import { parseHeader } from './blocks.ts';
import { acceptTransaction, disconnect, mine, Rejected } from './chain.ts';
import {
  blockTransactions,
  findBlock,
  findBlockByHash,
  findTip,
  findTransaction,
  mempoolTxids,
  type StoredTx,
} from './store.ts';

// Bitcoin Core's JSON-RPC over the local chain: the calls a watcher makes, and those that drive a test.

export class RpcError extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}
const INVALID_ADDRESS_OR_KEY = -5;
const INVALID_PARAMETER = -8;
const METHOD_NOT_FOUND = -32_601;

const transactionJson = ({ tx, fee_sats }: StoredTx) => ({
  txid: tx.txid,
  hash: tx.wtxid,
  version: tx.version,
  size: tx.raw.length,
  vsize: tx.vsize,
  weight: tx.weight,
  locktime: tx.lock_time,
  vin: tx.inputs.map((input) =>
    tx.is_coinbase
      ? {
          coinbase: input.script_sig,
          txinwitness: input.witness.map((item) => item.toString('hex')),
          sequence: input.sequence,
        }
      : {
          txid: input.txid,
          vout: input.vout,
          scriptSig: { asm: '', hex: input.script_sig },
          txinwitness: input.witness.map((item) => item.toString('hex')),
          sequence: input.sequence,
        },
  ),
  vout: tx.outputs.map(({ script, value_sats }, n) => {
    const address = addressOf(Buffer.from(script, 'hex'), 'regtest');
    return {
      value: fromSats(value_sats),
      n,
      scriptPubKey: {
        hex: script,
        ...(address === null ? { type: 'nulldata' } : { address, type: 'witness_v0_keyhash' }),
      },
    };
  }),
  ...(tx.is_coinbase ? {} : { fee: fromSats(fee_sats) }),
  hex: tx.raw.toString('hex'),
});

const headerJson = async (reader: Reader, hash: string) => {
  const block = await findBlockByHash(reader, hash);
  if (block === undefined) throw new RpcError(INVALID_ADDRESS_OR_KEY, 'Block not found');
  const header = parseHeader(block.header);
  const next = await findBlock(reader, block.height + 1);
  return {
    hash,
    confirmations: ((await findTip(reader))?.height ?? 0) - block.height + 1,
    height: block.height,
    version: header.version,
    merkleroot: header.merkle_root,
    time: header.time_s,
    mediantime: header.time_s,
    nonce: header.nonce,
    bits: header.bits.toString(16),
    ...(block.height === 0 ? {} : { previousblockhash: header.previous }),
    ...(next === undefined ? {} : { nextblockhash: next.hash }),
  };
};

const blockJson = async (reader: Reader, hash: string, verbosity: number) => {
  const header = await headerJson(reader, hash);
  const transactions = await blockTransactions(reader, header.height);
  return {
    ...header,
    nTx: transactions.length,
    tx: verbosity >= 2 ? transactions.map(transactionJson) : transactions.map(({ tx }) => tx.txid),
  };
};

const text = (value: unknown): string => {
  if (typeof value !== 'string') throw new RpcError(INVALID_PARAMETER, 'a string is expected');
  return value;
};
const integer = (value: unknown): number => {
  if (!Number.isSafeInteger(value)) throw new RpcError(INVALID_PARAMETER, 'an integer is expected');
  return value as number;
};

type Method = (params: readonly unknown[]) => unknown;

/** @param changed is called after each change of the chain */
export const createRpcMethods = (store: Store, now: () => number, changed: () => void) => {
  const { read } = store;
  const blockHash = async (height: unknown): Promise<string> => {
    const block = await findBlock(read, integer(height));
    if (block === undefined) throw new RpcError(INVALID_PARAMETER, 'Block height out of range');
    return block.hash;
  };
  const change = async <T>(name: string, fn: Parameters<typeof store.transact<T>>[1]): Promise<T> => {
    try {
      return await store.transact(`local_chain.${name}`, fn);
    } catch (error) {
      throw error instanceof Rejected ? new RpcError(error.code, error.message) : error;
    } finally {
      changed();
    }
  };
  const methods: Record<string, Method> = {
    getblockchaininfo: async () => {
      const tip = await findTip(read);
      return {
        chain: 'regtest',
        blocks: tip?.height ?? 0,
        headers: tip?.height ?? 0,
        bestblockhash: tip?.hash,
        time: tip?.time_s,
        initialblockdownload: false,
      };
    },
    getblockcount: async () => (await findTip(read))?.height ?? 0,
    getbestblockhash: async () => (await findTip(read))?.hash,
    getblockhash: ([height]) => blockHash(height),
    getblockheader: ([hash]) => headerJson(read, text(hash)),
    getblock: ([hash, verbosity = 1]) => blockJson(read, text(hash), integer(verbosity)),
    getrawmempool: () => mempoolTxids(read),
    getrawtransaction: async ([txid, verbose = false]) => {
      const found = await findTransaction(read, text(txid));
      if (found === undefined)
        throw new RpcError(INVALID_ADDRESS_OR_KEY, 'No such mempool or blockchain transaction.');
      return verbose === false || verbose === 0 ? found.tx.raw.toString('hex') : transactionJson(found);
    },
    sendrawtransaction: ([hex]) =>
      change('send', async (trx) => (await acceptTransaction(trx, Buffer.from(text(hex), 'hex'))).txid),
    generatetoaddress: ([blocks, address]) => {
      if (scriptOf(text(address), 'regtest') === null)
        throw new RpcError(INVALID_ADDRESS_OR_KEY, 'Invalid address');
      // Rewards go to the faucet all the same: nobody else has a use for them here.
      return change('mine', (trx) => mine(trx, { blocks: integer(blocks), nowMs: now() }));
    },
    invalidateblock: async ([hash]) => {
      const block = await findBlockByHash(read, text(hash));
      if (block === undefined) throw new RpcError(INVALID_ADDRESS_OR_KEY, 'Block not found');
      return change('invalidate', async (trx) => {
        await disconnect(trx, ((await findTip(trx))?.height ?? 0) - block.height + 1);
        return null;
      });
    },
  };
  return async (method: string, params: readonly unknown[]): Promise<unknown> => {
    const found = Object.hasOwn(methods, method) ? methods[method] : undefined;
    if (found === undefined) throw new RpcError(METHOD_NOT_FOUND, 'Method not found');
    return found(params);
  };
};
