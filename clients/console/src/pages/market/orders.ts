import type { Order } from '@aitbc/sdk';
import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import type { Tone } from '../../parts/look.tsx';
import { OFTEN_MS, useWho } from '../../queries.ts';
import { api, useCredential } from '../../session.ts';

const PAGE = 100;

/** What whoever is signed in may do here. A session may do what its account may, a key what it was made for. */
export const useMay = (): { client: boolean; miner: boolean } => {
  const credential = useCredential();
  const { data: who } = useWho();
  const may = (scope: 'client' | 'miner') =>
    who !== undefined && (credential?.kind === 'session' || who.scopes.includes(scope));
  return { client: may('client'), miner: may('miner') };
};

/** Own bookings, as booker or owner, newest first. */
export const useOrders = () => {
  const { client, miner } = useMay();
  return useInfiniteQuery({
    enabled: client || miner,
    queryKey: ['orders'],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam, signal }) =>
      api().gpus.orders({ limit: PAGE, cursor: pageParam }, { signal }).page(),
    getNextPageParam: ({ next_cursor }) => next_cursor ?? undefined,
    refetchInterval: OFTEN_MS,
  });
};

/** After anything that was done about a GPU: what is shown of it, of its bookings and of the money is asked for again. */
export const useMarketRefresh = (): (() => Promise<unknown>) => {
  const queries = useQueryClient();
  return () =>
    Promise.all(['gpus', 'orders', 'balance'].map((key) => queries.invalidateQueries({ queryKey: [key] })));
};

export const isOpen = ({ status }: Order): boolean => status === 'active' || status === 'pending_payment';

/** An order in words. */
export const stateOf = (order: Order, now: number): readonly [string, Tone] => {
  switch (order.status) {
    case 'pending_payment':
      return ['waits for its money', 'warn'];
    case 'active':
      return now < Date.parse(order.start_time) ? ['booked', 'busy'] : ['runs', 'good'];
    case 'cancelled':
      return ['cancelled', 'bad'];
    default:
      return ['over', 'still'];
  }
};

export const REASONS: Record<NonNullable<Order['reason']>, string> = {
  INSUFFICIENT_FUNDS: 'there was not enough money',
  SPEND_CAP_EXCEEDED: 'the key may not spend that much',
  PAYMENT_TIMEOUT: 'the money was not held in time',
  WITHDRAWN: 'it was given back before the money was held',
  COMPLETED: 'its time was up',
  RELEASED_BY_BOOKER: 'given back',
  RELEASED_BY_OWNER: 'taken back by its owner',
  MINER_ABSENT: 'its machine was gone',
  REFUNDED_BY_OPERATOR: 'an operator gave the money back',
};
