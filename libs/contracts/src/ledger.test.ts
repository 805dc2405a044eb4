import { generateKeyPairSync, hash, sign } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ADDRESS_PATTERN,
  blockHash,
  createChainChecker,
  escrowAddress,
  headerBytes,
  isIncluded,
  keyId,
  ledgerAddress,
  merkleLevels,
  merklePath,
  merkleRoot,
  NO_BLOCK,
  type PublicJwk,
  type SealedBlock,
  type SealedTransfer,
  SUPPLY_CAP_MINOR,
  SYSTEM_ADDRESSES,
  transferHash,
} from './ledger.ts';
import { fromMinor, toMinor } from './money.ts';

const leafHash = (data: Buffer): Buffer => hash('sha256', Buffer.concat([Buffer.from([0]), data]), 'buffer');

describe('the tree', () => {
  // The inputs and roots that Certificate Transparency implementations test themselves with.
  const inputs = [
    '',
    '00',
    '10',
    '2021',
    '3031',
    '40414243',
    '5051525354555657',
    '606162636465666768696a6b6c6d6e6f',
  ];
  const roots = [
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];
  const leaves = inputs.map((hex) => leafHash(Buffer.from(hex, 'hex')));

  it.each(roots.map((root, index) => [index + 1, root] as const))(
    'of %i leaves is that of RFC 6962',
    (size, root) => {
      expect(merkleRoot(merkleLevels(leaves.slice(0, size))).toString('hex')).toBe(root);
    },
  );

  it('proves every leaf at its place, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 0, max: 31 }),
        (size, at, other, byte) => {
          const all = Array.from({ length: size }, (_, index) => leafHash(Buffer.from([index])));
          const levels = merkleLevels(all);
          const root = merkleRoot(levels);
          const index = at % size;
          const path = merklePath(levels, index);
          const leaf = all[index] as Buffer;
          expect(isIncluded(leaf, index, size, path, root)).toBe(true);
          const wrongIndex = other % (size + 2);
          if (wrongIndex !== index) expect(isIncluded(leaf, wrongIndex, size, path, root)).toBe(false);
          const changed = Buffer.from(leaf);
          changed[byte] = (changed[byte] as number) ^ 1;
          expect(isIncluded(changed, index, size, path, root)).toBe(false);
          expect(isIncluded(leaf, index, size, [...path, leaf], root)).toBe(false);
          if (path.length > 0) expect(isIncluded(leaf, index, size, path.slice(1), root)).toBe(false);
        },
      ),
    );
  });
});

describe('money', () => {
  it('is exact as a JSON number up to the supply cap', () => {
    fc.assert(
      fc.property(fc.integer({ min: -SUPPLY_CAP_MINOR, max: SUPPLY_CAP_MINOR }), (minor) => {
        const wire = JSON.parse(JSON.stringify(fromMinor(minor)));
        expect(toMinor(wire)).toBe(minor);
        const shown = fromMinor(Math.abs(minor)).toFixed(8);
        expect(shown.replace('.', '').replace(/^0+(?=\d)/, '')).toBe(String(Math.abs(minor)));
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('an address', () => {
  it('follows from the id alone', () => {
    const id = '0190f2a4-6c3b-7d21-9a52-3f7b6f0c1e42';
    // Worked out by hand: base32 of the first 20 bytes of sha256("aitbc-address-v1\naccount:" + id).
    const digest = hash('sha256', `aitbc-address-v1\naccount:${id}`, 'buffer').subarray(0, 20);
    const bits = [...digest].map((byte) => byte.toString(2).padStart(8, '0')).join('');
    const text = (bits.match(/.{5}/g) as string[])
      .map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five, 2)])
      .join('');
    expect(ledgerAddress(id)).toBe(`ait1${text}`);
    for (const address of [ledgerAddress(id), escrowAddress(id), ...Object.values(SYSTEM_ADDRESSES)])
      expect(address).toMatch(ADDRESS_PATTERN);
    expect(new Set([ledgerAddress(id), escrowAddress(id), ...Object.values(SYSTEM_ADDRESSES)]).size).toBe(5);
  });

  it('of an escrow stands near those of payments made at the same time, and is one of its own', () => {
    const [first, second, later] = [
      '0190f2a4-6c3b-7d21-9a52-3f7b6f0c1e42',
      '0190f2a4-6c3b-7d21-9a52-3f7b6f0c1e43',
      '0190f2a4-6d3b-7d21-9a52-3f7b6f0c1e42',
    ].map(escrowAddress) as [string, string, string];
    // 45 of the 48 bits of time are nine characters behind `ait1`.
    expect(second.slice(0, 13)).toBe(first.slice(0, 13));
    expect(second).not.toBe(first);
    // base32's digits sort behind its letters, as text does not: so only sameness is looked at.
    expect(later.slice(0, 11)).toBe(first.slice(0, 11));
    expect(later.slice(0, 13)).not.toBe(first.slice(0, 13));
  });
});

describe('the chain', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { x } = publicKey.export({ format: 'jwk' }) as { x: string };
  const keys: PublicJwk[] = [{ kty: 'OKP', crv: 'Ed25519', x, kid: keyId(x) }];
  const alice = ledgerAddress('alice');
  const bob = ledgerAddress('bob');

  const seal = (height: number, previous_hash: string, moves: [string, string, number][]) => {
    const transfers: SealedTransfer[] = moves.map(([from, to, amount_minor], index) => {
      const content = {
        id: `${height}-${index}`,
        from,
        to,
        amount_minor,
        kind: 'credit',
        reference: 'test',
        timestamp_ms: height,
      };
      return { ...content, hash: transferHash(content).toString('hex'), block_height: height, proof: null };
    });
    const levels = merkleLevels(transfers.map((transfer) => Buffer.from(transfer.hash, 'hex')));
    transfers.forEach((transfer, index) => {
      transfer.proof = { index, path: merklePath(levels, index).map((node) => node.toString('hex')) };
    });
    const header = {
      height,
      previous_hash,
      merkle_root: merkleRoot(levels).toString('hex'),
      tx_count: transfers.length,
      timestamp_ms: height,
      proposer: keyId(x),
    };
    const block: SealedBlock = {
      ...header,
      hash: blockHash(header),
      signature: sign(null, headerBytes(header), privateKey).toString('base64url'),
    };
    return { block, transfers };
  };
  const chain = () => {
    const first = seal(0, NO_BLOCK, [[SYSTEM_ADDRESSES.mint, alice, 100]]);
    const second = seal(1, first.block.hash, [
      [alice, bob, 60],
      [alice, bob, 40],
      [bob, alice, 5],
    ]);
    return [first, second] as const;
  };

  it('is right as it was sealed, and its balances follow', () => {
    const checker = createChainChecker(keys);
    for (const { block, transfers } of chain()) expect(checker.check(block, transfers)).toBeNull();
    expect(Object.fromEntries(checker.balances() ?? [])).toEqual({
      [SYSTEM_ADDRESSES.mint]: -100,
      [alice]: 5,
      [bob]: 95,
    });
  });

  type Part = { block: SealedBlock; transfers: SealedTransfer[] };
  const changed = (change: Partial<SealedBlock>) => (second: Part) => {
    Object.assign(second.block, change);
  };
  const changedTransfer = (index: number, change: Partial<SealedTransfer>) => (second: Part) => {
    Object.assign(second.transfers[index] as SealedTransfer, change);
  };
  const changes: [string, (second: Part) => void][] = [
    ['hash is not the SHA-256', changed({ hash: '1'.repeat(64) })],
    ['hash is not the SHA-256', changed({ timestamp_ms: 2 })],
    ['hash is not the SHA-256', changed({ tx_count: 4 })],
    ['signature', changed({ signature: Buffer.alloc(64).toString('base64url') })],
    [
      'published key',
      ({ block }) => {
        block.proposer = 'somebody';
        block.hash = blockHash(block);
      },
    ],
    ['previous_hash', changed({ previous_hash: NO_BLOCK })],
    ['height', changed({ height: 2 })],
    ['older than the block before', changed({ timestamp_ms: -1 })],
    ['hash does not match', changedTransfer(1, { amount_minor: 41 })],
    ['hash does not match', changedTransfer(0, { to: alice })],
    ['has 2 transactions', ({ transfers }) => void transfers.pop()],
    ['merkle_root', ({ transfers }) => void transfers.reverse()],
    ['proof does not lead', changedTransfer(2, { proof: { index: 2, path: ['00'.repeat(32)] } })],
    ['proof does not lead', changedTransfer(2, { proof: { index: 1, path: [] } })],
    ['proof is missing', changedTransfer(2, { proof: null })],
  ];
  it.each(changes)('shows a change: %s', (reason, change) => {
    const checker = createChainChecker(keys);
    const [first, second] = chain();
    change(second);
    expect(checker.check(first.block, first.transfers)).toBeNull();
    expect(checker.check(second.block, second.transfers)).toContain(reason);
  });

  it('shows who spent what they did not have', () => {
    const checker = createChainChecker(keys);
    const { block, transfers } = seal(0, NO_BLOCK, [[alice, bob, 1]]);
    expect(checker.check(block, transfers)).toContain('spends more than it has');
  });
});
