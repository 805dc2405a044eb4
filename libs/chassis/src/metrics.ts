import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { unhandledConnectionFaults } from './connections.ts';

/**
 * The library looks at the delay of the event loop by a timer, every 10 ms by itself. That woke a process a hundred times a second, half of
 * all that an idle one did. So it looks once a second, which says nothing any more; how busy the loop is comes without a timer.
 */
const LOOP_LOOK_MS = 1_000;
const OF_LOOP_LOOKS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'];

/** One registry a process; every metric carries `service`. */
export const createMetrics = (service: string) => {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LOOP_LOOK_MS });
  for (const look of OF_LOOP_LOOKS) registry.removeSingleMetric(`nodejs_eventloop_lag_${look}_seconds`);
  registry.registerMetric(unhandledConnectionFaults);
  const registers = [registry];
  let before = performance.eventLoopUtilization();
  new Gauge({
    name: 'event_loop_busy_ratio',
    help: 'Share of the time since it was last asked in which the event loop did something; at 1 the process is full',
    registers,
    collect() {
      const now = performance.eventLoopUtilization();
      this.set(performance.eventLoopUtilization(now, before).utilization);
      before = now;
    },
  });
  return {
    registry,
    requests: new Counter({
      name: 'api_requests_total',
      help: 'Requests answered, by route template',
      labelNames: ['method', 'route', 'status'] as const,
      registers,
    }),
    requestDuration: new Histogram({
      name: 'api_request_duration_seconds',
      help: 'From request to answer, by route template',
      labelNames: ['method', 'route', 'status'] as const,
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30],
      registers,
    }),
    messages: new Counter({
      name: 'inbox_messages_total',
      help: 'Messages received, by name and outcome (handled, duplicate, failed, dead)',
      labelNames: ['name', 'outcome'] as const,
      registers,
    }),
    missedMessages: new Counter({
      name: 'inbox_missed_messages_total',
      help: 'Messages that a restored, older file can never receive',
      registers,
    }),
    forgeries: new Counter({
      name: 'redis_forgeries_total',
      help: 'Batches and watermarks found in Redis that no process of this deployment sealed',
      labelNames: ['what'] as const,
      registers,
    }),
    scheduleRuns: new Counter({
      name: 'schedule_runs_total',
      help: 'Scheduled work, by name and outcome',
      labelNames: ['name', 'outcome'] as const,
      registers,
    }),
    /** A count that is kept elsewhere, by one label. */
    countOf: (name: string, help: string, label: string, read: () => ReadonlyMap<string, number>) =>
      new Counter({
        name,
        help,
        labelNames: [label],
        registers,
        collect() {
          this.reset();
          for (const [value, n] of read()) this.inc({ [label]: value }, n);
        },
      }),
    gauge: (name: string, help: string, read: () => number | Promise<number>) =>
      new Gauge({
        name,
        help,
        registers,
        async collect() {
          this.set(await read());
        },
      }),
  };
};
export type Metrics = ReturnType<typeof createMetrics>;
