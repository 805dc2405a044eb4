import { ConfigError } from '@aitbc/chassis';
import { HDKey } from '@scure/bip32';
import { describe, expect, test } from 'vitest';
import { addressOf, derivedWallet, localXpub, scriptOf, sharedWallet } from './wallet.ts';

// The test vector that BIP 84 publishes.
const ZPUB =
  'zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs';
const FIRST = 'bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu';
const SECOND = 'bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g';
/** The same key in the version bytes of BIP 32. */
const XPUB = (() => {
  const key = HDKey.fromExtendedKey(ZPUB, { public: 0x04b24746, private: 0 });
  return new HDKey({
    publicKey: key.publicKey as Uint8Array,
    chainCode: key.chainCode as Uint8Array,
    depth: key.depth,
    index: key.index,
    parentFingerprint: key.parentFingerprint,
  }).publicExtendedKey;
})();

const derive = (xpub: string, index: number) => {
  const wallet = derivedWallet(xpub, 'mainnet');
  if (wallet.kind !== 'derived') throw new Error('not derived');
  return wallet.derive(index);
};

describe('addresses of an extended public key', () => {
  test('are those of the BIP 84 test vector', () => {
    expect(derive(ZPUB, 0).address).toBe(FIRST);
    expect(derive(ZPUB, 1).address).toBe(SECOND);
    expect(derive(ZPUB, 0).script).toBe(scriptOf(FIRST, 'mainnet'));
  });

  test('do not depend on the prefix the key is written with', () => {
    expect(XPUB).toMatch(/^xpub/);
    expect([derive(XPUB, 0), derive(XPUB, 1)]).toEqual([derive(ZPUB, 0), derive(ZPUB, 1)]);
  });

  test('are told apart: asked in any order, each index has its own', () => {
    const wallet = derivedWallet(ZPUB, 'mainnet');
    if (wallet.kind !== 'derived') throw new Error('not derived');
    const scripts = [3, 1, 3, 2, 1].map((index) => wallet.derive(index).script);
    expect(scripts[0]).toBe(scripts[2]);
    expect(scripts[1]).toBe(scripts[4]);
    expect(new Set(scripts).size).toBe(3);
  });

  test('of the local chain are regtest ones', () => {
    const wallet = derivedWallet(localXpub(), 'regtest');
    expect(wallet.kind === 'derived' && wallet.derive(0).address).toMatch(/^bcrt1q/);
  });
});

describe('keys that are refused', () => {
  const master = HDKey.fromMasterSeed(new Uint8Array(32).fill(7));
  test.each([
    ['a private key', master.derive("m/84'/0'/0'").privateExtendedKey, 'mainnet', /PRIVATE/],
    ['a key of the wrong network', ZPUB, 'testnet', /tpub or vpub/],
    ['a key of another depth', master.derive("m/84'/0'/0'/0").publicExtendedKey, 'mainnet', /depth 4/],
    ['a key with a typing error', `${ZPUB.slice(0, -1)}t`, 'mainnet', /not a valid/],
    // p2sh-p2wpkh: the owner's wallet would not see what is paid to our addresses.
    ['a key for another kind of address', `ypub${ZPUB.slice(4)}`, 'mainnet', /xpub or zpub/],
  ] as const)('%s', (_, key, network, message) => {
    expect(() => derivedWallet(key, network)).toThrow(ConfigError);
    expect(() => derivedWallet(key, network)).toThrow(message);
    expect(() => derivedWallet(key, network)).not.toThrow(key);
  });

  test('an address of another network', () => {
    expect(() => sharedWallet(FIRST, 'regtest')).toThrow(ConfigError);
    expect(sharedWallet(FIRST, 'mainnet')).toMatchObject({ kind: 'shared', address: FIRST });
  });
});

test('an address and its script say the same', () => {
  for (const address of [
    FIRST,
    '1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2',
    '3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy',
    'bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr',
  ]) {
    const script = scriptOf(address, 'mainnet');
    expect(addressOf(Buffer.from(script ?? '', 'hex'), 'mainnet')).toBe(address);
  }
  expect(scriptOf('bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyv', 'mainnet')).toBeNull();
});
