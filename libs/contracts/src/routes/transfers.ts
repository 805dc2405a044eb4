import { z } from 'zod';
import { Id, Timestamp } from '../ids.ts';
import { Address, Hash, TransferKind } from '../ledger-fields.ts';
import { Amount, AmountOut, CURRENCY } from '../money.ts';
import { Page, PageQuery } from '../page.ts';
import { defineRoute } from '../route.ts';
import { Text } from '../text.ts';

/** A line of a bank statement. */
const MEMO_LENGTH_MAX = 140;

const Party = z.strictObject({ account_id: Id, address: Address });

export const Transfer = z
  .strictObject({
    id: Id,
    from: Party,
    to: Party,
    amount: AmountOut,
    currency: z.literal(CURRENCY),
    memo: z
      .string()
      .nullable()
      .meta({ description: 'For the two parties alone: the explorer does not show it' }),
    transaction_hash: Hash,
    created_at: Timestamp,
  })
  .meta({ id: 'Transfer' });

export const StatementEntry = z
  .strictObject({
    hash: Hash,
    time: Timestamp,
    kind: TransferKind,
    amount: z
      .number()
      .meta({ description: 'AITBC: above zero came in, below zero went out', example: -1.25 }),
    balance: AmountOut.meta({
      description:
        'At your address after it. What is held in escrow stands elsewhere: hold takes it, refund brings it back',
    }),
    currency: z.literal(CURRENCY),
    counterparty: Address,
    reference: z
      .string()
      .meta({ description: 'The payment, credit, invoice, proposal or transfer it belongs to' }),
    memo: z.string().nullable(),
  })
  .meta({ id: 'StatementEntry' });
export type StatementEntry = z.infer<typeof StatementEntry>;

export const transferRoutes = {
  transfer: defineRoute({
    service: 'payments',
    tag: 'Payments',
    who: ['user', 'trade'],
    rate: 'client',
    name: 'payments.transfer',
    method: 'POST',
    path: '/v1/transfers',
    summary: 'Give tokens to another account',
    description:
      'To an account id or a ledger address; 404 when there is no such account, for what goes to nobody is lost. It is final: no escrow, no fee, no way back. At most what is available, and with a key at most its `daily_transfer_cap` a day of UTC: 402 `TRANSFER_CAP_EXCEEDED`, with `details.resets_at`.',
    idempotent: true,
    body: z
      .strictObject({
        to: z.union([Id, Address], 'must be an account id or a ledger address'),
        amount: Amount,
        memo: Text(1, MEMO_LENGTH_MAX).optional(),
      })
      .meta({ id: 'TransferRequest' }),
    responses: { 201: Transfer },
    errors: ['INSUFFICIENT_FUNDS', 'TRANSFER_CAP_EXCEEDED'],
  }),
  statement: defineRoute({
    service: 'payments',
    tag: 'Users',
    who: ['user', 'client'],
    rate: 'user',
    name: 'payments.statement',
    method: 'GET',
    path: '/v1/users/me/transactions',
    summary: 'What went in and out of your account, with the running balance',
    description:
      'With `format=csv` the page is a text/csv with a line of headings, and the next page, where there is one, is in the header `Link` as `rel="next"`. Texts in it that a spreadsheet would take for a formula begin with an apostrophe.',
    query: PageQuery.extend({ format: z.enum(['json', 'csv']).default('json') }),
    responses: { 200: Page(StatementEntry) },
  }),
} as const;
