/** What goes wrong again and again is told so often: a disk that is full for a night must not fill another with its log. */
const TELL_EVERY_MS = 60_000;

/**
 * For what may be told without end: says for each key whether it is time to tell again.
 * @param options.everyMs how often a key is told at most.
 * @param options.now monotonic milliseconds.
 * @returns undefined when it is not; else how often it was kept back since.
 */
export const occasionally = (options: { everyMs?: number; now?: () => number } = {}) => {
  const { everyMs = TELL_EVERY_MS, now = () => performance.now() } = options;
  const told = new Map<string, { atMs: number; keptBack: number }>();
  return (key: string): number | undefined => {
    const known = told.get(key);
    if (known !== undefined && now() - known.atMs < everyMs) {
      known.keptBack += 1;
      return undefined;
    }
    told.set(key, { atMs: now(), keptBack: 0 });
    return known?.keptBack ?? 0;
  };
};
