import type { Listeners, Reader, Trx } from '@aitbc/chassis';
import type { BitcoinNetwork, Wallet } from './wallet.ts';

/** New money for an account, once for each transfer id. @returns the transaction's hash. @throws Problem SUPPLY_CAP_REACHED */
export type CreditFromMint = (
  trx: Trx,
  credit: {
    transfer_id: string;
    account_id: string;
    amount_minor: number;
    kind: 'exchange';
    reference: string;
    now_ms: number;
  },
) => string | Promise<string>;

/** What the exchange's commands lean on. */
export interface ExchangeDeps {
  readonly now: () => number;
  readonly network: BitcoinNetwork;
  readonly wallet: Wallet;
  /** AITBC minor units for 1 BTC, now. */
  readonly rateMinor: number;
  /** How long an invoice holds its rate. */
  readonly invoiceMs: number;
  readonly creditFromMint: CreditFromMint;
  readonly listeners: Pick<Listeners, 'has'>;
  /** What the mint may still make. */
  readonly mintableMinor: (reader: Reader) => number | Promise<number>;
  /** Invoices whose credit failed on our side, and until when they are left alone. */
  readonly quarantine: Map<string, number>;
}
