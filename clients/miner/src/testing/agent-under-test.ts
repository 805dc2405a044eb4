import { createAgent } from '../agent.ts';
import { createCoordinator } from '../coordinator.ts';
import type { Executor, RunContext } from '../executors/executor.ts';
import { createLog } from '../log.ts';
import type { Timing } from '../pacing.ts';
import { type CoordinatorServer, KEY } from './coordinator-server.ts';

/** Retries within milliseconds and no patience in drains: tests wait for conditions, not for the real pauses. */
const QUICK: Timing = {
  requestBackoff: { baseMs: 5, capMs: 40 },
  heartbeatBackoff: { baseMs: 5, capMs: 40 },
  troubleBackoff: { baseMs: 5, capMs: 40 },
  probeMs: 50,
  drainMs: 10_000,
  reportMs: 5_000,
};

export interface Gate {
  readonly executor: Executor;
  /** The jobs inside `run` now, oldest first. */
  readonly inside: {
    text: string;
    context: RunContext;
    finish: (result: unknown) => void;
    fail: (error: Error) => void;
  }[];
  isOffered: boolean;
}

/** An executor that ends when the test says so. */
export const createGate = (type = 'language_detection'): Gate => {
  const gate: Gate = {
    inside: [],
    isOffered: true,
    executor: {
      type,
      async probe() {
        return gate.isOffered
          ? { offered: true, detail: 'for a test', models: [] }
          : { offered: false, reason: 'closed by the test' };
      },
      run(parameters, context) {
        const { promise, resolve, reject } = Promise.withResolvers<unknown>();
        const entry = { text: String(parameters.text), context, finish: resolve, fail: reject };
        gate.inside.push(entry);
        return promise.finally(() => gate.inside.splice(gate.inside.indexOf(entry), 1));
      },
    },
  };
  return gate;
};

export const startAgent = (
  server: Pick<CoordinatorServer, 'url'>,
  executors: readonly Executor[],
  { concurrency = 2, key = KEY, timing = {} as Partial<Timing> } = {},
) => {
  const lines: string[] = [];
  const log = createLog({ level: 'debug', json: true, write: (line) => void lines.push(line) });
  const coordinator = createCoordinator({
    baseUrl: server.url,
    key,
    agent: 'aitbc-miner/test',
    onReachable: (isReachable, reason) => log.warn(isReachable ? 'reachable' : 'unreachable', reason),
  });
  const agent = createAgent({
    machine: { name: 'box', address: 'miner-test', gpus: [{ model: 'RTX 4090', vram_gb: 24, count: 1 }] },
    concurrency,
    executors,
    coordinator,
    log,
    timing: { ...QUICK, ...timing },
  });
  const ended = agent.run();
  return {
    agent,
    ended,
    log: () => lines.join('\n'),
    events: () => lines.map((line) => String((JSON.parse(line) as { event: unknown }).event)),
    /** Ends it whatever it is doing; for `afterEach`. */
    async end(): Promise<number> {
      agent.drain('end of test');
      agent.hurry('end of test');
      return ended;
    },
  };
};
export type AgentUnderTest = ReturnType<typeof startAgent>;
