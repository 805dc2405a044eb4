import { createPublicKey, hash, verify } from 'node:crypto';
import { FIRST_BLOCK_HEIGHT } from './messages/payments.ts';
import { MINOR_PER_AITBC } from './money.ts';

// What anyone needs to check the ledger without asking anyone: addresses, what is hashed, the tree, the chain.
// Pure, so that the service that seals and the stranger who verifies run the same few lines.

/**
 * The most that may ever exist. 6 × 10^7 AITBC is below 2^26, where doubles still stand closer together than 10^-8:
 * so every balance with 8 decimals is exact as a JSON number.
 */
export const SUPPLY_CAP = 60_000_000;
export const SUPPLY_CAP_MINOR = SUPPLY_CAP * MINOR_PER_AITBC;

const sha256 = (data: string | Buffer): Buffer => hash('sha256', data, 'buffer');

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const base32 = (bytes: Buffer): string => {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += BASE32[(value >>> bits) & 31];
    }
    value &= (1 << bits) - 1;
  }
  return text;
};

/** @param id a UUIDv7. @returns the 48 bits of its time, the highest first */
export const uuidTime = (id: string): Buffer => Buffer.from(id.slice(0, 8) + id.slice(9, 13), 'hex');

/** 160 bits of SHA-256. */
const digestOf = (name: string): Buffer => sha256(`aitbc-address-v1\n${name}`).subarray(0, 20);
/** As RFC 4648 base32 in lower case: 32 characters, no padding. */
const addressOf = (digest: Buffer): string => `ait1${base32(digest)}`;

/** In any case: who reads one out loud or from a QR code does not keep it. All here is in lower case. */
export const ADDRESS_PATTERN = /^[aA][iI][tT]1[a-zA-Z2-7]{32}$/;

/** Where an account stands on the ledger: `ait1` + base32(first 20 bytes of SHA-256("aitbc-address-v1\naccount:" + id)). */
export const ledgerAddress = (accountId: string): string => addressOf(digestOf(`account:${accountId}`));
/**
 * Where the funds of one payment wait: the 48 bits of time of the payment's id, a UUIDv7, then 112 of the hash. So those of payments near
 * each other in time stand near each other in an index. Payments made before this rule keep the address they have.
 */
export const escrowAddress = (paymentId: string): string => {
  const digest = digestOf(`escrow:${paymentId}`);
  uuidTime(paymentId).copy(digest);
  return addressOf(digest);
};
/** The accounts that belong to the coordinator: where money comes from, where fees go, what token holders spend. */
export const SYSTEM_ADDRESSES = {
  mint: addressOf(digestOf('system:mint')),
  platform: addressOf(digestOf('system:platform')),
  treasury: addressOf(digestOf('system:treasury')),
} as const;

/** Everything a transaction's hash covers. */
export interface TransferContent {
  id: string;
  from: string;
  to: string;
  amount_minor: number;
  kind: string;
  reference: string;
  timestamp_ms: number;
}

/**
 * A transaction's hash is the RFC 6962 leaf hash SHA-256(0x00 ‖ content) of these lines: so the hash that the explorer
 * shows is the leaf that the block's tree was built from.
 */
export const transferHash = (transfer: TransferContent): Buffer =>
  sha256(
    `\0aitbc-transfer-v1\n${transfer.id}\n${transfer.from}\n${transfer.to}\n${transfer.amount_minor}\n${transfer.kind}\n${transfer.reference}\n${transfer.timestamp_ms}`,
  );

// RFC 6962: a node is SHA-256(0x01 ‖ left ‖ right). One buffer for all of them halves the time of a large tree.
const node = Buffer.alloc(65, 1);
const nodeHash = (left: Buffer, right: Buffer): Buffer => {
  left.copy(node, 1);
  right.copy(node, 33);
  return sha256(node);
};

/** The tree of RFC 6962 over leaf hashes, level by level: an odd last node moves up as it is. */
export const merkleLevels = (leaves: readonly Buffer[]): Buffer[][] => {
  const levels: Buffer[][] = [[...leaves]];
  for (let level = levels[0] as Buffer[]; level.length > 1; level = levels.at(-1) as Buffer[]) {
    const above: Buffer[] = [];
    for (let i = 0; i + 1 < level.length; i += 2)
      above.push(nodeHash(level[i] as Buffer, level[i + 1] as Buffer));
    if (level.length % 2 === 1) above.push(level.at(-1) as Buffer);
    levels.push(above);
  }
  return levels;
};

/** The root of at least one leaf hash. */
export const merkleRoot = (levels: readonly Buffer[][]): Buffer => levels.at(-1)?.[0] as Buffer;

/** The audit path of RFC 6962 for the leaf at `index`, from the leaf up. */
export const merklePath = (levels: readonly Buffer[][], index: number): Buffer[] => {
  const path: Buffer[] = [];
  let position = index;
  for (const level of levels.slice(0, -1)) {
    const sibling = level[position ^ 1];
    if (sibling !== undefined) path.push(sibling);
    position >>= 1;
  }
  return path;
};

/** RFC 9162, 2.1.3.2: does this path lead from the leaf at `index` of `size` leaves to the root? */
export const isIncluded = (
  leaf: Buffer,
  index: number,
  size: number,
  path: readonly Buffer[],
  root: Buffer,
): boolean => {
  if (index < 0 || index >= size) return false;
  let position = index;
  let last = size - 1;
  let value = leaf;
  for (const sibling of path) {
    if (last === 0 || sibling.length !== 32) return false;
    if (position % 2 === 1 || position === last) {
      value = nodeHash(sibling, value);
      while (position % 2 === 0 && position !== 0) {
        position >>= 1;
        last >>= 1;
      }
    } else {
      value = nodeHash(value, sibling);
    }
    position >>= 1;
    last >>= 1;
  }
  return last === 0 && value.equals(root);
};

/** What a block's hash and signature cover. Hashes in hex. */
export interface BlockHeader {
  height: number;
  previous_hash: string;
  merkle_root: string;
  tx_count: number;
  timestamp_ms: number;
  proposer: string;
}

/** `previous_hash` of the first block. */
export const NO_BLOCK = '0'.repeat(64);

/** The bytes that are hashed (SHA-256: the block's hash) and signed (Ed25519). */
export const headerBytes = (header: BlockHeader): Buffer =>
  Buffer.from(
    `aitbc-block-v1\n${header.height}\n${header.previous_hash}\n${header.merkle_root}\n${header.tx_count}\n${header.timestamp_ms}\n${header.proposer}`,
  );

export const blockHash = (header: BlockHeader): string => sha256(headerBytes(header)).toString('hex');

/** A public Ed25519 key as RFC 8037 writes it. */
export interface PublicJwk {
  kty: 'OKP';
  crv: 'Ed25519';
  x: string;
  kid: string;
}

/** The name of a key: its RFC 7638 thumbprint. A header that names its proposer so cannot be signed by another key. */
export const keyId = (x: string): string =>
  hash('sha256', `{"crv":"Ed25519","kty":"OKP","x":"${x}"}`, 'base64url');

export interface SealedBlock extends BlockHeader {
  hash: string;
  signature: string;
}

export interface SealedTransfer extends TransferContent {
  hash: string;
  block_height: number | null;
  proof: { index: number; path: string[] } | null;
}

/**
 * Checks block after block, from the first one given on. Feed it in rising order; it answers with what is wrong, or null.
 * From the first block on it also replays every balance: none but the mint's may ever be below zero.
 * @param keys the ledger's published keys
 */
export const createChainChecker = (keys: readonly PublicJwk[]) => {
  const publicKeys = new Map(
    keys.map((key) => [
      keyId(key.x),
      createPublicKey({ key: { kty: key.kty, crv: key.crv, x: key.x }, format: 'jwk' }),
    ]),
  );
  const balances = new Map<string, number>();
  let previous: SealedBlock | null = null;
  let isReplaying = false;

  const checkHeader = (block: SealedBlock): string | null => {
    if (previous === null && block.height === FIRST_BLOCK_HEIGHT) {
      isReplaying = true;
      if (block.previous_hash !== NO_BLOCK) return 'the first block names a block before it';
    }
    if (previous !== null) {
      if (block.height !== previous.height + 1)
        return `height ${block.height} follows height ${previous.height}`;
      if (block.previous_hash !== previous.hash) return 'previous_hash is not the hash of the block before';
      if (block.timestamp_ms < previous.timestamp_ms) return 'is older than the block before';
    }
    if (blockHash(block) !== block.hash) return 'hash is not the SHA-256 of the header';
    const key = publicKeys.get(block.proposer);
    if (key === undefined) return 'proposer is not a published key';
    if (!verify(null, headerBytes(block), key, Buffer.from(block.signature, 'base64url')))
      return 'signature is not valid';
    return null;
  };

  const replay = (transfer: SealedTransfer): string | null => {
    const left = (balances.get(transfer.from) ?? 0) - transfer.amount_minor;
    if (left < 0 && transfer.from !== SYSTEM_ADDRESSES.mint)
      return `${transfer.from} spends more than it has`;
    if (left < -SUPPLY_CAP_MINOR) return 'the mint made more than the supply cap';
    // An empty account needs no memory: every payment leaves one behind.
    if (left === 0) balances.delete(transfer.from);
    else balances.set(transfer.from, left);
    const credited = (balances.get(transfer.to) ?? 0) + transfer.amount_minor;
    if (credited === 0) balances.delete(transfer.to);
    else balances.set(transfer.to, credited);
    return null;
  };

  const checkTransfers = (block: SealedBlock, transfers: readonly SealedTransfer[]): string | null => {
    if (transfers.length !== block.tx_count)
      return `has ${transfers.length} transactions, its header says ${block.tx_count}`;
    const leaves: Buffer[] = [];
    for (const transfer of transfers) {
      const leaf = transferHash(transfer);
      if (leaf.toString('hex') !== transfer.hash)
        return `transaction ${transfer.hash}: hash does not match its content`;
      if (!Number.isSafeInteger(transfer.amount_minor) || transfer.amount_minor <= 0)
        return `transaction ${transfer.hash}: amount is not above zero`;
      leaves.push(leaf);
    }
    const root = merkleRoot(merkleLevels(leaves));
    if (root.toString('hex') !== block.merkle_root) return 'merkle_root is not the root of its transactions';
    for (const [index, transfer] of transfers.entries()) {
      if (transfer.proof === null) return `transaction ${transfer.hash}: proof is missing`;
      const path = transfer.proof.path.map((hex) => Buffer.from(hex, 'hex'));
      if (
        transfer.proof.index !== index ||
        !isIncluded(leaves[index] as Buffer, index, block.tx_count, path, root)
      )
        return `transaction ${transfer.hash}: proof does not lead to merkle_root`;
    }
    if (!isReplaying) return null;
    for (const transfer of transfers) {
      const wrong = replay(transfer);
      if (wrong !== null) return `transaction ${transfer.hash}: ${wrong}`;
    }
    return null;
  };

  return {
    check: (block: SealedBlock, transfers: readonly SealedTransfer[]): string | null => {
      const wrong = checkHeader(block) ?? checkTransfers(block, transfers);
      previous = block;
      return wrong;
    },
    /** For a start in the middle: the block before, of which the header alone is checked. */
    startAfter: (block: SealedBlock): string | null => {
      const wrong = checkHeader(block);
      isReplaying = false;
      previous = block;
      return wrong;
    },
    /** After a replay from the first block: what every address has. Addresses with nothing are left out. */
    balances: (): ReadonlyMap<string, number> | null => (isReplaying ? balances : null),
  };
};
