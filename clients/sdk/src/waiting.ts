import { ConnectionError } from './errors.ts';

const FIRST_MS = 250;
const LONGEST_MS = 8_000;

/**
 * How long to wait before the next attempt: doubling, a random half of it, so that many who were cut off together do not
 * come back together.
 * @param tried attempts that failed before this one, from 0
 * @param atLeastSeconds what the coordinator asked for
 */
export const backOff = (tried: number, atLeastSeconds = 0): number => {
  const full = Math.min(FIRST_MS * 2 ** tried, LONGEST_MS);
  return atLeastSeconds * 1_000 + full / 2 + (Math.random() * full) / 2;
};

/** @throws the signal's reason, as soon as it is aborted. */
export const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    if (signal?.aborted === true) {
      reject(signal.reason);
      return;
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });

/**
 * Gives `work` a signal that is aborted by the caller's, or after `ms`.
 * By hand instead of AbortSignal.any and .timeout: those stay in memory until their time is over.
 */
export const withDeadline = async <T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> => {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  const timer = setTimeout(
    () =>
      controller.abort(
        new ConnectionError({ code: 'TIMEOUT', message: `No answer within ${Math.round(ms / 1_000)} s.` }),
      ),
    ms,
  );
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(controller.signal);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
};
