import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Scheduled } from './ticker.ts';

/** Nearer than this the wall clock is followed as it is: what time servers correct in daily life is less. */
const FOLLOWED_MS = 1_000;
/** Farther, this clock runs so much faster or slower until it is there: as chrony does; an hour takes ten. */
const SLEW = 0.1;
/** Counted for one correction at most: after a long silence a jump that just happened is not made good at once. */
const CORRECTED_SPAN_MS = 5_000;
const CHECK_EVERY_MS = 1_000;

export interface Clock {
  /** Milliseconds since 1970, never less than the last answer. */
  readonly nowMs: () => number;
  /** How far the wall clock is ahead (or, negative, behind). */
  readonly gapMs: () => number;
  /** Takes the wall clock as it is: a service does so when it starts. */
  readonly anchor: () => void;
}

/**
 * The time that deadlines go by. It starts as wall time and moves with the monotonic clock, so a wall clock that jumps
 * moves no deadline: nothing expires at once, nothing is held an hour longer. While both agree within a second the
 * answer is the wall clock's. After a jump this clock runs a tenth faster or slower until it is there again: a duration
 * is at most a tenth wrong meanwhile, and a wrong clock at the start does not last for ever. It never goes back.
 *
 * Not for what is compared with another machine's clock: the caller header, sign-in nonces.
 */
export const createClock = (
  wall: () => number = () => Date.now(),
  monotonic: () => number = () => performance.now(),
): Clock => {
  let value = wall();
  let readAt = monotonic();
  const read = (): number => {
    const at = monotonic();
    const elapsed = at - readAt;
    readAt = at;
    const wallMs = wall();
    const gap = wallMs - (value + elapsed);
    if (Math.abs(gap) <= FOLLOWED_MS) value = Math.max(value, wallMs);
    else value += elapsed + Math.sign(gap) * SLEW * Math.min(elapsed, CORRECTED_SPAN_MS);
    return value;
  };
  return {
    nowMs: () => Math.floor(read()),
    gapMs: () => wall() - read(),
    anchor: () => {
      value = wall();
      readAt = monotonic();
    },
  };
};

/** The one clock of this process. */
export const clock = createClock();

/** Keeps the clock moving while nobody asks, and says when it and the wall clock part and meet. */
export const watchClock = (watched: Clock, log: Log, metrics: Metrics): Scheduled => {
  metrics.gauge(
    'clock_gap_seconds',
    'How far the wall clock is ahead of the clock that deadlines go by; more than 1 after a jump',
    () => watched.gapMs() / 1_000,
  );
  let isApart = false;
  return {
    name: 'clock.watch',
    everyMs: CHECK_EVERY_MS,
    where: 'everywhere',
    run: () => {
      const gap = watched.gapMs();
      const wasApart = isApart;
      isApart = Math.abs(gap) > FOLLOWED_MS;
      if (isApart && !wasApart)
        log.warn({ gap_ms: Math.round(gap) }, 'the wall clock jumped: deadlines go on without it');
      if (!isApart && wasApart) log.info('deadlines go by the wall clock again');
    },
  };
};
