import { type Block, type Transaction, verifyBlock, verifyInclusion } from '@aitbc/sdk';
import { api } from '../../session.ts';

// What the ledger shows, with the arithmetic done here.

/** A block, and whether its hash, its signature and its place after the one before it are right. */
export const checkedBlock = async (height: number, signal: AbortSignal) => {
  const [block, previous, keys] = await Promise.all([
    api().explorer.block(height, { signal }),
    height > 0 ? api().explorer.block(height - 1, { signal }) : undefined,
    api().explorer.ledgerKeys({ signal }),
  ]);
  return { block, verdict: await verifyBlock(block, keys, previous) };
};

/** A transfer and, once it is sealed, whether its block holds it. */
export const checkedTransaction = async (hash: string, signal: AbortSignal) => {
  const transaction = await api().explorer.transaction(hash, { signal });
  if (transaction.block_height === null) return { transaction, seal: null };
  const [proof, { block, verdict }] = await Promise.all([
    api().explorer.proof(transaction.hash, { signal }),
    checkedBlock(transaction.block_height, signal),
  ]);
  const inclusion = await verifyInclusion(transaction, proof, block);
  return { transaction, seal: { block, proof, ofBlock: verdict, ofPath: inclusion } };
};

const KINDS: Record<string, string> = {
  credit: 'New money from the mint',
  exchange: 'Bought with bitcoin',
  hold: 'Set aside for a job or a booking',
  release: 'Paid for work done',
  fee: 'The platform’s part',
  refund: 'Given back',
  treasury_share: 'The treasury’s part of the fees',
  allocation: 'Decided by vote',
  transfer: 'From one account to another',
};
export const kindOf = ({ kind }: Pick<Transaction, 'kind'>): string => KINDS[kind] ?? kind;

export type Found =
  | { readonly to: '/explorer/blocks/$height'; readonly params: { height: string } }
  | { readonly to: '/explorer/transactions/$hash'; readonly params: { hash: string } }
  | { readonly to: '/explorer/addresses/$address'; readonly params: { address: string } }
  | { readonly to: '/jobs/$jobId'; readonly params: { jobId: string } };

const BLOCKS_SEARCHED = 500;

/** Where something is, whatever it is: a height, a hash of a transfer or block, an address, a job. */
export const find = async (text: string): Promise<Found | undefined> => {
  const wanted = text.trim();
  if (/^\d{1,15}$/.test(wanted)) return { to: '/explorer/blocks/$height', params: { height: wanted } };
  if (/^[0-9a-f]{64}$/i.test(wanted)) {
    const hash = wanted.toLowerCase();
    const isThere = await api()
      .explorer.transaction(hash)
      .then(
        () => true,
        () => false,
      );
    if (isThere) return { to: '/explorer/transactions/$hash', params: { hash } };
    const { items } = await api().explorer.blocks({ limit: BLOCKS_SEARCHED }).page();
    const block = items.find((each: Block) => each.hash === hash);
    return block === undefined
      ? undefined
      : { to: '/explorer/blocks/$height', params: { height: String(block.height) } };
  }
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(wanted))
    return { to: '/jobs/$jobId', params: { jobId: wanted.toLowerCase() } };
  return wanted === '' ? undefined : { to: '/explorer/addresses/$address', params: { address: wanted } };
};
