import type { Store, Trx } from '@aitbc/chassis';
import { findOrder } from './store/order.ts';
import type { Order } from './tables.ts';

/** Booking requests that wait, in memory, for the answer of payments. The facts are in the orders. */
export const createHolds = (store: Store) => {
  const waiting = new Map<string, Set<() => void>>();
  return {
    /** Wakes who waits for this order, once the transaction is on disk. */
    answered: (trx: Trx, orderId: string): void =>
      trx.afterCommit(() => {
        for (const wake of waiting.get(orderId) ?? []) wake();
      }),
    /** @returns the order as it stands once it is no longer pending, or when the time is up or the caller went away. */
    wait: async (orderId: string, waitMs: number, signal: AbortSignal): Promise<Order> => {
      const woken = Promise.withResolvers<void>();
      const sleepers = waiting.get(orderId) ?? new Set();
      waiting.set(orderId, sleepers.add(woken.resolve));
      const timer = setTimeout(woken.resolve, waitMs);
      signal.addEventListener('abort', () => woken.resolve(), { once: true });
      const current = async () => (await findOrder(store.read, orderId)) as Order;
      try {
        // Listening began first, so an answer is either seen here or wakes.
        if ((await current()).status === 'pending_payment') await woken.promise;
        return await current();
      } finally {
        clearTimeout(timer);
        sleepers.delete(woken.resolve);
        if (sleepers.size === 0) waiting.delete(orderId);
      }
    },
    /** Lets all go, while the service drains. */
    stop: (): void => {
      for (const sleepers of waiting.values()) for (const wake of sleepers) wake();
    },
  };
};
export type Holds = ReturnType<typeof createHolds>;
