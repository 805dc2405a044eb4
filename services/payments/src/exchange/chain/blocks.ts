import { RawTx, Script } from '@scure/btc-signer';
import { hidden, NO_TXID, sha256d, shown, type Tx } from './transactions.ts';

/** The easiest target there is (regtest): every second hash is a block. */
const BITS = 0x207fffff;
const VERSION = 0x20000000;
/** Before the halvings; here they never come. */
export const SUBSIDY_SATS = 50 * 100_000_000;
const WITNESS_COMMITMENT = Buffer.from('6a24aa21a9ed', 'hex');

export interface Header {
  readonly hash: string;
  readonly version: number;
  readonly previous: string;
  readonly merkle_root: string;
  readonly time_s: number;
  readonly bits: number;
  readonly nonce: number;
}

/** Bitcoin's Merkle tree: an odd last node stands beside itself. */
const merkleRoot = (leaves: readonly Buffer[]): Buffer => {
  let level = [...leaves];
  while (level.length > 1) {
    const above: Buffer[] = [];
    for (let index = 0; index < level.length; index += 2) {
      const left = level[index] as Buffer;
      above.push(sha256d(Buffer.concat([left, level[index + 1] ?? left])));
    }
    level = above;
  }
  return level[0] as Buffer;
};

/** The transaction that makes the reward, with the height (BIP 34) and the witness commitment (BIP 141). */
export const coinbase = (
  height: number,
  rewardSats: number,
  script: string,
  transactions: readonly Tx[],
): Buffer => {
  const reserved = Buffer.alloc(32);
  const root = merkleRoot([reserved, ...transactions.map((tx) => hidden(tx.wtxid))]);
  const commitment = Buffer.concat([WITNESS_COMMITMENT, sha256d(Buffer.concat([root, reserved]))]);
  return Buffer.from(
    RawTx.encode({
      version: 2,
      segwitFlag: true,
      inputs: [
        {
          txid: Buffer.from(NO_TXID, 'hex'),
          index: 0xffffffff,
          finalScriptSig: Script.encode([height, Buffer.from('local')]),
          sequence: 0xffffffff,
        },
      ],
      outputs: [
        { amount: BigInt(rewardSats), script: Buffer.from(script, 'hex') },
        { amount: 0n, script: commitment },
      ],
      witnesses: [[reserved]],
      lockTime: 0,
    }),
  );
};

/** Finds a nonce. @returns the 80 bytes */
export const mineHeader = (previous: string, txids: readonly string[], timeS: number): Buffer => {
  const header = Buffer.alloc(80);
  header.writeInt32LE(VERSION, 0);
  hidden(previous).copy(header, 4);
  merkleRoot(txids.map(hidden)).copy(header, 36);
  header.writeUInt32LE(timeS, 68);
  header.writeUInt32LE(BITS, 72);
  for (let nonce = 0; nonce <= 0xffffffff; nonce += 1) {
    header.writeUInt32LE(nonce, 76);
    if ((sha256d(header)[31] as number) < 0x80) return header;
  }
  throw new Error('no nonce');
};

export const parseHeader = (header: Buffer): Header => ({
  hash: shown(sha256d(header)),
  version: header.readInt32LE(0),
  previous: shown(header.subarray(4, 36)),
  merkle_root: shown(header.subarray(36, 68)),
  time_s: header.readUInt32LE(68),
  bits: header.readUInt32LE(72),
  nonce: header.readUInt32LE(76),
});
