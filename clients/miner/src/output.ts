/** Between two requests, unless so much waits: what an eye takes for steady, and twenty requests a second. */
const INTERVAL_MS = 50;
const FULL = 4 * 1024;
/** How often is asked whether anybody listens, and whether the job is still wanted, when nothing else is to be said. */
const ASK_MS = 1_000;
/** Kept to be sent again, or from the beginning when somebody comes late: as much as the coordinator keeps. */
const KEPT_MAX = 1024 * 1024;
/** The contract's bounds. */
const CHUNKS_MAX = 256;
const CHUNK_MAX = 64 * 1024;
/** Of one request, below the contract's 1 MB of bytes whatever the letters. */
const REQUEST_MAX = 256 * 1024;
/** The result waits so long at most for the last chunks: what they said stands in it. */
const FLUSH_MS = 1_000;

/** What the coordinator answered: whether anybody listens, and which chunk it wants next. `lost`: the job is no longer ours. */
export type OutputAnswer = { readonly listening: boolean; readonly seq: number } | 'lost' | 'again';

export interface OutputSender {
  readonly add: (chunk: object) => void;
  /** Sends what waits, if anybody listens. Resolves when that was taken, or after a second. */
  readonly flush: () => Promise<void>;
  readonly stop: () => void;
}

/**
 * Passes on what a job makes while it is made: the first chunk at once, then in batches, one request at a time. While
 * nobody listens it asks each second, and begins with what is kept when somebody does.
 * @param options.isAwaited somebody listened when the job was handed over
 * @param options.send one request; `chunks` are JSON texts, `seq` is the number of the first
 */
export const createOutputSender = (options: {
  isAwaited: boolean;
  send: (seq: number, chunks: readonly string[]) => Promise<OutputAnswer>;
  onLost: () => void;
}): OutputSender => {
  let isListened = options.isAwaited;
  let kept: string[] = [];
  let keptSize = 0;
  /** The number of the first that is kept. */
  let first = 0;
  /** The number of the next to be sent. */
  let next = 0;
  let unsentSize = 0;
  let hasAsked = false;
  let isBusy = false;
  let isStopped = false;
  let isFlushing = false;
  let sentAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let onIdle: (() => void) | undefined;

  const hasUnsent = (): boolean => next < first + kept.length;
  const dueInMs = (): number => {
    const silentFor = performance.now() - sentAt;
    const isDue = isListened && hasUnsent();
    if (!isDue) return ASK_MS - silentFor;
    return isFlushing || unsentSize >= FULL ? 0 : INTERVAL_MS - silentFor;
  };

  const batch = (): string[] => {
    const chunks: string[] = [];
    let size = 0;
    for (const chunk of kept.slice(next - first, next - first + CHUNKS_MAX)) {
      size += chunk.length;
      if (chunks.length > 0 && size > REQUEST_MAX) break;
      chunks.push(chunk);
    }
    return chunks;
  };

  const request = async (): Promise<void> => {
    isBusy = true;
    sentAt = performance.now();
    // With the first it asks: who submitted the job may have come right behind it.
    const chunks = isListened || !hasAsked ? batch() : [];
    hasAsked = true;
    const answer = await options.send(next, chunks);
    isBusy = false;
    if (isStopped) return;
    if (answer === 'lost') {
      stop();
      options.onLost();
      return;
    }
    if (answer === 'again') {
      // Not faster than it is asked anyway while the coordinator is away.
      isListened = false;
    } else {
      isListened = answer.listening;
      // From where it is wanted, as far as that is kept: after its restart the coordinator has nothing.
      next = Math.min(Math.max(answer.seq, first), first + kept.length);
      unsentSize = 0;
      for (let at = next - first; at < kept.length; at++) unsentSize += (kept[at] as string).length;
    }
    turn();
  };

  const turn = (): void => {
    if (isStopped || isBusy) return;
    if (isFlushing && !(isListened && hasUnsent())) {
      onIdle?.();
      return;
    }
    clearTimeout(timer);
    const waitMs = dueInMs();
    if (waitMs <= 0) void request();
    else timer = setTimeout(turn, waitMs);
  };

  const stop = (): void => {
    isStopped = true;
    clearTimeout(timer);
    onIdle?.();
  };

  return {
    add: (chunk) => {
      if (isStopped) return;
      const text = JSON.stringify(chunk);
      if (text.length > CHUNK_MAX) {
        // A hole: what it said comes with the result, and so does all that was not sent before it.
        first += kept.length + 1;
        next = first;
        kept = [];
        keptSize = 0;
        unsentSize = 0;
        return;
      }
      kept.push(text);
      keptSize += text.length;
      unsentSize += text.length;
      if (keptSize > KEPT_MAX) {
        let count = 0;
        // An eighth more than it must, so that the list is not moved each time.
        for (; keptSize > KEPT_MAX - KEPT_MAX / 8; count++) keptSize -= (kept[count] as string).length;
        kept.splice(0, count);
        first += count;
        next = Math.max(next, first);
      }
      turn();
    },
    flush: () =>
      new Promise((resolve) => {
        const late = setTimeout(stop, FLUSH_MS);
        onIdle = () => {
          clearTimeout(late);
          resolve();
        };
        isFlushing = true;
        if (isStopped) onIdle();
        else turn();
      }),
    stop,
  };
};
