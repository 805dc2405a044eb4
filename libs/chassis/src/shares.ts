import { Problem, type ProblemCode } from '@aitbc/contracts';

/**
 * How many of one kind of thing each account holds open at once, in memory: one account fills its own share, and nobody
 * else's. An account that holds none costs nothing.
 */
export const createShare = (options: {
  max: number;
  code: ProblemCode;
  what: string;
  retryAfterSeconds: number;
}) => {
  const held = new Map<string, number>();
  return {
    /**
     * @param units of the share that this one takes
     * @returns what gives it back; again is harmless
     * @throws Problem when the account's share is full
     */
    take: (accountId: string, units = 1): (() => void) => {
      const count = held.get(accountId) ?? 0;
      if (count + units > options.max) {
        throw new Problem(
          options.code,
          `An account can hold ${options.max.toLocaleString('en')} ${options.what} at once; end some, or try again later.`,
          { details: { limit: options.max }, retryAfterSeconds: options.retryAfterSeconds },
        );
      }
      held.set(accountId, count + units);
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (held.get(accountId) ?? units) - units;
        if (left > 0) held.set(accountId, left);
        else held.delete(accountId);
      };
    },
  };
};
