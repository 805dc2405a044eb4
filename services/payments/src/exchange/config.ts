import { ConfigError } from '@aitbc/chassis';
import { toMinor } from '@aitbc/contracts';
import { z } from 'zod';
import { RATE_MAX } from './domain/amounts.ts';
import { type BitcoinNetwork, derivedWallet, localXpub, sharedWallet, type Wallet } from './wallet.ts';

export const exchangeConfig = {
  BTC_TO_AITBC_RATE: z.coerce
    .number()
    .gt(0)
    .lte(RATE_MAX)
    .refine((rate) => toMinor(rate) >= 1, 'must be at least 0.00000001')
    .default(100_000)
    .meta({ description: 'AITBC for 1 BTC' }),
  BITCOIN_XPUB: z.string().min(1).optional().meta({
    description:
      'The account extended public key (m/84h/…h/…h) that invoice addresses are derived from; never a private key. Wallets must look some hundred unused addresses ahead (gap limit): an invoice nobody pays leaves one',
  }),
  BITCOIN_ADDRESS: z.string().min(1).optional().meta({
    description: 'One address for all invoices, told apart by their amounts; not needed with BITCOIN_XPUB',
  }),
  BITCOIN_NETWORK: z
    .enum(['mainnet', 'testnet', 'signet', 'regtest'])
    .optional()
    .meta({ description: 'mainnet, unless the local chain of development is used (regtest)' }),
  BITCOIN_RPC_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: 'Bitcoin Core: http://user:password@host:8332' }),
  ESPLORA_URL: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: 'Esplora, with its path: https://host/api. BITCOIN_RPC_URL goes first' }),
  BITCOIN_INVOICE_SECONDS: z.coerce
    .number()
    .int()
    .min(1)
    .max(86_400)
    .default(3_600)
    .meta({ description: 'How long an invoice holds its rate' }),
};

type Given = z.output<z.ZodObject<typeof exchangeConfig>> & { NODE_ENV: string };

export interface Source {
  readonly kind: 'core' | 'esplora' | 'local';
  readonly url: string;
}

/** How bitcoin is taken here, or why it is not. */
export type Setup =
  | {
      readonly isOpen: true;
      readonly network: BitcoinNetwork;
      readonly wallet: Wallet;
      readonly source: Source;
    }
  | { readonly isOpen: false; readonly missing: string };

/** Real money needs a real chain and an owner's key; development brings both of its own. @throws ConfigError */
export const setUp = (config: Given): Setup => {
  const { BITCOIN_RPC_URL, ESPLORA_URL, BITCOIN_XPUB, BITCOIN_ADDRESS } = config;
  const source: Source | null =
    BITCOIN_RPC_URL !== undefined
      ? { kind: 'core', url: BITCOIN_RPC_URL }
      : ESPLORA_URL !== undefined
        ? { kind: 'esplora', url: ESPLORA_URL }
        : config.NODE_ENV !== 'production'
          ? { kind: 'local', url: '' }
          : null;
  if (source === null) return { isOpen: false, missing: 'BITCOIN_RPC_URL or ESPLORA_URL' };
  const isLocal = source.kind === 'local';
  if (isLocal && config.BITCOIN_NETWORK !== undefined && config.BITCOIN_NETWORK !== 'regtest')
    throw new ConfigError(
      `BITCOIN_NETWORK: ${config.BITCOIN_NETWORK} needs BITCOIN_RPC_URL or ESPLORA_URL; the local chain is regtest`,
    );
  const network = config.BITCOIN_NETWORK ?? (isLocal ? 'regtest' : 'mainnet');
  const xpub = BITCOIN_XPUB ?? (isLocal && BITCOIN_ADDRESS === undefined ? localXpub() : undefined);
  if (xpub !== undefined) return { isOpen: true, network, source, wallet: derivedWallet(xpub, network) };
  if (BITCOIN_ADDRESS !== undefined)
    return { isOpen: true, network, source, wallet: sharedWallet(BITCOIN_ADDRESS, network) };
  return { isOpen: false, missing: 'BITCOIN_XPUB or BITCOIN_ADDRESS' };
};
