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
    build: (block: BlockRow): Tree => {
      const tree = { first_seq: block.first_seq, levels: merkleLevels(leavesOf(reader, block)) };
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
  return (row: TransferRow): Transaction['proof'] => {
    if (row.block_height === null) return null;
    let block = trees.find(row.block_height);
    if (block === undefined) {
      const found = findBlock(reader, row.block_height);
      if (found === undefined) return null;
      if (found.tx_count > leavesLeft) return undefined;
      leavesLeft -= found.tx_count;
      block = trees.build(found);
    }
    const index = row.seq - block.first_seq;
    return { index, path: merklePath(block.levels, index).map((hash) => hash.toString('hex')) };
  };
};

export const createExplorerHandlers = ({ read }: Store): Handlers<Routes> => {
  const trees = createTrees(read);
  /** The transfers that a query asks for, as an open range; null when there can be none. */
  const boundsOf = (query: {
    block?: number | undefined;
    from_block?: number | undefined;
  }): typeof EVERYTHING | null => {
    let { after, before } = EVERYTHING;
    if (query.block !== undefined) {
      const block = findBlock(read, query.block);
      if (block === undefined) return null;
      after = block.first_seq - 1;
      before = block.last_seq + 1;
    }
    if (query.from_block !== undefined) {
      const block = findBlock(read, query.from_block);
      if (block === undefined) return null;
      after = Math.max(after, block.first_seq - 1);
    }
    return { after, before };
  };

  return {
    blocks: ({ query }) => {
      const bounds = { ...EVERYTHING, after: (query.from_height ?? 0) - 1 };
      const { range, direction } = rangeOf(query, bounds);
      const rows = listBlocks(read, range, direction);
      return { status: 200, body: toPage(rows, query.limit, (row) => row.height, toBlock) };
    },
    block: ({ params }) => {
      const block = findBlock(read, params.height);
      if (block === undefined) throw notFound('block');
      return { status: 200, body: toBlock(block) };
    },
    transactions: ({ query }) => {
      const empty = { status: 200 as const, body: { items: [], next_cursor: null } };
      const bounds = boundsOf(query);
      const account = query.address === undefined ? null : findAddress(read, query.address);
      if (bounds === null || account === undefined) return empty;
      const { range, direction } = rangeOf(query, bounds);
      const rows =
        account === null
          ? listTransfers(read, range, direction)
          : listTransfersOf(read, account.id, range, direction);
      const proofOf = query.proofs === 'true' ? proofsOf(read, trees) : null;
      const view = (row: TransferRow): Transaction | null => {
        if (proofOf === null) return toTransaction(row);
        const proof = proofOf(row);
        return proof === undefined ? null : { ...toTransaction(row), proof };
      };
      return { status: 200, body: toPage(rows, query.limit, (row) => row.seq, view) };
    },
    transaction: ({ params }) => {
      const row = findTransferByHash(read, params.hash);
      if (row === undefined) throw notFound('transaction');
      return { status: 200, body: toTransaction(row) };
    },
    proof: ({ params }) => {
      const row = findTransferByHash(read, params.hash);
      if (row === undefined) throw notFound('transaction');
      const block = row.block_height === null ? undefined : findBlock(read, row.block_height);
      const proof = proofsOf(read, trees)(row);
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
    addresses: ({ query }) => {
      const before = query.cursor === undefined ? EVERYTHING.before : fromCursor(query.cursor);
      const rows = listAddresses(read, { before, limit: query.limit + 1 }, query.kind);
      return { status: 200, body: toPage(rows, query.limit, (row) => row.id, toAddress) };
    },
    address: ({ params }) => {
      const row = findAddress(read, params.address);
      if (row === undefined) throw notFound('address');
      const recent = listTransfersOf(read, row.id, { ...EVERYTHING, limit: RECENT }, 'desc');
      return {
        status: 200,
        body: { ...toAddress(row), recent_transactions: recent.map(toTransaction) },
      };
    },
    keys: () => ({ status: 200, body: { keys: publishedKeys(read) } }),
  };
};
