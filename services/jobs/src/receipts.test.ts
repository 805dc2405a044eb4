import { ConfigError } from '@aitbc/chassis';
import { newId, type ReceiptClaims, toTimestamp } from '@aitbc/contracts';
import { calculateJwkThumbprint, compactVerify, createLocalJWKSet, exportPKCS8, generateKeyPair } from 'jose';
import { describe, expect, test } from 'vitest';
import { createLeases } from './lease.ts';
import { createSigner, makeSigningKey, verifyProof } from './receipts.ts';

const claims = (): ReceiptClaims => ({
  receipt_id: newId(),
  job_id: newId(),
  attempt: 1,
  client_id: newId(),
  miner_id: newId(),
  job_type: 'ocr',
  parameters_sha256: 'a'.repeat(64),
  result_sha256: 'b'.repeat(64),
  price: 1.25,
  currency: 'AITBC',
  started_at: toTimestamp(1_000),
  completed_at: toTimestamp(2_000),
});

describe('a receipt', () => {
  const signer = createSigner(makeSigningKey());

  test('is read by a JOSE library that knows nothing of us but the key set', async () => {
    const said = claims();
    const proof = signer.sign(said);
    const { payload, protectedHeader } = await compactVerify(
      proof,
      createLocalJWKSet({ keys: [{ ...signer.jwk }] }),
    );
    expect(JSON.parse(new TextDecoder().decode(payload))).toEqual(said);
    expect(protectedHeader.alg).toBe('EdDSA');
    expect(protectedHeader.kid).toBe(await calculateJwkThumbprint({ ...signer.jwk }));
  });

  test('verifies with its claims', () => {
    const said = claims();
    expect(verifyProof(signer.sign(said), [signer.jwk])).toEqual({ valid: true, claims: said, reason: null });
  });

  test('stays good after the key was changed', () => {
    const next = createSigner(makeSigningKey());
    expect(verifyProof(signer.sign(claims()), [next.jwk, signer.jwk]).valid).toBe(true);
  });

  const proof = signer.sign(claims());
  const [header, payload, signature] = proof.split('.') as [string, string, string];
  const other = Buffer.from(JSON.stringify({ ...claims(), price: 0.01 })).toString('base64url');
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  test.each([
    ['other claims under the same signature', `${header}.${other}.${signature}`, 'does not match'],
    ['a key nobody published', createSigner(makeSigningKey()).sign(claims()), 'not in'],
    ['alg none', `${encode({ alg: 'none', kid: signer.jwk.kid })}.${payload}.`, 'EdDSA'],
    [
      'a critical extension',
      `${encode({ alg: 'EdDSA', kid: signer.jwk.kid, crit: ['b64'], b64: false })}.${payload}.${signature}`,
      'EdDSA',
    ],
    ['two parts', `${header}.${payload}`, 'compact'],
    ['noise', 'noise', 'compact'],
    ['a spelling that decoders forgive', `${proof}=`, 'base64url'],
    ['something else we signed', signer.sign({ sub: 'statement' } as never), 'not a receipt'],
  ])('is refused with %s', (_, forged, reason) => {
    expect(verifyProof(forged, [signer.jwk])).toMatchObject({
      valid: false,
      claims: null,
      reason: expect.stringContaining(reason),
    });
  });

  test('is signed with Ed25519 or not at all', async () => {
    const rsa = await generateKeyPair('RS256', { extractable: true });
    const pem = await exportPKCS8(rsa.privateKey);
    const der = pem.replaceAll(/-----.*?-----|\s/g, '');
    expect(() => createSigner(der)).toThrow(ConfigError);
    expect(() => createSigner('bm90IGEga2V5')).toThrow(ConfigError);
  });
});

describe('a lease', () => {
  const leases = createLeases(Buffer.alloc(32, 1));
  const lease = { job_id: newId(), miner_id: newId(), attempt: 3 };

  test('opens to what was sealed', () => {
    const token = leases.seal(lease);
    expect(token).toMatch(/^[\w-]{70}$/);
    expect(leases.open(token)).toEqual(lease);
  });

  test('no bit of it can be changed, and another key does not open it', () => {
    const bytes = Buffer.from(leases.seal(lease), 'base64url');
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ 1;
      expect(leases.open(changed.toString('base64url'))).toBeNull();
    }
    expect(createLeases(Buffer.alloc(32, 2)).open(leases.seal(lease))).toBeNull();
    for (const noise of ['', 'x', leases.seal(lease).slice(4), `${leases.seal(lease)}AAAA`])
      expect(leases.open(noise)).toBeNull();
  });
});
