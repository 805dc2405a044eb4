/**
 * How long a piece of work takes. When others had the processor meanwhile, only the time in which this thread had it counts:
 * on a machine that is full, work that nobody waits for would else become smaller and smaller, and never be done. Else the
 * wait for a disk counts too.
 * @returns what says the milliseconds since
 */
export const startStopwatch = (): (() => number) => {
  const { involuntaryContextSwitches: switches } = process.resourceUsage();
  const used = process.threadCpuUsage();
  const since = performance.now();
  return () => {
    const tookMs = performance.now() - since;
    if (process.resourceUsage().involuntaryContextSwitches === switches) return tookMs;
    const { user, system } = process.threadCpuUsage(used);
    return Math.min(tookMs, (user + system) / 1_000);
  };
};
