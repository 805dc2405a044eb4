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

const NAME = 'Esplora';
/** Confirmed transactions of one page, by Esplora's documentation. */
const PAGE = 25;
/** Pages read of one address in a look; an address with more news than that is judged the next time. */
const PAGES_MAX = 20;
const AT_ONCE = 4;
/** No reorganisation reaches deeper: what stood lower at the last look stands there still. */
const REORG_DEPTH = 100;

/** The first block says which chain it is. On regtest everybody has an own one. */
const GENESIS: Record<BitcoinNetwork, readonly string[] | null> = {
  mainnet: ['000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f'],
  testnet: [
    '000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943',
    '00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043',
  ],
  signet: ['00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6'],
  regtest: null,
};

const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const Sats = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const Status = z.discriminatedUnion('confirmed', [
  z.object({ confirmed: z.literal(false) }),
  z.object({
    confirmed: z.literal(true),
    block_height: z.number().int(),
    block_hash: Hash,
    block_time: z.number().int(),
  }),
]);
const Transaction = z.object({
  txid: Hash,
  vout: z.array(z.object({ scriptpubkey: z.string(), value: Sats })),
  status: Status,
});
type Transaction = z.output<typeof Transaction>;
const Block = z.object({ id: Hash, height: z.number().int() });

const blockOf = ({ status }: Transaction): Sighting['block'] =>
  status.confirmed
    ? { height: status.block_height, hash: status.block_hash, time_ms: status.block_time * 1_000 }
    : null;

/** Watches address by address: every output of each that was asked about, as it stands now. */
export const createEsploraWatcher = (url: string, network: BitcoinNetwork): Watcher => {
  const base = url.replace(/\/+$/, '');
  let isRightChain = false;

  const get = async (path: string, signal: AbortSignal): Promise<string> => {
    const { status, text } = await ask(NAME, `${base}${path}`, {}, signal);
    if (status === 429) throw new SourceError(`${NAME} asks for fewer requests`);
    if (status !== 200) throw new SourceError(`${NAME} answers ${status} to ${path.split('/')[1]}`);
    return text;
  };
  const tipHash = async (signal: AbortSignal): Promise<string> =>
    understand(NAME, Hash, JSON.stringify((await get('/blocks/tip/hash', signal)).trim()));

  const checkChain = async (signal: AbortSignal): Promise<void> => {
    const expected = GENESIS[network];
    if (isRightChain || expected === null) return;
    const genesis = (await get('/block-height/0', signal)).trim();
    if (!expected.includes(genesis)) throw new SourceError(`${NAME} is not on ${network}`);
    isRightChain = true;
  };

  /** @returns the transactions of an address, down to one that `isEnough`; null when there are too many. */
  const history = async (
    address: string,
    isEnough: (transaction: Transaction) => boolean,
    signal: AbortSignal,
  ): Promise<Transaction[] | null> => {
    const list = z.array(Transaction);
    const first = understand(NAME, list, await get(`/address/${address}/txs`, signal));
    const transactions = [...first];
    let page = first.filter((transaction) => transaction.status.confirmed);
    for (let pages = 1; page.length >= PAGE; pages += 1) {
      const last = page.at(-1) as Transaction;
      if (isEnough(last)) break;
      if (pages >= PAGES_MAX) return null;
      page = understand(NAME, list, await get(`/address/${address}/txs/chain/${last.txid}`, signal));
      transactions.push(...page);
    }
    return transactions;
  };

  const look = async (request: LookRequest, signal: AbortSignal): Promise<Look> => {
    await checkChain(signal);
    const bestHash = await tipHash(signal);
    const best = understand(NAME, Block, await get(`/block/${bestHash}`, signal));
    const tip: BlockRef = { height: best.height, hash: bestHash };
    const { cursor } = request;
    const floor = cursor === null ? null : Math.min(cursor.height, tip.height) - REORG_DEPTH;
    const isOld = (transaction: Transaction): boolean => {
      const block = blockOf(transaction);
      if (block === null) return false;
      return floor === null ? block.time_ms < request.since_ms - BLOCK_TIME_SKEW_MS : block.height < floor;
    };

    /** The lowest height of which all is known, by script. */
    const covered = new Map<string, number>();
    const sightings: Sighting[] = [];
    await inTurns(request.addresses, AT_ONCE, async ({ address, script, isShared }) => {
      const isEnough = isShared ? isOld : () => false;
      const transactions = await history(address, isEnough, signal);
      if (transactions === null) return;
      covered.set(script, isShared ? (floor ?? Number.POSITIVE_INFINITY) : 0);
      for (const transaction of transactions) {
        if (isEnough(transaction)) continue;
        const block = blockOf(transaction);
        for (const [vout, { scriptpubkey, value }] of transaction.vout.entries()) {
          if (scriptpubkey !== script || value === 0) continue;
          sightings.push({ txid: transaction.txid, vout, script, value_sats: value, block });
        }
      }
    });
    // A block came meanwhile: some answers are older than it and some are not, so none is taken for the whole.
    const isSteady = (await tipHash(signal)) === bestHash;
    return {
      base: cursor,
      tip,
      fork_height: null,
      blocks: [tip],
      sightings,
      wouldShow: ({ script, block_height }) =>
        isSteady &&
        (block_height ?? Number.MAX_SAFE_INTEGER) >= (covered.get(script) ?? Number.POSITIVE_INFINITY),
      vouchesFor: (script) => isSteady && covered.has(script),
    };
  };

  return { name: NAME, asksByAddress: true, look };
};
