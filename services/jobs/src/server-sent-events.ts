import type { Context } from '@aitbc/chassis';
import type { AnyRoute } from '@aitbc/contracts';
import type { Work } from './work.ts';

type Response = Context<AnyRoute>['response'];

/** Not yet taken by a reader's socket: more is written when that has left. */
const UNSENT_MAX = 64 * 1024;
/** A reader that takes nothing for so long holds memory for nobody. */
const STUCK_MS = 30_000;

/** Begins an answer of server-sent events. */
export const beginEvents = (response: Response): void => {
  response.status(200).set({
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    // Proxies that buffer would hold events back.
    'x-accel-buffering': 'no',
  });
  response.flushHeaders();
};

/**
 * What was written leaves now. Node joins the writes of a turn and sends them at its end, behind the answer to the miner
 * whose request brought them.
 */
export const sendNow = (response: Response): void => response.socket?.uncork();

/**
 * Backpressure of one reader: what it has not taken yet is bounded, and one that takes nothing is cut off, which aborts its
 * request.
 * @param onRoom called when there is room again
 */
export const createBackpressure = (work: Pick<Work, 'metrics'>, response: Response, onRoom: () => void) => {
  let stuck: NodeJS.Timeout | undefined;
  const onDrain = (): void => {
    clearTimeout(stuck);
    stuck = undefined;
    onRoom();
  };
  response.on('drain', onDrain);
  return {
    /** Asked before each write. */
    hasRoom: (): boolean => {
      if (response.writableLength <= UNSENT_MAX) return true;
      stuck ??= setTimeout(() => {
        work.metrics.readersDropped.inc({ reason: 'stuck' });
        response.destroy();
      }, STUCK_MS);
      return false;
    },
    /** Nothing more is written. What was written last leaves in its own time, or not at all. */
    end: (): void => {
      response.off('drain', onDrain);
      if (response.writableFinished || response.destroyed) {
        clearTimeout(stuck);
        return;
      }
      stuck ??= setTimeout(() => response.destroy(), STUCK_MS);
      response.once('close', () => clearTimeout(stuck));
    },
  };
};
