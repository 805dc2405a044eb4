import { type Batch, clock, type Log, openSender, type Postal, type RedisClient } from '@aitbc/chassis';
import { messages, type Payload } from '@aitbc/contracts';

/** One queue entry carries so many at most; the dispatcher runs it as one script of about a millisecond. */
const BATCH_MAX = 100;
/**
 * Between two entries that are not full. Above 400 hints a second it grows up to the second: then most jobs wait for a
 * miner anyway, and an entry costs the three processes that it passes through a millisecond of CPU, however full.
 */
const GATHER_MS = 5;
const GATHER_MAX_MS = 20;
/**
 * Who is free matters to nobody while no job waits: that is told with the next job, in one entry, or after so long. A poll
 * without waiting stays open for four times as long.
 */
const HELD_MS = 250;
/** Beyond this they are dropped and the index is brought up to date from the file instead. */
const WAITING_MAX = 20_000;

type HintName = 'jobs.queued' | 'jobs.withdrawn' | 'jobs.capacity_opened' | 'jobs.capacity_closed';
const isOfCapacity = ({ name }: Batch['messages'][number]): boolean =>
  name === 'jobs.capacity_opened' || name === 'jobs.capacity_closed';

/**
 * Tells the dispatchers what waits and who is free. These are hints: the facts are rows of this service (a pending
 * job) and requests it holds (a poll), so nothing is written for them and nothing waits for a disk. What Redis does not take
 * is dropped, and `lost` makes schedule offer everything again.
 *
 * Alone while idle, up to a hundred in one entry while one is on its way: the busier, the cheaper.
 * @param options.stream names this sender.
 * @param options.hasWork whether any job waits; left out where other processes queue jobs too
 */
export const createHints = (options: {
  redis: RedisClient;
  postal: Postal;
  stream: string;
  log: Log;
  hasWork?: (() => Promise<boolean>) | undefined;
  heldMs?: number;
}) => {
  const sender = openSender({ from: 'jobs', to: 'dispatcher', ...options });
  let waiting: Batch['messages'] = [];
  let isSending = false;
  /** Until when what waits may be held; undefined when nothing is. */
  let heldUntil: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let isLost = false;
  let offer = 0;
  let aheadMs = 0;
  let drained: (() => void)[] = [];

  const mayHold = async (): Promise<boolean> => {
    const isFew = (): boolean => waiting.length < BATCH_MAX && waiting.every(isOfCapacity);
    if (options.hasWork === undefined || drained.length > 0 || !isFew()) return false;
    heldUntil ??= performance.now() + (options.heldMs ?? HELD_MS);
    if (performance.now() >= heldUntil) return false;
    // A job may have come while this was looked up.
    return !(await options.hasWork()) && isFew() && drained.length === 0;
  };

  const pump = async (): Promise<void> => {
    clearTimeout(timer);
    try {
      while (waiting.length > 0) {
        if (await mayHold()) {
          timer = setTimeout(start, Math.max(1, (heldUntil as number) - performance.now()));
          break;
        }
        heldUntil = undefined;
        const batch: Batch = { stream: options.stream, messages: waiting.slice(0, BATCH_MAX) };
        waiting = waiting.slice(BATCH_MAX);
        await sender.send(batch);
        // The first after a silence leaves at once; what comes right behind it travels together.
        const gatherMs = Math.min(Math.max(1, batch.messages.length / 2) * GATHER_MS, GATHER_MAX_MS);
        if (batch.messages.length < BATCH_MAX) await new Promise((resolve) => setTimeout(resolve, gatherMs));
      }
    } catch (error) {
      options.log.debug({ err: error }, 'hints were dropped; they will be made again');
      waiting = [];
      isLost = true;
    }
    isSending = false;
    for (const resolve of drained) resolve();
    drained = [];
  };

  const start = (): void => {
    if (isSending) return;
    isSending = true;
    // After the hooks of this commit: its other hints go in the same entry.
    queueMicrotask(() => void pump());
  };

  const push = <N extends HintName>(name: N, payload: Payload<N>): void => {
    waiting.push({ seq: null, name, version: messages[name].version, payload });
    if (waiting.length > WAITING_MAX) {
      waiting = [];
      isLost = true;
    }
    start();
  };

  /** Rises over restarts and processes too, as long as the clock does not jump back. */
  const nextOffer = (): number => {
    offer = Math.max(offer + 1, (clock.nowMs() + aheadMs) * 1_000);
    return offer;
  };

  return {
    queued: (job: Omit<Payload<'jobs.queued'>, 'offer'>): void =>
      push('jobs.queued', { offer: nextOffer(), ...job }),
    withdrawn: (job: Omit<Payload<'jobs.withdrawn'>, 'offer'>): void =>
      push('jobs.withdrawn', { offer: nextOffer(), ...job }),
    opened: (poll: Omit<Payload<'jobs.capacity_opened'>, 'offer'>): void =>
      push('jobs.capacity_opened', { offer: nextOffer(), ...poll }),
    closed: (poll: Payload<'jobs.capacity_closed'>): void => push('jobs.capacity_closed', poll),
    /**
     * Offers of processes on several machines are numbered by one clock, that of Redis: of two offers of a job, made one
     * after the other by two processes, the later must have the higher number.
     */
    followClock: (nowMs: number): void => {
      aheadMs = Math.round(nowMs - clock.nowMs());
    },
    /** One could not be made: what is lost is offered again from the store. */
    missed: (): void => {
      isLost = true;
    },
    /** Whether any was dropped since the last time this was asked. */
    takeLost: (): boolean => {
      const was = isLost;
      isLost = false;
      return was;
    },
    /** Resolves when all that waited is in Redis, or dropped. */
    drain: async (): Promise<void> => {
      if (waiting.length === 0 && !isSending) return;
      await new Promise<void>((resolve) => {
        drained.push(resolve);
        start();
      });
    },
    /** The dispatchers have not taken all of it yet. */
    isBehind: (): Promise<boolean> => sender.hasWaiting(),
    close: () => sender.close(),
  };
};
export type Hints = ReturnType<typeof createHints>;
