/** Miners heard since the last report: one message each few seconds instead of one a request. */
export const createSeen = () => {
  let ids = new Set<string>();
  return {
    add: (minerId: string): void => void ids.add(minerId),
    take: (): string[] => {
      const taken = [...ids];
      ids = new Set();
      return taken;
    },
  };
};
export type Seen = ReturnType<typeof createSeen>;
