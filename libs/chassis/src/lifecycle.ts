import { ConfigError } from './config.ts';
import { isConnectionFault, unhandledConnectionFaults } from './connections.ts';
import { collectWhenIdle } from './idle.ts';
import { traced } from './traces.ts';

/** In-flight requests and batches get so long to finish; a supervisor's own limit is longer. */
const DRAIN_MAX_MS = 10_000;

export interface Running {
  readonly url: string;
  stop(): Promise<void>;
}

/** Lets a service end itself: a fresh process is the cure for a stuck one. */
export type Fail = (reason: string) => void;

/**
 * The whole of a `main.ts`: starts, drains on SIGTERM, SIGINT or a supervisor's death, and ends.
 * An error that nobody handled ends it loudly, unless it is that of one open connection: that one is told and counted.
 * Exit codes: 0 drained, 1 failed, 2 the configuration is not usable.
 */
export const runMain = async (start: (fail: Fail) => Promise<Running>): Promise<void> => {
  let running: Running | undefined;
  let isStopping = false;
  const stop = async (exitCode: number) => {
    if (isStopping) return;
    isStopping = true;
    const timer = setTimeout(() => process.exit(exitCode || 1), DRAIN_MAX_MS);
    timer.unref();
    try {
      await running?.stop();
      process.exit(exitCode);
    } catch (error) {
      console.error(traced(error));
      process.exit(1);
    }
  };
  process.on('SIGTERM', () => void stop(0));
  process.on('SIGINT', () => void stop(0));
  // A supervisor that was killed leaves nobody to restart or stop this process.
  if (process.channel !== undefined) process.on('disconnect', () => void stop(0));
  const onUnhandled = (error: unknown) => {
    console.error(traced(error));
    // Others are being served: one connection's end is not theirs.
    if (isConnectionFault(error)) unhandledConnectionFaults.inc();
    else void stop(1);
  };
  process.on('uncaughtException', onUnhandled);
  process.on('unhandledRejection', onUnhandled);
  try {
    running = await start((reason) => {
      console.error(reason);
      void stop(1);
    });
    collectWhenIdle();
  } catch (error) {
    console.error(error instanceof ConfigError ? error.message : traced(error));
    process.exitCode = error instanceof ConfigError ? 2 : 1;
    process.exit();
  }
};
