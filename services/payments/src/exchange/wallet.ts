import { hash } from 'node:crypto';
import { ConfigError } from '@aitbc/chassis';
import { HDKey } from '@scure/bip32';
import { Address, NETWORK, OutScript, p2wpkh, TEST_NETWORK } from '@scure/btc-signer';

export type BitcoinNetwork = 'mainnet' | 'testnet' | 'signet' | 'regtest';

const NETWORKS = {
  mainnet: NETWORK,
  testnet: TEST_NETWORK,
  signet: TEST_NETWORK,
  regtest: { ...TEST_NETWORK, bech32: 'bcrt' },
} as const;
export const networkOf = (network: BitcoinNetwork) => NETWORKS[network];

/** BIP 32 and SLIP-132 version bytes of keys whose addresses are p2wpkh, or that say nothing of it. */
const PUBLIC_VERSIONS = { xpub: 0x0488b21e, zpub: 0x04b24746, tpub: 0x043587cf, vpub: 0x045f1cf6 } as const;
type Prefix = keyof typeof PUBLIC_VERSIONS;
const PREFIXES: Record<'mainnet' | 'other', readonly Prefix[]> = {
  mainnet: ['xpub', 'zpub'],
  other: ['tpub', 'vpub'],
};
/** m / purpose' / coin' / account': what wallets show as the account's extended public key. */
const ACCOUNT_DEPTH = 3;
const EXTERNAL_CHAIN = 0;

const scriptHex = (address: string, network: BitcoinNetwork): string =>
  Buffer.from(OutScript.encode(Address(networkOf(network)).decode(address))).toString('hex');

/** The output script that an address stands for, in hex; null when it is no address of this network. */
export const scriptOf = (address: string, network: BitcoinNetwork): string | null => {
  try {
    return scriptHex(address, network);
  } catch {
    return null;
  }
};

/** The address of an output script; null when it has none. */
export const addressOf = (script: Uint8Array, network: BitcoinNetwork): string | null => {
  try {
    return Address(networkOf(network)).encode(OutScript.decode(script));
  } catch {
    return null;
  }
};

interface Place {
  readonly address: string;
  readonly script: string;
}

/** Where payers are sent: an address each, derived from a public key alone, or one address for all. */
export type Wallet =
  | { readonly kind: 'derived'; readonly id: string; readonly derive: (index: number) => Place }
  | ({ readonly kind: 'shared' } & Place);

const refuse = (name: string, why: string): ConfigError => new ConfigError(`${name}: ${why}`);

/**
 * Addresses of an account-level extended public key, as BIP 84 has them: p2wpkh at …/0/index. No private key is ever
 * near this service.
 * @throws ConfigError without repeating the key: it may be a private one.
 */
export const derivedWallet = (xpub: string, network: BitcoinNetwork): Wallet => {
  const name = 'BITCOIN_XPUB';
  if (/^.prv/.test(xpub))
    throw refuse(name, 'is a PRIVATE key; give the public one, and move the funds of this');
  const prefix = xpub.slice(0, 4) as Prefix;
  const allowed = PREFIXES[network === 'mainnet' ? 'mainnet' : 'other'];
  if (!allowed.includes(prefix)) throw refuse(name, `must be a ${allowed.join(' or ')} on ${network}`);
  let key: HDKey;
  try {
    // A private version that no prefix has: so that nothing private can be read.
    key = HDKey.fromExtendedKey(xpub, { public: PUBLIC_VERSIONS[prefix], private: 0 });
  } catch {
    throw refuse(name, 'is not a valid extended public key');
  }
  if (key.depth !== ACCOUNT_DEPTH)
    throw refuse(
      name,
      `must be the key of an account (m/84'/…'/…', depth 3); this one has depth ${key.depth}`,
    );
  const chain = key.deriveChild(EXTERNAL_CHAIN);
  const identity = Buffer.concat([key.publicKey ?? Buffer.alloc(0), key.chainCode ?? Buffer.alloc(0)]);
  // The last one alone: it is derived before the transaction that gives it out, and once more in it.
  let last: (Place & { index: number }) | null = null;
  return {
    kind: 'derived',
    id: hash('sha256', identity, 'hex').slice(0, 16),
    derive: (index) => {
      if (last?.index === index) return last;
      const { publicKey } = chain.deriveChild(index);
      if (publicKey === null) throw new Error(`no public key at index ${index}`);
      const { address, script } = p2wpkh(publicKey, networkOf(network));
      last = { index, address: address as string, script: Buffer.from(script).toString('hex') };
      return last;
    },
  };
};

/** @throws ConfigError when the address is not of this network. */
export const sharedWallet = (address: string, network: BitcoinNetwork): Wallet => {
  const script = scriptOf(address, network);
  if (script === null) throw refuse('BITCOIN_ADDRESS', `is not an address on ${network}`);
  return { kind: 'shared', address, script };
};

/** The key of the local chain's shop: known to everybody, so of no value anywhere else. */
export const localXpub = (): string => {
  const versions = { public: PUBLIC_VERSIONS.tpub, private: 0x04358394 };
  const seed = hash('sha256', 'the shop of the local chain', 'buffer');
  return HDKey.fromMasterSeed(seed, versions).derive("m/84'/1'/0'").publicExtendedKey;
};
