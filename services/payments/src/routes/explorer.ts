import type { Handlers, Reader, Store } from '@aitbc/chassis';
import {
  merkleLevels,
  merklePath,
  notFound,
  Problem,
  type paymentsRoutes,
  type Transaction,
} from '@aitbc/contracts';
import { fromCursor, toPage } from '../cursor.ts';
import { publishedKeys } from '../signing.ts';
import { leavesOf } from '../store/blocks.ts';
import {
  type BlockRow,
  EVERYTHING,
  findAddress,
  findBlock,
  findBlockByHash,
  findTransferByHash,
  listAddresses,
  listBlocks,
  listTransfers,
  listTransfersOf,
  type Range,
  type TransferRow,
} from '../store/explorer.ts';
import { toAddress, toBlock, toTransaction } from '../views.ts';

const RECENT = 25;

type Routes = Pick<
  typeof paymentsRoutes,
  'blocks' | 'block' | 'transactions' | 'transaction' | 'proof' | 'addresses' | 'address' | 'keys'
>;

/** Where the page begins, within `bounds`: one row more than the page tells whether there is another. */
const rangeOf = (
  query: { limit: number; cursor?: string | undefined; order: 'newest' | 'oldest' },
  bounds: { after: number; before: number },
): { range: Range; direction: 'asc' | 'desc' } => {
  const place = query.cursor === undefined ? null : fromCursor(query.cursor);
  const isAscending = query.order === 'oldest';
  return {
    range: {
      after: Math.max(bounds.after, isAscending ? (place ?? bounds.after) : bounds.after),
      before: Math.min(bounds.before, isAscending ? bounds.before : (place ?? bounds.before)),
      limit: query.limit + 1,
    },
    direction: isAscending ? 'asc' : 'desc',
  };
};

/** Leaves hashed for one answer: two of the largest blocks, some 30 ms. A page that would need more ends before it. */
const LEAVES_MAX = 8_192;
/** Trees kept: eight of the largest blocks are some 10 MB. Whoever walks a block page by page finds its tree again. */
const TREES_MAX = 8;

interface Tree {
  readonly first_seq: number;
  readonly levels: Buffer[][];
}

/** The trees of the blocks asked for last. Sealed blocks never change, so a tree is never stale. */
const createTrees = (reader: Reader) => {
  const trees = new Map<number, Tree>();
  return {
    find: (height: number): Tree | undefined => trees.get(height),
    build: async (block: BlockRow): Promise<Tree> => {
      const tree = { first_seq: block.first_seq, levels: merkleLevels(await leavesOf(reader, block)) };
      trees.delete(block.height);
      const [oldest] = trees.size < TREES_MAX ? [] : trees.keys();
      if (oldest !== undefined) trees.delete(oldest);
      trees.set(block.height, tree);
      return tree;
    },
  };
};

/** The proofs of one answer: undefined for one that would cost more than an answer may. */
const proofsOf = (reader: Reader, trees: ReturnType<typeof createTrees>) => {
  let leavesLeft = LEAVES_MAX;
  return async (row: TransferRow): Promise<Transaction['proof']> => {
    if (row.block_height === null) return null;
    let block = trees.find(row.block_height);
    if (block === undefined) {
      const found = await findBlock(reader, row.block_height);
      if (found === undefined) return null;
      if (found.tx_count > leavesLeft) return undefined;
      leavesLeft -= found.tx_count;
      block = await trees.build(found);
    }
    const index = row.seq - block.first_seq;
    return { index, path: merklePath(block.levels, index).map((hash) => hash.toString('hex')) };
  };
};

export const createExplorerHandlers = ({ read }: Store): Handlers<Routes> => {
  const trees = createTrees(read);
  /** The transfers that a query asks for, as an open range; null when there can be none. */
  const boundsOf = async (query: {
    block?: number | undefined;
    from_block?: number | undefined;
  }): Promise<typeof EVERYTHING | null> => {
    let { after, before } = EVERYTHING;
    if (query.block !== undefined) {
      const block = await findBlock(read, query.block);
      if (block === undefined) return null;
      after = block.first_seq - 1;
      before = block.last_seq + 1;
    }
    if (query.from_block !== undefined) {
      const block = await findBlock(read, query.from_block);
      if (block === undefined) return null;
      after = Math.max(after, block.first_seq - 1);
    }
    return { after, before };
  };

  return {
    blocks: async ({ query }) => {
      const bounds = { ...EVERYTHING, after: (query.from_height ?? 0) - 1 };
      const { range, direction } = rangeOf(query, bounds);
      const rows = await listBlocks(read, range, direction);
      return { status: 200, body: await toPage(rows, query.limit, (row) => row.height, toBlock) };
    },
    block: async ({ params }) => {
      const { height } = params;
      const block =
        typeof height === 'number' ? await findBlock(read, height) : await findBlockByHash(read, height);
      if (block === undefined) throw notFound('block');
      return { status: 200, body: toBlock(block) };
    },
    transactions: async ({ query }) => {
      const empty = { status: 200 as const, body: { items: [], next_cursor: null } };
      const bounds = await boundsOf(query);
      const account = query.address === undefined ? null : await findAddress(read, query.address);
      if (bounds === null || account === undefined) return empty;
      const { range, direction } = rangeOf(query, bounds);
      const rows =
        account === null
          ? await listTransfers(read, range, direction)
          : await listTransfersOf(read, account.id, range, direction);
      const proofOf = query.proofs === 'true' ? proofsOf(read, trees) : null;
      const view = async (row: TransferRow): Promise<Transaction | null> => {
        if (proofOf === null) return toTransaction(row);
        const proof = await proofOf(row);
        return proof === undefined ? null : { ...toTransaction(row), proof };
      };
      return { status: 200, body: await toPage(rows, query.limit, (row) => row.seq, view) };
    },
    transaction: async ({ params }) => {
      const row = await findTransferByHash(read, params.hash);
      if (row === undefined) throw notFound('transaction');
      return { status: 200, body: toTransaction(row) };
    },
    proof: async ({ params }) => {
      const row = await findTransferByHash(read, params.hash);
      if (row === undefined) throw notFound('transaction');
      const block = row.block_height === null ? undefined : await findBlock(read, row.block_height);
      const proof = await proofsOf(read, trees)(row);
      if (block === undefined || proof == null)
        throw new Problem('TRANSACTION_NOT_SEALED', 'This transaction is not in a block yet.', {
          retryAfterSeconds: 2,
        });
      return {
        status: 200,
        body: {
          transaction_hash: params.hash,
          ...proof,
          tx_count: block.tx_count,
          merkle_root: block.merkle_root,
          block_height: block.height,
          block_hash: block.hash,
        },
      };
    },
    addresses: async ({ query }) => {
      const before = query.cursor === undefined ? EVERYTHING.before : fromCursor(query.cursor);
      const rows = await listAddresses(read, { before, limit: query.limit + 1 }, query.kind);
      return { status: 200, body: await toPage(rows, query.limit, (row) => row.id, toAddress) };
    },
    address: async ({ params }) => {
      const row = await findAddress(read, params.address);
      if (row === undefined) throw notFound('address');
      const recent = await listTransfersOf(read, row.id, { ...EVERYTHING, limit: RECENT }, 'desc');
      return {
        status: 200,
        body: { ...toAddress(row), recent_transactions: recent.map(toTransaction) },
      };
    },
    keys: async () => ({ status: 200, body: { keys: await publishedKeys(read) } }),
  };
};
