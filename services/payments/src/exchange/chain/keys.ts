import { hash } from 'node:crypto';
import { HDKey } from '@scure/bip32';
import { p2wpkh } from '@scure/btc-signer';
import { networkOf } from '../wallet.ts';

/** Known to everybody: it opens nothing outside the local chain. */
export const faucetKey = HDKey.fromMasterSeed(hash('sha256', 'the faucet of the local chain', 'buffer'));
export const faucetSpend = p2wpkh(faucetKey.publicKey as Uint8Array, networkOf('regtest'));
/** Where the rewards of the local chain go. */
export const FAUCET_SCRIPT = Buffer.from(faucetSpend.script).toString('hex');
