import { z } from 'zod';
import { Id, Timestamp } from '../ids.ts';
import { AccountKind, Address, Hash, TransferKind } from '../ledger-fields.ts';
import { Amount, AmountOut, CURRENCY } from '../money.ts';
import { Page, PageQuery } from '../page.ts';
import { WholeNumber } from '../query.ts';
import { defineRoute } from '../route.ts';
import { Text } from '../text.ts';
import { exchangeRoutes } from './exchange.ts';
import { PaymentStatus } from './jobs.ts';
import { transferRoutes } from './transfers.ts';

const Currency = z.literal(CURRENCY);
const Reason = Text(1, 500);
export const Payment = z
  .strictObject({
    id: Id,
    job_id: Id.nullable().meta({ description: 'Null when it pays for a booking' }),
    order_id: Id.nullable().meta({ description: 'The booking it pays for' }),
    payer_id: Id,
    payee_id: Id.nullable().meta({ description: 'Known once a miner holds the job' }),
    amount: AmountOut,
    fee: AmountOut.meta({
      description:
        'What the platform takes when the whole is released, at the rate of the day of the payment, rounded down to 0.00000001 (the payee gets the rest, so of the smallest amount all); what it took, once resolved',
    }),
    refunded_amount: AmountOut.meta({ description: 'What went back to the payer' }),
    currency: Currency,
    status: PaymentStatus,
    failure: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
    escrow_address: Address,
    created_at: Timestamp,
    updated_at: Timestamp,
    expires_at: Timestamp.nullable().meta({ description: 'Moves with a job that runs; null for a booking' }),
    released_at: Timestamp.nullable(),
    refunded_at: Timestamp.nullable(),
    transaction_hash: Hash.nullable().meta({
      description: 'Of the transfer that resolved it; of the hold before that',
    }),
  })
  .meta({ id: 'Payment' });
export type Payment = z.infer<typeof Payment>;

const Party = z.strictObject({ account_id: Id, address: Address });

export const StatementClaims = z
  .strictObject({
    payment_id: Id,
    job_id: Id.nullable(),
    order_id: Id.nullable(),
    status: PaymentStatus,
    payer: Party,
    payee: Party.nullable(),
    escrow_address: Address,
    amount: AmountOut,
    fee: AmountOut,
    earned: AmountOut,
    refunded: AmountOut,
    currency: Currency,
    transfers: z.array(
      z.strictObject({
        hash: Hash,
        kind: TransferKind,
        from: Address,
        to: Address,
        amount: AmountOut,
        timestamp: Timestamp,
        block_height: z.number().int().nullable(),
      }),
    ),
    block_height: z
      .number()
      .int()
      .nullable()
      .meta({ description: 'Of the last transfer; null until sealed' }),
    created_at: Timestamp,
    resolved_at: Timestamp.nullable(),
    issued_at: Timestamp,
  })
  .meta({ id: 'PaymentStatementClaims' });
export type StatementClaims = z.infer<typeof StatementClaims>;

export const Statement = z
  .strictObject({
    payment_id: Id,
    claims: StatementClaims,
    proof: z.string().meta({
      description: 'Compact JWS (EdDSA, Ed25519) over the claims, checked offline with /v1/explorer/keys',
    }),
  })
  .meta({ id: 'PaymentStatement' });

export const Balance = z
  .strictObject({
    user_id: Id,
    address: Address,
    balance: AmountOut.meta({
      description: 'What it can spend, what it owes as far as it has it, and what is held',
    }),
    available: AmountOut.meta({ description: 'What it can spend: without what it owes' }),
    held: AmountOut.meta({ description: 'In escrow for payments not yet resolved' }),
    debt: AmountOut.meta({
      description:
        'Owed because bitcoin left the chain after it was credited. So much of the balance cannot be spent; once the balance covers it, it is taken, and it ends by itself when the bitcoin stands in the chain again',
    }),
    currency: Currency,
    updated_at: Timestamp,
  })
  .meta({ id: 'Balance' });

export const Credit = z
  .strictObject({
    id: Id,
    account_id: Id.nullable().meta({ description: 'Null for the treasury' }),
    address: Address,
    amount: AmountOut,
    currency: Currency,
    reason: z.string(),
    transaction_hash: Hash,
    created_at: Timestamp,
  })
  .meta({ id: 'Credit' });

export const Block = z
  .strictObject({
    height: z.number().int(),
    hash: Hash.meta({ description: 'SHA-256 of the header' }),
    previous_hash: Hash,
    merkle_root: Hash.meta({ description: 'RFC 6962 tree over the transaction hashes, in order' }),
    tx_count: z.number().int(),
    timestamp: Timestamp,
    proposer: z.string().meta({ description: 'The signing key: its RFC 7638 thumbprint' }),
    signature: z.string().meta({ description: 'Ed25519 over the header, base64url' }),
  })
  .meta({ id: 'Block' });
export type Block = z.infer<typeof Block>;

const Height = WholeNumber(0, Number.MAX_SAFE_INTEGER);
const ProofPath = z.strictObject({
  index: z.number().int().meta({ description: 'Place in the block, from 0' }),
  path: z.array(Hash).meta({ description: 'RFC 6962 audit path, from the leaf up' }),
});

export const Transaction = z
  .strictObject({
    hash: Hash,
    id: z.string().meta({ description: 'Derived from what it is for, so that it cannot happen twice' }),
    block_height: z.number().int().nullable().meta({ description: 'Null until sealed' }),
    from: Address,
    to: Address,
    value: AmountOut,
    currency: Currency,
    kind: TransferKind,
    reference: z
      .string()
      .meta({ description: 'The payment, credit, invoice, block, proposal or transfer it belongs to' }),
    timestamp: Timestamp,
    proof: ProofPath.nullable().optional().meta({ description: 'With `proofs=true`, once sealed' }),
  })
  .meta({ id: 'Transaction' });
export type Transaction = z.infer<typeof Transaction>;

export const InclusionProof = z
  .strictObject({
    transaction_hash: Hash,
    ...ProofPath.shape,
    tx_count: z.number().int(),
    merkle_root: Hash,
    block_height: z.number().int(),
    block_hash: Hash,
  })
  .meta({ id: 'InclusionProof' });

export const LedgerAddress = z
  .strictObject({
    address: Address,
    kind: AccountKind,
    account_id: Id.nullable(),
    balance: AmountOut.meta({
      description: 'Spendable; what it holds in escrow stands at the escrow addresses',
    }),
    currency: Currency,
    tx_count: z.number().int(),
    first_seen: Timestamp.meta({ description: 'Of its first transaction, or when it was opened' }),
    last_seen: Timestamp,
  })
  .meta({ id: 'LedgerAddress' });
export type LedgerAddress = z.infer<typeof LedgerAddress>;

const Order = z
  .enum(['newest', 'oldest'])
  .default('newest')
  .meta({ description: '`oldest` walks the chain as a verifier does' });

const OfJob = Id.optional().meta({ description: 'When given, the payment must be for this job' });
const PaymentParams = z.strictObject({ payment_id: Id });
const parties = {
  service: 'payments',
  tag: 'Payments',
  who: ['client', 'miner', 'user', 'admin'],
  rate: 'client',
} as const;
const explorer = { service: 'payments', tag: 'Explorer', who: ['public'], rate: 'public' } as const;

export const paymentsRoutes = {
  create: defineRoute({
    ...parties,
    who: ['client'],
    name: 'payments.create',
    method: 'POST',
    path: '/v1/payments',
    summary: 'Put funds in escrow for a job of yours',
    description:
      'For a job of yours that waits and was submitted without `payment_amount`. Paid is what was held when the attempt that completes was leased: 409 `JOB_RUNNING` while an attempt runs, 409 `JOB_COMPLETED` or `JOB_ALREADY_ENDED` after the end; a payment that crosses with a lease counts for the next attempt, and comes back when there is none.',
    idempotent: true,
    body: z
      .strictObject({
        job_id: Id,
        amount: Amount,
        currency: Currency.default(CURRENCY),
        payment_method: z.literal('aitbc_token').default('aitbc_token'),
        escrow_timeout_seconds: z.number().int().min(300).max(86_400).optional(),
      })
      .meta({ id: 'PaymentRequest' }),
    responses: { 201: Payment },
    errors: [
      'INSUFFICIENT_FUNDS',
      'SPEND_CAP_EXCEEDED',
      'PAYMENT_ALREADY_EXISTS',
      'JOB_RUNNING',
      'JOB_COMPLETED',
      'JOB_ALREADY_ENDED',
    ],
  }),
  get: defineRoute({
    ...parties,
    name: 'payments.get',
    method: 'GET',
    path: '/v1/payments/:payment_id',
    summary: 'One payment',
    description: 'For its payer, its payee and operators.',
    params: PaymentParams,
    responses: { 200: Payment },
  }),
  getByJob: defineRoute({
    ...parties,
    name: 'payments.get_by_job',
    method: 'GET',
    path: '/v1/jobs/:job_id/payment',
    summary: 'The payment of a job',
    params: z.strictObject({ job_id: Id }),
    responses: { 200: Payment },
  }),
  release: defineRoute({
    ...parties,
    who: ['client', 'admin'],
    name: 'payments.release',
    method: 'POST',
    path: '/v1/payments/:payment_id/release',
    summary: 'Pay the miner of a completed job',
    description:
      'By the payer or an operator. Nobody has to: it happens by itself when the jobs service says that the job completed, and before that nobody can. 202 when it is decided and not yet carried out; a second time answers the same.',
    idempotent: true,
    params: PaymentParams,
    body: z.strictObject({ reason: Reason.optional(), job_id: OfJob }),
    responses: { 200: Payment, 202: Payment },
    errors: ['JOB_NOT_COMPLETED', 'ORDER_NOT_ENDED', 'PAYMENT_NOT_ESCROWED', 'PAYMENT_ALREADY_RESOLVED'],
  }),
  refund: defineRoute({
    ...parties,
    name: 'payments.refund',
    method: 'POST',
    path: '/v1/payments/:payment_id/refund',
    summary: 'Give the funds back to the payer',
    description:
      'A refund ends the job, so the jobs service decides. By the payer: a cancel of a job that waits; 409 `JOB_RUNNING` once a miner holds it (cancel the job instead). By the payee: while it holds the lease, 409 `STALE_LEASE` after it lost it. By an operator: until the job completed, and of a booking, which it ends. 409 `JOB_COMPLETED` after: the miner is paid. 202 when it is decided and not yet carried out, 503 with Retry-After while nobody could decide: the wish stands, and asking again is the same wish.',
    idempotent: true,
    params: PaymentParams,
    body: z.strictObject({ reason: Reason, job_id: OfJob }),
    responses: { 200: Payment, 202: Payment },
    errors: [
      'JOB_RUNNING',
      'JOB_COMPLETED',
      'STALE_LEASE',
      'ORDER_NOT_ENDED',
      'PAYMENT_NOT_ESCROWED',
      'PAYMENT_ALREADY_RESOLVED',
    ],
  }),
  receipt: defineRoute({
    ...parties,
    name: 'payments.receipt',
    method: 'GET',
    path: '/v1/payments/:payment_id/receipt',
    summary: 'A signed statement of a payment',
    params: PaymentParams,
    responses: { 200: Statement },
  }),
  balance: defineRoute({
    ...parties,
    rate: 'user',
    tag: 'Users',
    name: 'payments.balance',
    method: 'GET',
    path: '/v1/users/:user_id/balance',
    summary: 'What an account has',
    description: 'For the account itself and operators.',
    params: z.strictObject({ user_id: Id }),
    responses: { 200: Balance },
  }),
  credit: defineRoute({
    ...parties,
    who: ['admin'],
    tag: 'Admin',
    name: 'payments.credit',
    method: 'POST',
    path: '/v1/admin/accounts/:account_id/credit',
    summary: 'Credit an account from the mint',
    description: '`account_id` may be `treasury`.',
    idempotent: true,
    params: z.strictObject({ account_id: z.union([Id, z.literal('treasury')]) }),
    body: z.strictObject({ amount: Amount, reason: Reason }).meta({ id: 'CreditRequest' }),
    responses: { 201: Credit },
    errors: ['SUPPLY_CAP_REACHED'],
  }),
  blocks: defineRoute({
    ...explorer,
    name: 'payments.blocks',
    method: 'GET',
    path: '/v1/explorer/blocks',
    summary: 'Sealed blocks',
    query: PageQuery.extend({
      order: Order,
      from_height: Height.optional().meta({ description: 'Only this height and those above' }),
    }),
    responses: { 200: Page(Block) },
  }),
  block: defineRoute({
    ...explorer,
    name: 'payments.block',
    method: 'GET',
    path: '/v1/explorer/blocks/:height',
    summary: 'One block',
    params: z.strictObject({
      height: z.union([Height, Hash]).meta({ description: 'Its height, or its hash' }),
    }),
    responses: { 200: Block },
  }),
  transactions: defineRoute({
    ...explorer,
    name: 'payments.transactions',
    method: 'GET',
    path: '/v1/explorer/transactions',
    summary: 'Transactions',
    query: PageQuery.extend({
      order: Order,
      address: Address.optional(),
      block: Height.optional().meta({ description: 'Only those of this block' }),
      from_block: Height.optional().meta({ description: 'Only those of this block and the blocks above' }),
      proofs: z.enum(['true', 'false']).default('false').meta({
        description:
          'With the inclusion proof of each. A page ends early where it would take the trees of more than two of the largest blocks; `next_cursor` goes on',
      }),
    }),
    responses: { 200: Page(Transaction) },
  }),
  transaction: defineRoute({
    ...explorer,
    name: 'payments.transaction',
    method: 'GET',
    path: '/v1/explorer/transactions/:hash',
    summary: 'One transaction',
    params: z.strictObject({ hash: Hash }),
    responses: { 200: Transaction },
  }),
  proof: defineRoute({
    ...explorer,
    name: 'payments.proof',
    method: 'GET',
    path: '/v1/explorer/transactions/:hash/proof',
    summary: 'The Merkle proof that a block holds a transaction',
    description: '409 until the transaction is sealed.',
    params: z.strictObject({ hash: Hash }),
    responses: { 200: InclusionProof },
    errors: ['TRANSACTION_NOT_SEALED'],
  }),
  addresses: defineRoute({
    ...explorer,
    name: 'payments.addresses',
    method: 'GET',
    path: '/v1/explorer/addresses',
    summary: 'Addresses, the newest first',
    query: PageQuery.extend({ kind: AccountKind.optional() }),
    responses: { 200: Page(LedgerAddress) },
  }),
  address: defineRoute({
    ...explorer,
    name: 'payments.address',
    method: 'GET',
    path: '/v1/explorer/addresses/:address',
    summary: 'One address with its latest transactions',
    params: z.strictObject({ address: Address }),
    responses: {
      200: LedgerAddress.extend({
        recent_transactions: z.array(Transaction).meta({ description: 'The latest 25' }),
      }).meta({ id: 'LedgerAddressDetail' }),
    },
  }),
  keys: defineRoute({
    ...explorer,
    name: 'payments.keys',
    method: 'GET',
    path: '/v1/explorer/keys',
    summary: 'The keys that sign blocks and statements, current and past',
    responses: {
      200: z.strictObject({
        keys: z.array(
          z.strictObject({
            kty: z.literal('OKP'),
            crv: z.literal('Ed25519'),
            x: z.string(),
            kid: z.string(),
            alg: z.literal('EdDSA'),
            use: z.literal('sig'),
          }),
        ),
      }),
    },
  }),
  ...exchangeRoutes,
  ...transferRoutes,
} as const;
