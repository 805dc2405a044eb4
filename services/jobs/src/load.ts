/** How many jobs each miner holds, in memory: asked with every poll. Counted from the file at the start. */
export const createLoad = () => {
  const running = new Map<string, number>();
  return {
    of: (minerId: string): number => running.get(minerId) ?? 0,
    add: (minerId: string, count: number): void => {
      const now = (running.get(minerId) ?? 0) + count;
      if (now > 0) running.set(minerId, now);
      else running.delete(minerId);
    },
  };
};
export type Load = ReturnType<typeof createLoad>;
