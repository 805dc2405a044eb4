import type { Store, Trx } from '@aitbc/chassis';
import { findOrder } from './store/order.ts';
import type { Order } from './tables.ts';

const topicOf = (orderId: string): string => `order:${orderId}`;

/** Booking requests that wait for the answer of payments. The facts are in the orders; any process may hear the answer. */
export const createHolds = (store: Store) => {
  const open = new Set<() => void>();
  let isStopped = false;
  return {
    /** Wakes who waits for this order, once the transaction is on disk. */
    answered: (trx: Trx, orderId: string): void => trx.notify(topicOf(orderId)),
    /** @returns the order as it stands once it is no longer pending, or when the time is up or the caller went away. */
    wait: async (orderId: string, waitMs: number, signal: AbortSignal): Promise<Order> => {
      const current = async () => (await findOrder(store.read, orderId)) as Order;
      const over = Promise.withResolvers<void>();
      let isOver = isStopped || signal.aborted;
      const end = () => {
        isOver = true;
        over.resolve();
      };
      let woken = Promise.withResolvers<void>();
      const wake = () => woken.resolve();
      // Listening begins first, so an answer is either seen here or wakes.
      const unsubscribe = store.subscribe(topicOf(orderId), wake);
      const timer = setTimeout(end, waitMs);
      open.add(end);
      signal.addEventListener('abort', end, { once: true });
      try {
        for (;;) {
          woken = Promise.withResolvers<void>();
          const order = await current();
          if (order.status !== 'pending_payment') return order;
          if (isOver) return order;
          await Promise.race([woken.promise, over.promise]);
        }
      } finally {
        unsubscribe();
        clearTimeout(timer);
        open.delete(end);
        signal.removeEventListener('abort', end);
      }
    },
    /** Lets all go, while the service drains. */
    stop: (): void => {
      isStopped = true;
      for (const end of open) end();
    },
  };
};
export type Holds = ReturnType<typeof createHolds>;
