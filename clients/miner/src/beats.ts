import type { Answer, Coordinator } from './coordinator.ts';
import type { Jobs } from './jobs.ts';
import { type Backoff, pause } from './pacing.ts';
import type { MinerRegistry } from './registration.ts';

/** Liveness ends after 30 s of silence, so a longer interval is not believed; nor is a busy loop. */
const intervalMs = (seconds: number): number => Math.min(20, Math.max(1, seconds)) * 1000;

/** Before the coordinator has said how often it wants to hear of us. */
const FIRST_WAIT_SECONDS = 5;
/** The contract's bound. */
const WAIT_SECONDS_MAX = 25;
/** Between two beats at least, when the coordinator answers early because it has something to tell. */
const EARLY_MS = 1_000;

export interface BeatsDeps {
  readonly coordinator: Pick<Coordinator, 'heartbeat'>;
  readonly registry: Pick<MinerRegistry, 'id' | 'registered'>;
  readonly jobs: Jobs;
  readonly instanceId: string;
  readonly concurrency: number;
  readonly backoff: Backoff;
  readonly signal: AbortSignal;
  /** Waits, or registers again, after an answer that is not the one asked for. */
  readonly recover: (
    answer: Exclude<Answer<unknown>, { kind: 'ok' }>,
    failures: number,
    backoff: Backoff,
    signal: AbortSignal,
  ) => Promise<void>;
}

/**
 * Says that this machine lives and what it holds, until the signal fires. One beat is held open at a time: it is
 * answered the moment that a job is cancelled, it costs no more requests than one that is answered at once, and its
 * end tells the coordinator at once that this process is gone.
 */
export const runBeats = async (deps: BeatsDeps): Promise<void> => {
  const { coordinator, registry, jobs, instanceId, concurrency, backoff, signal, recover } = deps;
  let failures = 0;
  let waitSeconds = FIRST_WAIT_SECONDS;
  while (!signal.aborted) {
    const minerId = registry.id();
    if (minerId === undefined) {
      await registry.registered(signal);
      continue;
    }
    const told = jobs.held();
    const inflight = [...told.keys()];
    const beat = {
      miner_id: minerId,
      instance_id: instanceId,
      inflight,
      attempts: [...told.values()],
      utilization: Math.min(1, inflight.length / concurrency),
      wait_seconds: waitSeconds,
    };
    const sentAt = performance.now();
    const answer = await coordinator.heartbeat(beat, signal);
    if (answer.kind !== 'ok') {
      await recover(answer, failures, backoff, signal);
      failures += 1;
      continue;
    }
    failures = 0;
    const { cancel, drop, next_heartbeat_seconds: seconds } = answer.body;
    for (const id of cancel) jobs.stop(id, 'cancelled');
    // Not what came meanwhile: the answer is about what was told.
    for (const id of drop) if (jobs.held().get(id) === told.get(id)) jobs.stop(id, 'dropped');
    waitSeconds = Math.min(WAIT_SECONDS_MAX, Math.max(1, Math.floor(intervalMs(seconds) / 1000)));
    const everyMs = cancel.length + drop.length > 0 ? EARLY_MS : intervalMs(seconds);
    await pause(Math.max(0, everyMs - (performance.now() - sentAt)), signal);
  }
};
