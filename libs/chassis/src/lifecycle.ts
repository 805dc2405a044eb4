import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ConfigError } from './config.ts';
import { isConnectionFault, unhandledConnectionFaults } from './connections.ts';
import { traced } from './traces.ts';

/** In-flight requests and batches get so long to finish; a supervisor's own limit is longer. */
const DRAIN_MAX_MS = 10_000;

export interface Running {
  readonly url: string;
  stop(): Promise<void>;
}

/** Lets a service end itself: a fresh process is the cure for a stuck one. */
export type Fail = (reason: string) => void;

/** What loading, or a busy time, leaves behind: V8 keeps it, because an idle service never fills its young generation again. */
const createCollector = () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: object) => void;
  return (flavor: 'regular' | 'last-resort'): void => gc({ type: 'major', execution: 'sync', flavor });
};

/** A busy time is over within a minute: two looks and a rest. */
const LOOKED_EVERY_MS = 20_000;
/** Of the time between two looks: a pause for a collection then meets next to nobody. */
const IDLE_SHARE_MAX = 0.03;
/** Less is what a young generation fills and empties by itself. */
const GROWN_BYTES = 16 * 1_048_576;

/** Within a minute after a busy time its garbage is given back to the machine. */
const collectWhenIdle = (): void => {
  const collectGarbage = createCollector();
  collectGarbage('last-resort');
  let keptBytes = process.memoryUsage.rss();
  let before = performance.eventLoopUtilization();
  setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const heldBytes = process.memoryUsage.rss();
    keptBytes = Math.min(keptBytes, heldBytes);
    if (utilization > IDLE_SHARE_MAX || heldBytes < keptBytes + GROWN_BYTES) return;
    collectGarbage('regular');
    keptBytes = process.memoryUsage.rss();
  }, LOOKED_EVERY_MS).unref();
};

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
