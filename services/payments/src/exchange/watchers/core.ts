import { toSats } from '@aitbc/contracts';
import { z } from 'zod';
import type { BitcoinNetwork } from '../wallet.ts';
import { ask, inTurns, understand } from './http.ts';
import {
  BLOCK_TIME_SKEW_MS,
  type BlockRef,
  type Look,
  type LookRequest,
  type Sighting,
  SourceError,
  type Watcher,
} from './watcher.ts';

const NAME = 'Bitcoin Core';
/** Blocks of one look: a transaction of ours holds their outputs, and catching up shows progress. */
const BLOCKS_MAX = 20;
/** Unknown mempool transactions fetched in one look; mainnet brings some 7 a second. */
const MEMPOOL_MAX = 2_000;
const BATCH = 100;
const BATCHES_AT_ONCE = 4;

const CHAINS: Record<BitcoinNetwork, readonly string[]> = {
  mainnet: ['main'],
  testnet: ['test', 'testnet4'],
  signet: ['signet'],
  regtest: ['regtest'],
};

const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const Btc = z.number().min(0).transform(toSats);
const Transaction = z.object({
  txid: Hash,
  vout: z.array(
    z.object({ n: z.number().int().min(0), value: Btc, scriptPubKey: z.object({ hex: z.string() }) }),
  ),
});
const ChainInfo = z.object({ chain: z.string(), blocks: z.number().int(), bestblockhash: Hash });
const Header = z.object({ hash: Hash, height: z.number().int(), time: z.number().int() });
const Block = Header.extend({ previousblockhash: Hash.optional(), tx: z.array(Transaction) });
const RpcError = z.object({ code: z.number(), message: z.string() });
const Answer = z.object({ id: z.number(), result: z.unknown(), error: RpcError.nullish() });

/** One for all of a hundred thousand strangers. */
const NOTHING: Sighting[] = [];

const NOT_FOUND = -5;
const OUT_OF_RANGE = -8;

class RpcRefusal extends SourceError {
  readonly code: number;
  constructor(method: string, code: number, message: string) {
    super(`${NAME} refuses ${method}: ${message} (${code})`);
    this.code = code;
  }
}

/** JSON-RPC as Bitcoin Core speaks it. User and password stand in the URL and nowhere else. */
const createRpc = (url: string) => {
  const target = new URL(url);
  const authorization =
    target.username === ''
      ? {}
      : {
          authorization: `Basic ${Buffer.from(`${decodeURIComponent(target.username)}:${decodeURIComponent(target.password)}`).toString('base64')}`,
        };
  target.username = '';
  target.password = '';

  const post = async (body: unknown, signal: AbortSignal): Promise<string> => {
    const { status, text } = await ask(
      NAME,
      target.href,
      {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...authorization },
        body: JSON.stringify(body),
      },
      signal,
    );
    if (status === 401 || status === 403) throw new SourceError(`${NAME} refuses the user or password`);
    // An error of the call itself comes as 404 or 500 with a JSON body; anything else has none.
    if (text === '') throw new SourceError(`${NAME} answers ${status} with nothing`);
    return text;
  };

  const call = async <S extends z.ZodType>(
    schema: S,
    method: string,
    params: unknown[],
    signal: AbortSignal,
  ): Promise<z.output<S>> => {
    const text = await post({ jsonrpc: '1.0', id: 0, method, params }, signal);
    const { result, error } = understand(NAME, Answer, text);
    if (error) throw new RpcRefusal(method, error.code, error.message);
    const parsed = schema.safeParse(result);
    if (!parsed.success) throw new SourceError(`${NAME} answers ${method} with what was not expected`);
    return parsed.data;
  };

  /** The same method for many; null for what was not found. */
  const batch = async <S extends z.ZodType>(
    schema: S,
    method: string,
    params: readonly unknown[][],
    signal: AbortSignal,
  ): Promise<(z.output<S> | null)[]> => {
    const body = params.map((each, id) => ({ jsonrpc: '1.0', id, method, params: each }));
    const answers = new Map(
      understand(NAME, z.array(Answer), await post(body, signal)).map((answer) => [answer.id, answer]),
    );
    return params.map((_, id) => {
      const answer = answers.get(id);
      if (answer === undefined) throw new SourceError(`${NAME} leaves out an answer to ${method}`);
      if (answer.error?.code === NOT_FOUND) return null;
      if (answer.error) throw new RpcRefusal(method, answer.error.code, answer.error.message);
      const parsed = schema.safeParse(answer.result);
      if (!parsed.success) throw new SourceError(`${NAME} answers ${method} with what was not expected`);
      return parsed.data;
    });
  };
  return { call, batch };
};
type Rpc = ReturnType<typeof createRpc>;

const sightingsOf = async (
  transactions: readonly z.output<typeof Transaction>[],
  isWatched: LookRequest['isWatched'],
  block: Sighting['block'],
): Promise<Sighting[]> => {
  const sightings: Sighting[] = [];
  for (const { txid, vout } of transactions)
    for (const { n, value, scriptPubKey } of vout)
      if (value > 0 && (await isWatched(scriptPubKey.hex)))
        sightings.push({ txid, vout: n, script: scriptPubKey.hex, value_sats: value, block });
  return sightings;
};

/** The hash at a height; null above the tip, which can sink while it is asked. */
const hashAt = async (rpc: Rpc, height: number, signal: AbortSignal): Promise<string | null> => {
  try {
    return await rpc.call(Hash, 'getblockhash', [height], signal);
  } catch (error) {
    if (error instanceof RpcRefusal && error.code === OUT_OF_RANGE) return null;
    throw error;
  }
};

/** The highest block that both we and the node have; null when there is none. */
const findFork = async (rpc: Rpc, request: LookRequest, signal: AbortSignal): Promise<BlockRef | null> => {
  if (request.cursor === null) return null;
  for (let { height } = request.cursor; height >= 0; height -= 1) {
    const known = height === request.cursor.height ? request.cursor.hash : await request.hashAt(height);
    if (known === undefined) return null;
    if ((await hashAt(rpc, height, signal)) === known) return { height, hash: known };
  }
  return null;
};

/** Where a first look begins: below the first block that may hold anything of ours. */
const findStart = async (
  rpc: Rpc,
  tipHash: string,
  sinceMs: number,
  signal: AbortSignal,
): Promise<BlockRef> => {
  let header = await rpc.call(Header, 'getblockheader', [tipHash], signal);
  const limitS = (sinceMs - BLOCK_TIME_SKEW_MS) / 1_000;
  // Doubling steps: a year is 16 requests away.
  for (let step = 1; header.height > 0 && header.time >= limitS; step *= 2) {
    const height = Math.max(0, header.height - step);
    const hash = await hashAt(rpc, height, signal);
    if (hash === null) throw new SourceError(`${NAME} changed its chain during the look`);
    header = await rpc.call(Header, 'getblockheader', [hash], signal);
  }
  return { height: header.height, hash: header.hash };
};

/** Watches block by block: every output is compared with what is watched, however old the address. */
export const createCoreWatcher = (url: string, network: BitcoinNetwork): Watcher => {
  const rpc = createRpc(url);
  /** What the mempool held at the last look, with what concerns us. A cache: after a start it is filled again. */
  let mempool = new Map<string, Sighting[]>();

  const lookAtMempool = async (request: LookRequest, signal: AbortSignal) => {
    const txids = await rpc.call(z.array(Hash), 'getrawmempool', [false], signal);
    const unknown = txids.filter((txid) => !mempool.has(txid));
    const fetched = unknown.slice(0, MEMPOOL_MAX);
    const groups = Array.from({ length: Math.ceil(fetched.length / BATCH) }, (_, index) =>
      fetched.slice(index * BATCH, (index + 1) * BATCH),
    );
    const next = new Map<string, Sighting[]>();
    for (const txid of txids) {
      const known = mempool.get(txid);
      if (known !== undefined) next.set(txid, known);
    }
    await inTurns(groups, BATCHES_AT_ONCE, async (group) => {
      const transactions = await rpc.batch(
        Transaction,
        'getrawtransaction',
        group.map((txid) => [txid, true]),
        signal,
      );
      for (const transaction of transactions) {
        // Gone between the two requests: the next look knows where to.
        if (transaction === null) continue;
        const sightings = await sightingsOf([transaction], request.isWatched, null);
        next.set(transaction.txid, sightings.length === 0 ? NOTHING : sightings);
      }
    });
    mempool = next;
    return { txids: new Set(txids), sightings: [...next.values()].flat() };
  };

  const look = async (request: LookRequest, signal: AbortSignal): Promise<Look> => {
    const info = await rpc.call(ChainInfo, 'getblockchaininfo', [], signal);
    if (!CHAINS[network].includes(info.chain))
      throw new SourceError(`${NAME} is on the chain "${info.chain}", not on ${network}`);

    const found = await findFork(rpc, request, signal);
    const start = found ?? (await findStart(rpc, info.bestblockhash, request.since_ms, signal));
    const blocks: BlockRef[] = found === null ? [start] : [];
    const sightings: Sighting[] = [];
    let tip = start;
    while (tip.height < info.blocks && blocks.length <= BLOCKS_MAX) {
      const hash = await hashAt(rpc, tip.height + 1, signal);
      if (hash === null) break;
      const block = await rpc.call(Block, 'getblock', [hash, 2], signal);
      if (block.previousblockhash !== tip.hash)
        throw new SourceError(`${NAME} changed its chain during the look`);
      tip = { height: tip.height + 1, hash };
      blocks.push(tip);
      const at = { ...tip, time_ms: block.time * 1_000 };
      sightings.push(...(await sightingsOf(block.tx, request.isWatched, at)));
    }

    // While blocks are still to be read, a transaction missing in the mempool may stand in one of them.
    const isCaughtUp = tip.hash === info.bestblockhash;
    const pool = isCaughtUp ? await lookAtMempool(request, signal) : null;
    const isSteady =
      pool !== null && (await rpc.call(Hash, 'getbestblockhash', [], signal)) === info.bestblockhash;
    return {
      base: request.cursor,
      tip,
      // Nothing in common with what was seen: then nothing of it holds.
      fork_height: found?.height ?? (request.cursor === null ? null : -1),
      blocks,
      sightings: [...sightings, ...(isSteady ? pool.sightings : [])],
      // Named by the mempool and not fetched yet: a later look shows it.
      wouldShow: ({ state, txid }) => isSteady && state !== 'confirmed' && !pool.txids.has(txid),
      vouchesFor: () => true,
    };
  };

  return { name: NAME, asksByAddress: false, look };
};
