import type { Context, Handlers } from '@aitbc/chassis';
import {
  type AnyRoute,
  addressNames,
  blockNames,
  type legacyPaymentsRoutes,
  notFound,
  paymentsRoutes,
  transactionTexts,
} from '@aitbc/contracts';
import type { createExplorerHandlers } from './explorer.ts';

type Explorer = ReturnType<typeof createExplorerHandlers>;
type Fields = Record<string, unknown>;
type Listed = Pick<Context<AnyRoute>, 'query'>;

const LIMIT = 50;
const LIMIT_MAX = 500;

/** The explorer where the original's pages look for it: the same answers, with their names and their texts. */
export const createLegacyHandlers = (explorer: Explorer): Handlers<typeof legacyPaymentsRoutes> => {
  const list = async (
    name: 'blocks' | 'transactions' | 'addresses',
    context: Listed,
    view: (item: Fields) => Fields,
  ) => {
    const { limit = LIMIT, cursor } = context.query as { limit?: number; cursor?: string };
    const query = {
      limit: Math.max(1, Math.min(limit, LIMIT_MAX)),
      cursor,
      order: 'newest',
      proofs: 'false',
    };
    const reply = await explorer[name]({ query } as never);
    const { items, next_cursor } = (reply as { body: unknown }).body as {
      items: Fields[];
      next_cursor: string | null;
    };
    return { status: 200 as const, body: { items: items.map(view), next_cursor } };
  };
  const one = async (
    name: 'block' | 'transaction' | 'address',
    context: Pick<Context<AnyRoute>, 'params'>,
    view: (item: Fields) => Fields,
  ) => {
    const params = paymentsRoutes[name].params?.safeParse(context.params);
    if (params?.success !== true) throw notFound(name);
    const reply = await explorer[name]({ params: params.data } as never);
    return { status: 200 as const, body: view(reply?.body as Fields) };
  };
  return {
    legacyBlocks: (context) => list('blocks', context, blockNames),
    legacyExplorerBlocks: (context) => list('blocks', context, blockNames),
    legacyExplorerBlock: (context) => one('block', context, blockNames),
    legacyExplorerTransactions: (context) => list('transactions', context, transactionTexts),
    legacyExplorerTransaction: (context) => one('transaction', context, transactionTexts),
    legacyExplorerAddresses: (context) => list('addresses', context, addressNames),
    legacyExplorerAddress: (context) => one('address', context, addressNames),
  };
};
