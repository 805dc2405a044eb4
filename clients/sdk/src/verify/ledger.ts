import type { Block, InclusionProof, Transaction } from '../contract.ts';
import {
  type Bytes,
  concat,
  findKey,
  fromBase64url,
  hashFromHex,
  isSignedBy,
  type PublicKey,
  sha256,
  toHex,
  utf8,
} from './bytes.ts';

/** Null reason: it is as it must be. */
export interface LedgerVerdict {
  readonly valid: boolean;
  readonly reason: string | null;
}
const VALID: LedgerVerdict = { valid: true, reason: null };
const invalid = (reason: string): LedgerVerdict => ({ valid: false, reason });

const MINOR_PER_AITBC = 100_000_000;
/** Whole and fraction apart: one product of both would be off by one for large amounts. */
const toMinor = (amount: number): number => {
  const whole = Math.trunc(amount);
  return whole * MINOR_PER_AITBC + Math.round((amount - whole) * MINOR_PER_AITBC);
};

/**
 * Checks a sealed block without asking anyone: its hash, its signature and, with the one before it, that it follows.
 * @param keys of `explorer.ledgerKeys`, kept from a time when they were trusted
 */
export const verifyBlock = async (
  block: Block,
  keys: readonly PublicKey[],
  previous?: Block,
): Promise<LedgerVerdict> => {
  const header = utf8(
    [
      'aitbc-block-v1',
      block.height,
      block.previous_hash,
      block.merkle_root,
      block.tx_count,
      Date.parse(block.timestamp),
      block.proposer,
    ].join('\n'),
  );
  if (toHex(await sha256(header)) !== block.hash) return invalid('hash is not the SHA-256 of the header');
  const key = await findKey(keys, block.proposer);
  if (key === undefined) return invalid('proposer is not among the keys given');
  const signature = fromBase64url(block.signature);
  if (signature === undefined || !(await isSignedBy(key, signature, header)))
    return invalid('signature is not valid');
  if (previous === undefined) return VALID;
  if (block.height !== previous.height + 1)
    return invalid(`height ${block.height} follows height ${previous.height}`);
  if (block.previous_hash !== previous.hash)
    return invalid('previous_hash is not the hash of the block before');
  if (Date.parse(block.timestamp) < Date.parse(previous.timestamp))
    return invalid('is older than the block before');
  return VALID;
};

/** The hash of a transaction: the RFC 6962 leaf hash of its content. */
const transactionHash = (transaction: Transaction): Promise<Bytes> =>
  sha256(
    utf8(
      [
        '\0aitbc-transfer-v1',
        transaction.id,
        transaction.from,
        transaction.to,
        toMinor(transaction.value),
        transaction.kind,
        transaction.reference,
        Date.parse(transaction.timestamp),
      ].join('\n'),
    ),
  );

const NODE = new Uint8Array([1]);
const nodeHash = (left: Bytes, right: Bytes): Promise<Bytes> => sha256(concat(NODE, left, right));

/** RFC 9162, 2.1.3.2: the root that a path leads to from a leaf; undefined when it leads nowhere. */
const rootOf = async (
  leaf: Bytes,
  index: number,
  size: number,
  path: readonly string[],
): Promise<string | undefined> => {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) return undefined;
  let position = index;
  let last = size - 1;
  let value = leaf;
  for (const hex of path) {
    const sibling = hashFromHex(hex);
    if (last === 0 || sibling === undefined) return undefined;
    if (position % 2 === 1 || position === last) {
      value = await nodeHash(sibling, value);
      while (position % 2 === 0 && position !== 0) {
        position = Math.floor(position / 2);
        last = Math.floor(last / 2);
      }
    } else {
      value = await nodeHash(value, sibling);
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 ? toHex(value) : undefined;
};

/**
 * Checks without asking anyone that a block holds a transaction with exactly this content. The block itself is for
 * `verifyBlock`.
 * @param proof of `explorer.proof`, or the `proof` of a transaction listed with `proofs: true`
 */
export const verifyInclusion = async (
  transaction: Transaction,
  proof: Pick<InclusionProof, 'index' | 'path'>,
  block: Pick<Block, 'merkle_root' | 'tx_count'>,
): Promise<LedgerVerdict> => {
  const leaf = await transactionHash(transaction);
  if (toHex(leaf) !== transaction.hash) return invalid('hash does not match the content of the transaction');
  return (await rootOf(leaf, proof.index, block.tx_count, proof.path)) === block.merkle_root
    ? VALID
    : invalid('the proof does not lead to the merkle_root of the block');
};
