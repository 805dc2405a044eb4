/** The contract asks for at most about one report a second for each job. */
const INTERVAL_MS = 1_000;

export interface ProgressSender {
  /** Keeps the largest value and sends it when the interval allows. */
  report(fraction: number): void;
  stop(): void;
}

/**
 * @param send resolves when the report was answered; one at a time, and the newest value only. A report that fails is
 * not tried again: the next one says more.
 */
export const createProgressSender = (
  send: (fraction: number) => Promise<void>,
  intervalMs: number = INTERVAL_MS,
): ProgressSender => {
  let latest = 0;
  let sent = 0;
  let isBusy = false;
  let isStopped = false;
  // What ends within the first second says nothing of its progress; and the first word of an answer has the way to itself.
  let notBefore = performance.now() + intervalMs;
  let timer: NodeJS.Timeout | undefined;

  const turn = (): void => {
    if (isStopped || isBusy || timer !== undefined || latest <= sent) return;
    const wait = notBefore - performance.now();
    if (wait > 0) {
      timer = setTimeout(() => {
        timer = undefined;
        turn();
      }, wait);
      return;
    }
    isBusy = true;
    sent = latest;
    notBefore = performance.now() + intervalMs;
    void send(sent).finally(() => {
      isBusy = false;
      turn();
    });
  };

  return {
    report(fraction) {
      if (!(fraction > latest)) return;
      latest = Math.min(1, fraction);
      turn();
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
    },
  };
};
