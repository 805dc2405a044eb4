import { type Store, type Trx, waitFor } from '@aitbc/chassis';
import { findOrder } from './store/order.ts';
import type { Order } from './tables.ts';

const topicOf = (orderId: string): string => `order:${orderId}`;

/** Booking requests that wait for the answer of payments. The facts are in the orders; any process may hear the answer. */
export const createHolds = (store: Store) => {
  const stopping = new AbortController();
  return {
    /** Wakes who waits for this order, once the transaction is on disk. */
    answered: (trx: Trx, orderId: string): void => trx.notify(topicOf(orderId)),
    /** @returns the order as it stands once it is no longer pending, or when the time is up or the caller went away. */
    wait: async (orderId: string, waitMs: number, signal: AbortSignal): Promise<Order> => {
      const current = async () => (await findOrder(store.read, orderId)) as Order;
      const answered = async () => {
        const order = await current();
        return order.status === 'pending_payment' ? undefined : order;
      };
      const gone = [signal, stopping.signal];
      return (
        (await waitFor(store, topicOf(orderId), answered, { withinMs: waitMs, gone })) ?? (await current())
      );
    },
    /** Lets all go, while the service drains. */
    stop: (): void => stopping.abort(),
  };
};
export type Holds = ReturnType<typeof createHolds>;
