import { Problem } from '@aitbc/contracts';
import type { Trx } from './store.ts';

/** One group shares one commit. 64 × ~50 µs of work stays near 3 ms, so nobody waits long for a neighbour. */
const GROUP_MAX = 64;
/** Callers waiting beyond this are refused with 503 rather than queued without end. */
const WAITING_MAX = 20_000;
/** A function still running after this is rolled back: something slow got inside a transaction. */
export const FUNCTION_DEADLINE_MS = 5_000;

/** A function that waits for its turn. */
export interface Waiting {
  readonly name: string;
  readonly fn: (trx: Trx) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export type Outcome = { ok: true; value: unknown } | { ok: false; error: unknown };
export type Hook = () => void | Promise<void>;

/**
 * The queue of functions that want to write.
 * @param commit runs a group in one transaction and tells each its outcome; it never throws
 */
export const createGroups = (commit: (group: Waiting[]) => Promise<void>) => {
  const queue: Waiting[] = [];
  let scheduled = false;
  let closed = false;

  const schedule = (): void => {
    if (scheduled || queue.length === 0) return;
    scheduled = true;
    setImmediate(async () => {
      await commit(queue.splice(0, GROUP_MAX));
      scheduled = false;
      schedule();
    });
  };

  return {
    transact: <T>(name: string, fn: (trx: Trx) => T | Promise<T>): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        if (closed) return reject(new Error(`store is closed: ${name}`));
        if (queue.length >= WAITING_MAX) {
          return reject(
            new Problem('OVERLOADED', 'Too much work is waiting; try again shortly.', {
              retryAfterSeconds: 1,
            }),
          );
        }
        queue.push({ name, fn, resolve: resolve as (value: unknown) => void, reject });
        schedule();
      }),
    waiting: () => queue.length,
    /** Refuses all that wait. */
    refuse: (error: unknown) => {
      for (const item of queue.splice(0)) item.reject(error);
    },
    /** Takes no more, and resolves when what was taken is done. */
    close: async () => {
      closed = true;
      while (scheduled) await new Promise((resolve) => setTimeout(resolve, 1));
    },
  };
};

/** Who wants to know of what was committed. */
export const createTopics = () => {
  const listeners = new Map<string, Set<() => void>>();
  return {
    wake: (topic: string) => listeners.get(topic)?.forEach((listener) => void listener()),
    subscribe: (topic: string, listener: () => void) => {
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set.add(listener));
      return () => void set.delete(listener);
    },
  };
};

const runHook = (hook: Hook): void => {
  // A bug, and loud; but the others must be woken first, and the writer must go on until the process ends.
  const fail = (error: unknown): void => {
    setImmediate(() => {
      throw error;
    });
  };
  try {
    const running = hook();
    if (running instanceof Promise) running.catch(fail);
  } catch (error) {
    fail(error);
  }
};
export const runHooks = (hooks: readonly Hook[]): void => hooks.forEach(runHook);

export const settle = (
  group: readonly Waiting[],
  outcomes: readonly Outcome[],
  refusalFor: (error: unknown) => unknown,
): void =>
  group.forEach((item, index) => {
    const outcome = outcomes[index] as Outcome;
    if (outcome.ok) item.resolve(outcome.value);
    else item.reject(refusalFor(outcome.error));
  });
