/** Asked again so often whether anybody listens, and whether the job is still wanted, when nothing else is to be said. */
const ASK_MS = 1_000;
/** So much waits for nothing. */
const FULL = 4 * 1024;
/** Kept to be sent again, or from the beginning when somebody comes late: as much as the coordinator keeps. */
const KEPT_MAX = 1024 * 1024;
/** The first two wait for nothing either: most servers say who speaks before they say the first word. */
const FIRST = 2;
/** The contract's bounds. */
const CHUNKS_MAX = 256;
const CHUNK_MAX = 64 * 1024;
/** Of one job in one request. */
const TAKEN_MAX = 256 * 1024;
/** The result waits so long at most for the last chunks: what they said stands in it. */
const FLUSH_MS = 1_000;

/** What the coordinator answered: whether anybody listens, and which chunk it wants next. `lost`: the job is no longer ours. */
export type OutputAnswer = { readonly listening: boolean; readonly seq: number } | 'lost' | 'again';

/** Chunks as JSON texts; `seq` is the number of the first. */
export interface OutputPart {
  readonly seq: number;
  readonly chunks: readonly string[];
}

/** The way of what one job makes, among those of others. */
export interface OutputLine {
  /** @param take called when the request leaves, so that it holds what came meanwhile */
  readonly send: (take: () => OutputPart) => Promise<OutputAnswer>;
  /** What waits is not to wait any longer. */
  readonly hurry: () => void;
}

export interface OutputSender {
  readonly add: (chunk: object) => void;
  /** Sends what waits, if anybody listens. Resolves when that was taken, or after a second. */
  readonly flush: () => Promise<void>;
  readonly stop: () => void;
}

/**
 * Passes on what a job makes while it is made. While nobody listens it asks each second, and begins with what is kept when
 * somebody does.
 * @param options.isAwaited somebody listened when the job was handed over
 */
export const createOutputSender = (options: {
  isAwaited: boolean;
  line: OutputLine;
  onLost: () => void;
}): OutputSender => {
  const { line } = options;
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
  let timer: NodeJS.Timeout | undefined;
  let onIdle: (() => void) | undefined;

  const hasUnsent = (): boolean => next < first + kept.length;
  const isUrgent = (): boolean =>
    !hasAsked || (isListened && next < FIRST) || isFlushing || unsentSize >= FULL;

  const take = (): OutputPart => {
    const chunks: string[] = [];
    // With the first it asks: who submitted the job may have come right behind it.
    if (isListened || !hasAsked) {
      let size = 0;
      for (const chunk of kept.slice(next - first, next - first + CHUNKS_MAX)) {
        size += chunk.length;
        if (chunks.length > 0 && size > TAKEN_MAX) break;
        chunks.push(chunk);
      }
    }
    hasAsked = true;
    return { seq: next, chunks };
  };

  const request = async (): Promise<void> => {
    isBusy = true;
    clearTimeout(timer);
    const sent = line.send(take);
    if (isUrgent()) line.hurry();
    const answer = await sent;
    isBusy = false;
    if (isStopped) return;
    if (answer === 'lost') {
      stop();
      options.onLost();
      return;
    }
    // Not more often than it is asked anyway, while the coordinator is away.
    isListened = answer !== 'again' && answer.listening;
    if (answer !== 'again') {
      // From where it is wanted, as far as that is kept: after its restart the coordinator has nothing.
      next = Math.min(Math.max(answer.seq, first), first + kept.length);
      unsentSize = 0;
      for (let at = next - first; at < kept.length; at++) unsentSize += (kept[at] as string).length;
    }
    if (!(isListened && hasUnsent())) timer = setTimeout(() => void request(), ASK_MS);
    turn();
  };

  const turn = (): void => {
    if (isStopped) return;
    const isWanted = hasUnsent() && (isListened || !hasAsked);
    if (isBusy) {
      if (isWanted && isUrgent()) line.hurry();
    } else if (isWanted) void request();
    else if (isFlushing) onIdle?.();
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
