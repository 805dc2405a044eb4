import type { Metrics } from '@aitbc/chassis';
import { Counter, Histogram } from 'prom-client';

/** Two gauges of one scrape are one look. */
const COUNTED_KEPT_MS = 1_000;

interface Active {
  pending: number;
  running: number;
}

/**
 * @param count counts jobs in the store, where several processes write: each shows what all of them hold. Undefined where
 * one does: then `active` is set at the start and kept up to date by the commands.
 */
export const createJobMetrics = (
  metrics: Metrics,
  openPolls: () => number,
  count?: () => Promise<Active>,
) => {
  const registers = [metrics.registry];
  const active: Active = { pending: 0, running: 0 };
  let counted: { atMs: number; value: Promise<Active> } | undefined;
  const now = (): Active | Promise<Active> => {
    if (count === undefined) return active;
    const atMs = performance.now();
    if (counted === undefined || atMs - counted.atMs > COUNTED_KEPT_MS) counted = { atMs, value: count() };
    return counted.value;
  };
  metrics.gauge('active_jobs', 'Jobs that wait or run', async () => {
    const { pending, running } = await now();
    return pending + running;
  });
  metrics.gauge('running_jobs', 'Jobs that a miner holds', async () => (await now()).running);
  metrics.gauge('open_polls', 'Long-polls that wait for work', openPolls);
  return {
    active,
    ended: new Counter({
      name: 'jobs_ended_total',
      help: 'Jobs that reached their end, by state',
      labelNames: ['status'] as const,
      registers,
    }),
    attemptsLost: new Counter({
      name: 'attempts_lost_total',
      help: 'Leases that ended without a result, by why',
      labelNames: ['outcome'] as const,
      registers,
    }),
    leaseExpiries: new Counter({
      name: 'lease_expiries_total',
      help: 'Leases whose deadline passed',
      registers,
    }),
    matchesRefused: new Counter({
      name: 'matches_refused_total',
      help: 'Matches that came to nothing, by why',
      labelNames: ['reason'] as const,
      registers,
    }),
    outputGaps: new Counter({
      name: 'output_gaps_total',
      help: 'Times that a watcher missed chunks of a job because it was slow or late',
      registers,
    }),
    readersDropped: new Counter({
      name: 'output_readers_dropped_total',
      help: 'Event streams ended because nobody took them, by why',
      labelNames: ['reason'] as const,
      registers,
    }),
    queueWait: new Histogram({
      name: 'job_queue_wait_seconds',
      help: 'From submit (or the loss of an attempt) to a lease',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900],
      registers,
    }),
    runTime: new Histogram({
      name: 'job_run_seconds',
      help: 'From lease to result',
      buckets: [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800],
      registers,
    }),
    dispatchLatency: new Histogram({
      name: 'dispatch_latency_seconds',
      help: 'From a poll or job, whichever came later, to the lease',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
      registers,
    }),
  };
};
export type JobMetrics = ReturnType<typeof createJobMetrics>;
