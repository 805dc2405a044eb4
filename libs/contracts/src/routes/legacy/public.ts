import { z } from 'zod';
import { WholeNumber } from '../../query.ts';
import { defineRoute } from '../../route.ts';
import { answer, orEmpty, tag } from './lenient.ts';

// What anyone may read, where the original's programs look for it.

const asAnyone = { tag, who: ['public'], rate: 'public' } as const;
const query = z.object({
  limit: orEmpty(WholeNumber(0, 1_000_000)),
  cursor: orEmpty(z.string().max(500)),
});
const Items = answer({ items: z.array(answer({})), next_cursor: z.string().nullable() });
const list = { ...asAnyone, query, method: 'GET', responses: { 200: Items } } as const;
const one = { ...asAnyone, method: 'GET', responses: { 200: answer({}) } } as const;
const param = z.string().min(1).max(200);

export const legacyPaymentsRoutes = {
  legacyBlocks: defineRoute({
    ...list,
    service: 'payments',
    alias: 'GET /v1/explorer/blocks',
    name: 'payments.legacy_blocks',
    path: '/v1/blocks',
    summary: 'Sealed blocks',
  }),
  legacyExplorerBlocks: defineRoute({
    ...list,
    service: 'payments',
    alias: 'GET /v1/explorer/blocks',
    name: 'payments.legacy_explorer_blocks',
    path: '/api/explorer/blocks',
    summary: 'Sealed blocks',
  }),
  legacyExplorerBlock: defineRoute({
    ...one,
    service: 'payments',
    alias: 'GET /v1/explorer/blocks/{height}',
    name: 'payments.legacy_explorer_block',
    path: '/api/explorer/blocks/:height',
    summary: 'One block, by height or hash',
    params: z.strictObject({ height: param }),
  }),
  legacyExplorerTransactions: defineRoute({
    ...list,
    service: 'payments',
    alias: 'GET /v1/explorer/transactions',
    name: 'payments.legacy_explorer_transactions',
    path: '/api/explorer/transactions',
    summary: 'Transactions, with amounts as texts',
  }),
  legacyExplorerTransaction: defineRoute({
    ...one,
    service: 'payments',
    alias: 'GET /v1/explorer/transactions/{hash}',
    name: 'payments.legacy_explorer_transaction',
    path: '/api/explorer/transactions/:hash',
    summary: 'One transaction, with its amount as a text',
    params: z.strictObject({ hash: param }),
  }),
  legacyExplorerAddresses: defineRoute({
    ...list,
    service: 'payments',
    alias: 'GET /v1/explorer/addresses',
    name: 'payments.legacy_explorer_addresses',
    path: '/api/explorer/addresses',
    summary: 'Addresses',
  }),
  legacyExplorerAddress: defineRoute({
    ...one,
    service: 'payments',
    alias: 'GET /v1/explorer/addresses/{address}',
    name: 'payments.legacy_explorer_address',
    path: '/api/explorer/addresses/:address',
    summary: 'One address',
    params: z.strictObject({ address: param }),
  }),
} as const;

export const legacyReceiptsRoutes = {
  legacyExplorerReceipts: defineRoute({
    ...list,
    query: query.extend({ job_id: orEmpty(z.string().max(200)) }),
    service: 'jobs',
    alias: 'GET /v1/explorer/receipts',
    name: 'jobs.legacy_explorer_receipts',
    path: '/api/explorer/receipts',
    summary: 'Receipts',
  }),
} as const;

export const legacyMarketRoutes = {
  legacyStats: defineRoute({
    ...one,
    service: 'market',
    alias: 'GET /v1/marketplace/gpu/list',
    name: 'market.legacy_stats',
    path: '/v1/marketplace/stats',
    summary: 'How much is offered',
    responses: {
      200: z.object({
        totalOffers: z.number().int(),
        openCapacity: z.number().int(),
        averagePrice: z.number(),
        activeBids: z.literal(0),
      }),
    },
  }),
  legacyOffers: defineRoute({
    ...one,
    query,
    service: 'market',
    alias: 'GET /v1/marketplace/gpu/list',
    name: 'market.legacy_offers',
    path: '/v1/marketplace/offers',
    summary: 'GPUs on offer',
    responses: { 200: z.array(answer({ id: z.string(), provider: z.string(), price: z.number() })) },
  }),
} as const;

const health = {
  tag,
  who: ['public'],
  rate: 'none',
  service: 'gateway',
  alias: 'GET /health/ready',
  method: 'GET',
  summary: 'Is the coordinator there',
  responses: {
    200: z.object({
      status: z.literal('ok'),
      env: z.string(),
      db: z.string(),
      redis: z.string(),
      miners_online: z.number().int(),
    }),
  },
} as const;

export const legacyGatewayRoutes = {
  legacyHealth: defineRoute({ ...health, name: 'gateway.legacy_health', path: '/v1/health' }),
  legacyApiHealth: defineRoute({ ...health, name: 'gateway.legacy_api_health', path: '/api/health' }),
} as const;
