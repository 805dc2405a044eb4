import { builder, hot, type Params, type Reader } from '@aitbc/chassis';
import type { AccountKind } from '@aitbc/contracts';
import type { Tables } from '../tables.ts';

const db = builder<Tables>();

/** An open range of sequence numbers, and so many rows of it. */
export interface Range {
  after: number;
  before: number;
  limit: number;
}
export const EVERYTHING = { after: -1, before: Number.MAX_SAFE_INTEGER };

const blockColumns = [
  'height',
  'hash',
  'previous_hash',
  'merkle_root',
  'first_seq',
  'last_seq',
  'tx_count',
  'sealed_at_ms',
  'proposer',
  'signature',
] as const;
const blocksIn = (direction: 'asc' | 'desc') =>
  hot((p: Params<Range & object>) =>
    db
      .selectFrom('block')
      .select(blockColumns)
      .where('height', '>', p('after'))
      .where('height', '<', p('before'))
      .orderBy('height', direction)
      .limit(p('limit')),
  );
const blocks = { asc: blocksIn('asc'), desc: blocksIn('desc') };
export const listBlocks = (reader: Reader, range: Range, direction: 'asc' | 'desc') =>
  reader.all(blocks[direction], range);

const block = hot((p: Params<{ height: number }>) =>
  db.selectFrom('block').select(blockColumns).where('height', '=', p('height')),
);
export const findBlock = (reader: Reader, height: number) => reader.get(block, { height });
const blockByHash = hot((p: Params<{ hash: string }>) =>
  db.selectFrom('block').select(blockColumns).where('hash', '=', p('hash')),
);
export const findBlockByHash = (reader: Reader, hash: string) => reader.get(blockByHash, { hash });
export type BlockRow = NonNullable<Awaited<ReturnType<typeof findBlock>>>;

// The block of a transfer is the first that ends at or after it: one step down an index.
const transfers = () =>
  db
    .selectFrom('transfer as t')
    .innerJoin('account as d', 'd.id', 't.debit')
    .innerJoin('account as c', 'c.id', 't.credit')
    .select((eb) => [
      't.seq',
      't.id',
      't.hash',
      't.amount_minor',
      't.kind',
      't.reference',
      't.created_at_ms',
      'd.address as from_address',
      'c.address as to_address',
      eb
        .selectFrom('block')
        .select('height')
        .whereRef('block.last_seq', '>=', 't.seq')
        .orderBy('block.last_seq')
        .limit(1)
        .as('block_height'),
    ]);

const transfersIn = (direction: 'asc' | 'desc') =>
  hot((p: Params<Range & object>) =>
    transfers()
      .where('t.seq', '>', p('after'))
      .where('t.seq', '<', p('before'))
      .orderBy('t.seq', direction)
      .limit(p('limit')),
  );
const everyTransfer = { asc: transfersIn('asc'), desc: transfersIn('desc') };
export const listTransfers = (reader: Reader, range: Range, direction: 'asc' | 'desc') =>
  reader.all(everyTransfer[direction], range);

// Each side has its own index and gives at most a page; no transfer has the same account on both.
const sideIn = (side: 'debit' | 'credit', direction: 'asc' | 'desc') =>
  hot((p: Params<Range & { account: number }>) =>
    transfers()
      .where(`t.${side}`, '=', p('account'))
      .where('t.seq', '>', p('after'))
      .where('t.seq', '<', p('before'))
      .orderBy('t.seq', direction)
      .limit(p('limit')),
  );
const debits = { asc: sideIn('debit', 'asc'), desc: sideIn('debit', 'desc') };
const credits = { asc: sideIn('credit', 'asc'), desc: sideIn('credit', 'desc') };
export const listTransfersOf = async (
  reader: Reader,
  account: number,
  range: Range,
  direction: 'asc' | 'desc',
): Promise<TransferRow[]> => {
  const values = { ...range, account };
  const sign = direction === 'asc' ? 1 : -1;
  return [...(await reader.all(debits[direction], values)), ...(await reader.all(credits[direction], values))]
    .sort((a, b) => sign * (a.seq - b.seq))
    .slice(0, range.limit);
};

const transfer = hot((p: Params<{ hash: Buffer }>) => transfers().where('t.hash', '=', p('hash')));
export const findTransferByHash = (reader: Reader, hash: string) =>
  reader.get(transfer, { hash: Buffer.from(hash, 'hex') });
export type TransferRow = NonNullable<Awaited<ReturnType<typeof findTransferByHash>>>;

const addressColumns = [
  'id',
  'address',
  'kind',
  'account_id',
  'balance_minor',
  'tx_count',
  'first_seen_ms',
  'last_seen_ms',
] as const;
const address = hot((p: Params<{ address: string }>) =>
  db.selectFrom('account').select(addressColumns).where('address', '=', p('address')),
);
export const findAddress = (reader: Reader, value: string) => reader.get(address, { address: value });

const addresses = hot((p: Params<{ before: number; limit: number }>) =>
  db
    .selectFrom('account')
    .select(addressColumns)
    .where('id', '<', p('before'))
    .orderBy('id', 'desc')
    .limit(p('limit')),
);
const addressesOfKind = hot((p: Params<{ before: number; limit: number; kind: AccountKind }>) =>
  db
    .selectFrom('account')
    .select(addressColumns)
    .where('kind', '=', p('kind'))
    .where('id', '<', p('before'))
    .orderBy('id', 'desc')
    .limit(p('limit')),
);
export const listAddresses = async (
  reader: Reader,
  page: { before: number; limit: number },
  kind: AccountKind | undefined,
) =>
  kind === undefined
    ? await reader.all(addresses, page)
    : await reader.all(addressesOfKind, { ...page, kind });
