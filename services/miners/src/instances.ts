import { Problem } from '@aitbc/contracts';
import type { Present } from './roster.ts';

/** An agent that lives beats again within a second of an answer; the rest is for a slow line. */
const NEXT_BEAT_MS = 5_000;
/** It closed its beat, or its process ended and the system did: one that lives is back within a quarter of a second. */
const CLOSED_MS = 2_000;
/** From a registration to the first beat. */
export const FIRST_BEAT_MS = 10_000;

/** What is known of the process behind a miner, in memory. */
export interface Instance {
  readonly id: string;
  /** Beats of it that are held open: while there is one, it lives. */
  open: number;
  /** Until when it is taken for living without one. */
  livesUntilMs: number;
}

const isLiving = (instance: Instance, nowMs: number): boolean =>
  instance.open > 0 || nowMs < instance.livesUntilMs;

const inUse = (name: string): Problem =>
  new Problem(
    'MINER_NAME_IN_USE',
    `Another agent of this account is at work under the name "${name}": give each its own name (--name). After a crash the name is free within seconds.`,
  );

/**
 * Makes a process the one behind a miner, at its registration.
 * @throws Problem MINER_NAME_IN_USE while another one lives. Who names no instance is not looked at, as are all that
 *   were written before there were any.
 */
export const claim = (
  present: Present,
  name: string,
  instanceId: string | undefined,
  nowMs: number,
): void => {
  const { instance } = present;
  if (instanceId === undefined) return;
  if (instance !== null && instance.id !== instanceId && isLiving(instance, nowMs)) throw inUse(name);
  // At once: the other's registration may stand in the same group of transactions.
  if (instance?.id !== instanceId)
    present.instance = { id: instanceId, open: 0, livesUntilMs: nowMs + FIRST_BEAT_MS };
};

/** Its next beat is due after `nextMs`. @throws Problem MINER_NAME_IN_USE when another process took its place. */
export const beat = (
  present: Present,
  instanceId: string | undefined,
  nextMs: number,
  nowMs: number,
): void => {
  if (instanceId === undefined) return;
  present.instance ??= { id: instanceId, open: 0, livesUntilMs: 0 };
  if (present.instance.id !== instanceId) throw inUse(present.name);
  present.instance.livesUntilMs = nowMs + nextMs + NEXT_BEAT_MS;
};

/**
 * Holds a beat until there is something to tell, it is time, or the caller went away.
 * @param newsBefore of the miner, when what there is to tell was looked for
 */
export const hold = (
  present: Present,
  waitMs: number,
  newsBefore: number,
  signal: AbortSignal,
  now: () => number,
): Promise<void> =>
  new Promise((resolve) => {
    if (present.news !== newsBefore) return resolve();
    const { instance } = present;
    if (instance !== null) instance.open += 1;
    const end = (): void => {
      clearTimeout(timer);
      present.held.delete(end);
      signal.removeEventListener('abort', end);
      if (instance !== null) {
        instance.open -= 1;
        instance.livesUntilMs = now() + (signal.aborted ? CLOSED_MS : NEXT_BEAT_MS);
        present.isUnsaved = true;
      }
      resolve();
    };
    const timer = setTimeout(end, waitMs);
    present.held.add(end);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end);
  });
