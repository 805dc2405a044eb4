import type { Input, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';

type Query<
  N extends 'payments.blocks' | 'payments.transactions' | 'payments.addresses' | 'jobs.public_receipts',
> = NonNullable<Input<N>['query']>;

/** What anyone may see and check: no key is needed. */
export const createExplorer = (transport: Transport) => ({
  blocks: (query: Query<'payments.blocks'> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('payments.blocks', { query: page }, options)),
  block: (height: number, call?: RequestOptions) =>
    transport.call('payments.block', { params: { height } }, call),
  transactions: (query: Query<'payments.transactions'> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('payments.transactions', { query: page }, options)),
  transaction: (hash: string, call?: RequestOptions) =>
    transport.call('payments.transaction', { params: { hash } }, call),
  /** That a block holds a transaction: for `verifyInclusion`. */
  proof: (hash: string, call?: RequestOptions) =>
    transport.call('payments.proof', { params: { hash } }, call),
  addresses: (query: Query<'payments.addresses'> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('payments.addresses', { query: page }, options)),
  address: (address: string, call?: RequestOptions) =>
    transport.call('payments.address', { params: { address } }, call),
  receipts: (query: Query<'jobs.public_receipts'> = {}, call: RequestOptions = {}) =>
    listOf(query, call, (page, options) => transport.call('jobs.public_receipts', { query: page }, options)),
  /** The keys that sign receipts, current and past: for `verifyReceipt`. */
  receiptKeys: async (call?: RequestOptions) => (await transport.call('jobs.jwks', {}, call)).keys,
  /** The keys that sign blocks and statements, current and past: for `verifyBlock`. */
  ledgerKeys: async (call?: RequestOptions) => (await transport.call('payments.keys', {}, call)).keys,
});
export type Explorer = ReturnType<typeof createExplorer>;
