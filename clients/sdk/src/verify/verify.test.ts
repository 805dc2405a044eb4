import { generateKeyPairSync, sign } from 'node:crypto';
import {
  blockHash,
  canonicalJson as canonicalOfContracts,
  headerBytes,
  keyId as keyIdOfContracts,
  merkleLevels,
  merklePath,
  merkleRoot,
  NO_BLOCK,
  newId,
  newSalt,
  saltedSha256,
  toMinor,
  transferHash,
} from '@aitbc/contracts';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Block, type Transaction, verifyBlock, verifyInclusion, verifyReceipt } from '../index.ts';
import { canonicalJson, fromBase64url, toBase64url } from './bytes.ts';

const makeKey = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const x = publicKey.export({ format: 'jwk' }).x as string;
  return { privateKey, jwk: { kty: 'OKP', crv: 'Ed25519', x, kid: keyIdOfContracts(x) } as const };
};
const key = makeKey();
const stranger = makeKey();

test('canonical JSON is that of the coordinator', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(canonicalJson(value)).toBe(canonicalOfContracts(value));
    }),
  );
  expect(canonicalJson({ b: [undefined, { z: undefined, a: 'ü\u2028' }], a: 1e21, 10: 1, 9: -0 })).toBe(
    canonicalOfContracts({ b: [undefined, { z: undefined, a: 'ü\u2028' }], a: 1e21, 10: 1, 9: -0 }),
  );
});

test('base64url has one spelling', () => {
  fc.assert(
    fc.property(fc.uint8Array(), (given) => {
      const text = Buffer.from(given).toString('base64url');
      expect(toBase64url(new Uint8Array(given))).toBe(text);
      expect(fromBase64url(text)).toEqual(new Uint8Array(given));
    }),
  );
  for (const text of ['a', 'ab=', 'a+', 'aB', '\u0100']) expect(fromBase64url(text)).toBeUndefined();
});

const salt = newSalt();
const claims = {
  receipt_id: newId(),
  job_id: newId(),
  attempt: 1,
  client_id: newId(),
  miner_id: newId(),
  job_type: 'ocr',
  parameters_sha256: saltedSha256(salt, canonicalOfContracts({ b: 1, a: 'é' })),
  result_sha256: saltedSha256(salt, canonicalOfContracts({ text: 'x' })),
  price: 0.5,
  currency: 'AITBC',
  started_at: '2026-01-01T00:00:00.000Z',
  completed_at: '2026-01-01T00:00:01.000Z',
};
const proofOf = (payload: object, header: object = { alg: 'EdDSA', kid: key.jwk.kid }, by = key) => {
  const input = [header, payload]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${input}.${sign(null, Buffer.from(input), by.privateKey).toString('base64url')}`;
};

test('a receipt is checked with its key, its result and its parameters', async () => {
  const receipt = { proof: proofOf(claims), salt, result: { text: 'x' } };
  const full = receipt as never;
  expect(await verifyReceipt(full, [stranger.jwk, key.jwk], { parameters: { a: 'é', b: 1 } })).toEqual({
    valid: true,
    claims,
    reason: null,
  });
  const reason = async (...args: Parameters<typeof verifyReceipt>) => (await verifyReceipt(...args)).reason;
  expect(await reason({ ...receipt, result: { text: 'y' } } as never, [key.jwk])).toContain(
    'result at hand is',
  );
  expect(await reason(full, [key.jwk], { parameters: { a: 'e', b: 1 } })).toContain('parameters at hand are');
  expect(await reason(full, [stranger.jwk])).toContain('key');
  // A key that is published under another's name.
  expect(await reason(full, [{ ...stranger.jwk, kid: key.jwk.kid }])).toContain('key');
  expect(await reason(proofOf(claims, undefined, stranger), [key.jwk])).toContain('signature does not match');
  expect(await reason(proofOf({ hello: 1 }), [key.jwk])).toContain('not a receipt');
  expect(await reason(proofOf(claims, { alg: 'none', kid: key.jwk.kid }), [key.jwk])).toContain('EdDSA');
  expect(await reason('a.b', [key.jwk])).toContain('JWS');
  expect(await reason(`${receipt.proof}=`, [key.jwk])).toContain('base64url');
});

const transactions = Array.from({ length: 7 }, (_, at): Transaction => {
  const content = {
    id: `t${at}`,
    from: `ait1${'a'.repeat(32)}`,
    to: `ait1${'b'.repeat(32)}`,
    amount_minor: toMinor(33_554_433.1 + at),
    kind: 'credit',
    reference: 'r',
    timestamp_ms: 1_700_000_000_000 + at,
  };
  return {
    ...content,
    hash: transferHash(content).toString('hex'),
    block_height: 0,
    value: content.amount_minor / 1e8,
    currency: 'AITBC',
    kind: 'credit',
    timestamp: new Date(content.timestamp_ms).toISOString(),
  };
});
const levels = merkleLevels(transactions.map(({ hash }) => Buffer.from(hash, 'hex')));
const seal = (height: number, previous: string, by = key): Block => {
  const header = {
    height,
    previous_hash: previous,
    merkle_root: merkleRoot(levels).toString('hex'),
    tx_count: transactions.length,
    timestamp_ms: 1_700_000_100_000 + height,
    proposer: key.jwk.kid,
  };
  return {
    ...header,
    hash: blockHash(header),
    timestamp: new Date(header.timestamp_ms).toISOString(),
    signature: sign(null, headerBytes(header), by.privateKey).toString('base64url'),
  };
};

test('a block is checked, and that it follows the one before', async () => {
  const first = seal(0, NO_BLOCK);
  const second = seal(1, first.hash);
  expect(await verifyBlock(first, [key.jwk])).toEqual({ valid: true, reason: null });
  expect(await verifyBlock(second, [key.jwk], first)).toEqual({ valid: true, reason: null });
  const reason = async (...args: Parameters<typeof verifyBlock>) => (await verifyBlock(...args)).reason;
  expect(await reason({ ...first, tx_count: 8 }, [key.jwk])).toContain('hash');
  expect(await reason(first, [stranger.jwk])).toContain('proposer');
  expect(await reason(seal(0, NO_BLOCK, stranger), [key.jwk])).toContain('signature');
  expect(await reason(seal(1, NO_BLOCK), [key.jwk], first)).toContain('previous_hash');
  expect(await reason(seal(2, first.hash), [key.jwk], first)).toContain('height 2 follows height 0');
});

test('each transaction is found in its block, and nowhere else', async () => {
  const block = seal(0, NO_BLOCK);
  for (const [index, transaction] of transactions.entries()) {
    const path = merklePath(levels, index).map((hash) => hash.toString('hex'));
    expect(await verifyInclusion(transaction, { index, path }, block)).toEqual({ valid: true, reason: null });
    for (const wrong of [
      { index: (index + 1) % 7, path },
      { index, path: path.slice(1) },
      { index, path: [...path, path[0] as string] },
      { index: -1, path },
    ])
      expect((await verifyInclusion(transaction, wrong, block)).valid).toBe(false);
    const richer = { ...transaction, value: transaction.value + 0.00000001 };
    expect((await verifyInclusion(richer, { index, path }, block)).reason).toContain('content');
  }
});
