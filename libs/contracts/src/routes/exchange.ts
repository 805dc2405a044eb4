import { z } from 'zod';
import { Id, Timestamp } from '../ids.ts';
import { Amount, AmountOut } from '../money.ts';
import { Page, PageQuery } from '../page.ts';
import { WholeNumber } from '../query.ts';
import { defineRoute } from '../route.ts';
import { WAIT_SECONDS_MAX } from './jobs.ts';

/** 1 BTC in satoshis. */
export const SATOSHI_PER_BTC = 100_000_000;
/** All bitcoin there will ever be: 2.1 × 10^15 satoshis, so that satoshis are exact numbers. */
export const BTC_MAX = 21_000_000;
/** The dust limit of the oldest script type: a smaller output is not relayed, whatever the address. */
export const INVOICE_SATS_MIN = 546;
/** Invoices of one account that may wait for money at a time. */
export const OPEN_INVOICES_MAX = 10;

/**
 * Confirmations before the credit, by the value at risk: what one reorganisation could take back (see
 * {@link VALUE_AT_RISK}). A block costs a miner over 3 BTC of reward to withhold, so what is at risk at each depth stays
 * well below the cost of undoing it.
 */
export const CONFIRMATIONS = [
  { below_btc: 0.01, confirmations: 1 },
  { below_btc: 0.1, confirmations: 2 },
  { below_btc: 1, confirmations: 3 },
  { below_btc: null, confirmations: 6 },
] as const;

/** @param btc with at most 8 decimals. @returns satoshis, a safe integer. */
export const toSats = (btc: number): number => Math.round(btc * SATOSHI_PER_BTC);
/** @returns BTC, the wire form. */
export const fromSats = (sats: number): number => sats / SATOSHI_PER_BTC;

const BtcAmount = z
  .number()
  .gt(0)
  .lte(BTC_MAX)
  .refine((btc) => fromSats(toSats(btc)) === btc, 'must have at most 8 decimals')
  .meta({ description: 'BTC, at most 8 decimals', example: 0.00125 });
const BtcOut = z.number().meta({ description: 'BTC', example: 0.00125 });

const BitcoinAddress = z
  .string()
  .min(14)
  .max(100)
  .meta({ description: 'Bitcoin address', example: 'bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu' });
const Txid = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .meta({ description: 'Bitcoin transaction id' });

export const InvoiceStatus = z
  .enum(['pending', 'processing', 'confirmed', 'underpaid', 'overpaid', 'late', 'expired'])
  .meta({
    description:
      'pending: nothing seen yet. processing: enough is on its way and waits for confirmations. underpaid: something came, less than asked. expired: the time is over and nothing came. confirmed, overpaid, late (and underpaid, once `credited` is set): credited, final',
  });
export type InvoiceStatus = z.infer<typeof InvoiceStatus>;

const invoice = {
  payment_id: Id,
  status: InvoiceStatus,
  payment_address: BitcoinAddress,
  btc_amount: BtcOut.meta({ description: 'What is asked; 0 when it `follows` another' }),
  aitbc_amount: AmountOut.meta({
    description: 'What exactly that pays for; 0 when it `follows` another',
  }),
  rate: z.number().meta({ description: 'AITBC for 1 BTC; holds until `expires_at`', example: 100_000 }),
  confirmations_required: z.number().int().meta({
    description: 'By the value at risk now; it may rise until the credit',
  }),
  created_at: Timestamp,
  expires_at: Timestamp.meta({ description: 'Money seen by then is credited at `rate`' }),
};

export const ExchangePayment = z
  .strictObject({
    ...invoice,
    uri: z.string().meta({
      description: 'BIP 21, for a wallet to open',
      example: 'bitcoin:bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu?amount=0.00125&label=AITBC',
    }),
    qr: z.string().meta({ description: 'The URI as a QR code: an SVG in a data URI' }),
  })
  .meta({ id: 'ExchangePayment' });
export type ExchangePayment = z.infer<typeof ExchangePayment>;

export const BitcoinOutput = z
  .strictObject({
    txid: Txid,
    vout: z.number().int(),
    btc_amount: BtcOut,
    state: z.enum(['mempool', 'confirmed', 'reorged', 'replaced']).meta({
      description:
        'reorged: its block left the chain and it is not seen again yet. replaced: another transaction spent its coins, or it was dropped. Neither counts',
    }),
    confirmations: z.number().int(),
    block_height: z.number().int().nullable(),
    late: z.boolean().meta({ description: 'Seen after `expires_at`' }),
    credited: z.boolean(),
    first_seen_at: Timestamp,
  })
  .meta({ id: 'BitcoinOutput' });

export const ExchangePaymentStatus = z
  .strictObject({
    ...invoice,
    received: BtcOut.meta({ description: 'BTC seen on the chain or on its way there' }),
    remaining: BtcOut.meta({ description: 'BTC still to be sent' }),
    confirmations: z.number().int().meta({ description: 'Of the least confirmed part; 0 without any' }),
    tx_hash: Txid.nullable().meta({
      description: 'The Bitcoin transaction that completed it; the latest one before that',
    }),
    transactions: z
      .array(BitcoinOutput)
      .meta({ description: 'The outputs that paid to it, oldest first: the latest 100' }),
    credited: z
      .strictObject({
        aitbc_amount: AmountOut,
        btc_amount: BtcOut,
        late_rate: z
          .number()
          .nullable()
          .meta({ description: 'AITBC for 1 BTC of the late part; null when no part was late' }),
        transaction_hash: z.string().meta({ description: 'Of the transfer from the mint, in the explorer' }),
        at: Timestamp,
      })
      .nullable()
      .meta({ description: 'The one credit of this payment, once made' }),
    reverted: z.boolean().meta({
      description: 'A part of what was credited has left the chain again: `debt`, until it is settled',
    }),
    debt: AmountOut.meta({ description: 'What its account owes for that; 0 once it is settled' }),
    follows: Id.nullable().meta({
      description: 'The payment this one came out of: bitcoin that arrived after that was credited',
    }),
    followed_by: Id.nullable(),
    updated_at: Timestamp,
  })
  .meta({ id: 'ExchangePaymentStatus' });
export type ExchangePaymentStatus = z.infer<typeof ExchangePaymentStatus>;

export const DebtStatus = z.enum(['open', 'paid', 'returned']).meta({
  description:
    'open: owed. paid: taken from the account. returned: the bitcoin stands in the chain again, nothing is owed and what was taken was given back',
});
export type DebtStatus = z.infer<typeof DebtStatus>;

/** One output that was credited and left the chain. */
export const BitcoinDebt = z
  .strictObject({
    id: Id,
    account_id: Id,
    payment_id: Id.meta({ description: 'The payment with bitcoin that was credited' }),
    txid: Txid,
    vout: z.number().int(),
    btc_amount: BtcOut,
    amount: AmountOut.meta({ description: 'Its part of the credit: what is owed' }),
    status: DebtStatus,
    balance: AmountOut.meta({ description: 'What the account has now, owed or not' }),
    transaction_hash: z.string().nullable().meta({ description: 'Of the transfer that paid it' }),
    opened_at: Timestamp,
    closed_at: Timestamp.nullable(),
  })
  .meta({ id: 'BitcoinDebt' });
export type BitcoinDebt = z.infer<typeof BitcoinDebt>;

export const ExchangeRates = z
  .strictObject({
    btc_to_aitbc: z.number().meta({ description: 'AITBC for 1 BTC', example: 100_000 }),
    aitbc_to_btc: z.number().meta({ description: 'BTC for 1 AITBC', example: 0.00001 }),
    fee_percent: z.number().meta({ description: 'The rate is all there is: 0' }),
    min_btc: BtcOut,
    max_aitbc: AmountOut,
    confirmations: z
      .array(z.strictObject({ below_btc: BtcOut.nullable(), confirmations: z.number().int() }))
      .meta({ description: 'Confirmations before the credit, by the value at risk' }),
    expires_in_seconds: z.number().int().meta({ description: 'How long a new payment holds its rate' }),
    network: z.enum(['mainnet', 'testnet', 'signet', 'regtest']),
  })
  .meta({ id: 'ExchangeRates' });

const exchange = {
  service: 'payments',
  tag: 'Exchange',
  who: ['user', 'client'],
  rate: 'client',
  errors: ['SERVICE_UNAVAILABLE'],
} as const;
const development = {
  service: 'payments',
  tag: 'Development',
  who: ['client', 'user', 'admin'],
  rate: 'client',
  description:
    'Only with the local chain of a development installation; 404 otherwise, always in production.',
} as const;

/** In the contract of each route that shows a credit. */
const VALUE_AT_RISK = `The confirmations needed follow the value at risk (the table is in \`/v1/exchange/rates\`): what is asked or received here, whichever is more; what else the account has on the way (seen in the last 24 hours) or in the chain with fewer than 6 confirmations; and what was credited to others and has fewer than 6 confirmations. So thirty small payments wait like one of their sum, from one account or from thirty. An account that owes waits for 6.`;
const WHAT_IS_OWED = `When the block of a credit leaves the chain, its part of the credit becomes a debt: a balance never goes below zero, so what is owed cannot be spent and is taken once the balance covers it; when the bitcoin stands in the chain again, as deep as its credit needed, the debt ends and what was taken comes back.`;
const HOW_IT_IS_CREDITED = `Bitcoin that was seen until \`expires_at\` (in the mempool, or in a block with an earlier time) is credited at \`rate\`, over-payments in full. Bitcoin seen later is credited at the rate of the day of the credit. Once the asked amount has the required confirmations, all that has them is credited, in one transfer from the mint. A payment that stays short is credited as far as it was paid, once its time is over and everything sent has confirmed. Bitcoin that arrives after the credit becomes a payment of its own at the rate of the day (\`follows\`): no satoshi that confirms is kept without a credit, and none is credited twice. ${VALUE_AT_RISK} ${WHAT_IS_OWED}`;

export const exchangeRoutes = {
  exchangeCreate: defineRoute({
    ...exchange,
    name: 'payments.exchange_create',
    method: 'POST',
    path: '/v1/exchange/create-payment',
    summary: 'Buy AITBC with bitcoin',
    description: `Give \`aitbc_amount\` or \`btc_amount\`; given both, they must agree within 1 satoshi, and \`aitbc_amount\` counts. Each payment has an address of its own; where the operator has one address only, up to 9,999 satoshis are added (and credited) so that the amount says whose it is: then pay exactly \`btc_amount\`. ${HOW_IT_IS_CREDITED}`,
    idempotent: true,
    body: z
      .strictObject({ aitbc_amount: Amount.optional(), btc_amount: BtcAmount.optional() })
      .refine((body) => body.aitbc_amount !== undefined || body.btc_amount !== undefined, {
        path: ['aitbc_amount'],
        message: 'is required, or btc_amount',
      })
      .meta({ id: 'ExchangePaymentRequest' }),
    responses: { 201: ExchangePayment },
    errors: ['AMOUNT_MISMATCH', 'INVOICE_LIMIT_REACHED', 'SUPPLY_CAP_REACHED', 'SERVICE_UNAVAILABLE'],
  }),
  exchangeStatus: defineRoute({
    ...exchange,
    who: ['user', 'client', 'admin'],
    name: 'payments.exchange_status',
    method: 'GET',
    path: '/v1/exchange/payment-status/:payment_id',
    summary: 'Where a payment stands',
    description: `\`wait_seconds\` holds the answer until something changes. ${HOW_IT_IS_CREDITED}`,
    params: z.strictObject({ payment_id: Id }),
    query: z.strictObject({
      wait_seconds: WholeNumber(0, WAIT_SECONDS_MAX).default(0),
    }),
    responses: { 200: ExchangePaymentStatus },
  }),
  exchangeList: defineRoute({
    ...exchange,
    name: 'payments.exchange_list',
    method: 'GET',
    path: '/v1/exchange/payments',
    summary: 'Own payments with bitcoin, the newest first',
    query: PageQuery.extend({ status: InvoiceStatus.optional() }),
    responses: { 200: Page(ExchangePaymentStatus) },
  }),
  exchangeRates: defineRoute({
    ...exchange,
    who: ['public'],
    rate: 'public',
    name: 'payments.exchange_rates',
    method: 'GET',
    path: '/v1/exchange/rates',
    summary: 'What AITBC costs in bitcoin',
    responses: { 200: ExchangeRates },
  }),
  exchangeDebts: defineRoute({
    service: 'payments',
    tag: 'Admin',
    who: ['admin'],
    rate: 'client',
    name: 'payments.exchange_debts',
    method: 'GET',
    path: '/v1/admin/debts',
    summary: 'Credits that the Bitcoin chain took back, the newest first',
    description: `${WHAT_IS_OWED} An operator may write one off by crediting the account.`,
    query: PageQuery.extend({ status: DebtStatus.optional() }),
    responses: { 200: Page(BitcoinDebt) },
  }),
  devBitcoinSend: defineRoute({
    ...development,
    name: 'payments.dev_bitcoin_send',
    method: 'POST',
    path: '/v1/dev/bitcoin/send',
    summary: 'Send bitcoin on the local chain',
    idempotent: true,
    body: z
      .strictObject({
        address: BitcoinAddress.optional(),
        payment_id: Id.optional(),
        btc_amount: BtcAmount.optional().meta({
          description: 'What is missing, when `payment_id` is given without it',
        }),
      })
      .refine((body) => (body.address === undefined) !== (body.payment_id === undefined), {
        path: ['address'],
        message: 'is required, or payment_id; not both',
      })
      .refine((body) => body.address === undefined || body.btc_amount !== undefined, {
        path: ['btc_amount'],
        message: 'is required with address',
      })
      .meta({ id: 'BitcoinSendRequest' }),
    responses: {
      201: z.strictObject({ txid: Txid, address: BitcoinAddress, btc_amount: BtcOut, fee_btc: BtcOut }),
    },
    errors: ['INSUFFICIENT_FUNDS'],
  }),
  devBitcoinMine: defineRoute({
    ...development,
    name: 'payments.dev_bitcoin_mine',
    method: 'POST',
    path: '/v1/dev/bitcoin/mine',
    summary: 'Mine blocks on the local chain',
    idempotent: true,
    body: z
      .strictObject({ blocks: z.number().int().min(1).max(100).default(1) })
      .meta({ id: 'BitcoinMineRequest' }),
    responses: {
      201: z.strictObject({ height: z.number().int(), block_hashes: z.array(z.string()) }),
    },
  }),
} as const;
