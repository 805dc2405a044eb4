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

/** The tree of each block is built once for a page: a page holds few blocks whole and two in part. */
const proofsOf = (reader: Reader) => {
  const blocks = new Map<number, { first_seq: number; levels: Buffer[][] }>();
  return (row: TransferRow): Transaction['proof'] => {
    if (row.block_height === null) return null;
    let block = blocks.get(row.block_height);
    if (block === undefined) {
      const found = findBlock(reader, row.block_height);
      if (found === undefined) return null;
      block = { first_seq: found.first_seq, levels: merkleLevels(leavesOf(reader, found)) };
      blocks.set(row.block_height, block);
    }
    const index = row.seq - block.first_seq;
    return { index, path: merklePath(block.levels, index).map((hash) => hash.toString('hex')) };
  };
};

export const createExplorerHandlers = ({ read }: Store): Handlers<Routes> => {
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
      const proofOf = query.proofs === 'true' ? proofsOf(read) : null;
      const view = (row: TransferRow): Transaction =>
        proofOf === null ? toTransaction(row) : { ...toTransaction(row), proof: proofOf(row) };
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
      const proof = proofsOf(read)(row);
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
