import type { Store } from '@aitbc/chassis';

/** News from another service is under way for so long at most, before "unknown" is the truth. */
export const NEWS_WAIT_MS = 2_000;

/**
 * Asks at once, and again each time the topic is notified, until there is an answer.
 * @returns undefined when the time is over or the caller went away
 */
export const waitFor = async <T>(
  store: Store,
  topic: string,
  probe: () => Promise<T | undefined>,
  options: { withinMs: number; signal: AbortSignal },
): Promise<T | undefined> => {
  const first = await probe();
  if (first !== undefined) return first;
  return new Promise((resolve, reject) => {
    const finish = (value: T | undefined) => {
      unsubscribe();
      clearTimeout(timer);
      options.signal.removeEventListener('abort', giveUp);
      resolve(value);
    };
    const giveUp = () => finish(undefined);
    const look = (): void => {
      probe().then((value) => {
        if (value !== undefined) finish(value);
      }, reject);
    };
    const unsubscribe = store.subscribe(topic, look);
    const timer = setTimeout(giveUp, options.withinMs);
    options.signal.addEventListener('abort', giveUp, { once: true });
    // What was committed between the first look and the subscription.
    look();
  });
};
