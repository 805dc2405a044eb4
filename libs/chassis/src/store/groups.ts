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

/** What ends each group that gathered something. */
export const FLUSH: Pick<Waiting, 'name' | 'fn'> = { name: 'store.flush', fn: (trx) => trx.flush() };

export type Outcome = { ok: true; value: unknown } | { ok: false; error: unknown };
export type Hook = () => void | Promise<void>;

/**
 * The queue of functions that want to write.
 * @param commit runs a group in one transaction and tells each its outcome; it never throws
 */
export const createGroups = (commit: (group: Waiting[]) => Promise<void>) => {
  const queue: Waiting[] = [];
  const chores: (() => Promise<void>)[] = [];
  let scheduled = false;
  let closed = false;

  const schedule = (): void => {
    if (scheduled || (queue.length === 0 && chores.length === 0)) return;
    scheduled = true;
    setImmediate(async () => {
      for (const chore of chores.splice(0)) await chore();
      if (queue.length > 0) await commit(queue.splice(0, GROUP_MAX));
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
    /** Runs `chore` while no transaction does. @throws what it throws */
    between: <T>(chore: () => Promise<T>): Promise<T | undefined> =>
      new Promise((resolve, reject) => {
        if (closed) return resolve(undefined);
        chores.push(() => chore().then(resolve, reject));
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

/** Topics about this process alone: nothing of them can be lost, and nobody else wants them. */
const LOCAL = 'outbox:';
/** How often it is looked who has not been called for too long: it spreads the calls. */
const LOOK_EVERY_MS = 250;

/**
 * Who wants to know of what was committed.
 * @param options.lookAgainMs calls each listener so often at least: where what another process says may be lost
 */
export const createTopics = (options: { lookAgainMs?: number } = {}) => {
  interface Entry {
    readonly listener: () => void;
    calledAt: number;
  }
  const entries = new Map<string, Set<Entry>>();
  const call = (entry: Entry): void => {
    entry.calledAt = performance.now();
    entry.listener();
  };
  const { lookAgainMs } = options;
  const lookAgain = (): void => {
    const before = performance.now() - (lookAgainMs as number) + LOOK_EVERY_MS;
    for (const [topic, set] of entries)
      if (!topic.startsWith(LOCAL)) for (const entry of set) if (entry.calledAt <= before) call(entry);
  };
  const timer = lookAgainMs === undefined ? undefined : setInterval(lookAgain, LOOK_EVERY_MS).unref();
  return {
    wake: (topic: string) => entries.get(topic)?.forEach(call),
    isLocal: (topic: string) => topic.startsWith(LOCAL),
    subscribe: (topic: string, listener: () => void) => {
      const entry = { listener, calledAt: performance.now() };
      const set = entries.get(topic) ?? new Set();
      entries.set(topic, set.add(entry));
      return () => {
        set.delete(entry);
        if (set.size === 0 && entries.get(topic) === set) entries.delete(topic);
      };
    },
    stop: () => clearInterval(timer),
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
