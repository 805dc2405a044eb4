/** From one request to a model server: when its answer began, and how fast it came. */
export const speedOf = (now: () => number = () => performance.now()) => {
  const askedAt = now();
  let beganAt: number | undefined;
  return {
    /** Something of the answer is there. Only the first time counts. */
    began: (): void => {
      beganAt ??= now();
    },
    of: (tokens: number): Record<string, number> => {
      if (beganAt === undefined) return { tokens };
      const seconds = (now() - beganAt) / 1_000;
      return {
        tokens,
        first_token_ms: Math.round(beganAt - askedAt),
        // The first one was there when the time began.
        ...(tokens > 1 && seconds > 0
          ? { tokens_per_second: Number(((tokens - 1) / seconds).toPrecision(4)) }
          : {}),
      };
    },
  };
};
export type Speed = ReturnType<typeof speedOf>;
