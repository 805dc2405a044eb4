import type { Store } from './store/index.ts';

/**
 * Looks at once, and again each time the topic is notified, until there is an answer.
 * @param probe reads the store; undefined is no answer yet. Never two at a time
 * @param options.gone each ends the wait: the caller went away, the service stops
 * @returns undefined when the wait ended without an answer
 * @throws what `probe` throws
 */
export const waitFor = async <T>(
  store: Pick<Store, 'subscribe'>,
  topic: string,
  probe: () => Promise<T | undefined>,
  options: { withinMs: number; gone: readonly AbortSignal[] },
): Promise<T | undefined> => {
  let isOver = options.gone.some((signal) => signal.aborted);
  let woken = Promise.withResolvers<void>();
  const wake = (): void => woken.resolve();
  const end = (): void => {
    isOver = true;
    wake();
  };
  // Before the first look: what is committed after it wakes.
  const unsubscribe = store.subscribe(topic, wake);
  const timer = setTimeout(end, options.withinMs);
  for (const signal of options.gone) signal.addEventListener('abort', end, { once: true });
  try {
    for (;;) {
      woken = Promise.withResolvers<void>();
      const answer = await probe();
      if (answer !== undefined || isOver) return answer;
      await woken.promise;
      if (isOver) return undefined;
    }
  } finally {
    unsubscribe();
    clearTimeout(timer);
    for (const signal of options.gone) signal.removeEventListener('abort', end);
  }
};
