import { timeLimit } from './engine.ts';

const WITHIN_MS = timeLimit(10_000);

/**
 * Waits on a condition, never on a guess: asks again until `probe` neither throws nor gives undefined or false.
 * @throws the last refusal once `withinMs` has passed.
 */
export const eventually = async <T>(
  probe: () => T | Promise<T>,
  options: { withinMs?: number; everyMs?: number } = {},
): Promise<Exclude<T, undefined | false>> => {
  const until = performance.now() + (options.withinMs ?? WITHIN_MS);
  let last: unknown = new Error('the condition was not met');
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
    } catch (error) {
      last = error;
    }
    if (performance.now() > until) throw last;
    await new Promise((resolve) => setTimeout(resolve, options.everyMs ?? 20));
  }
};
