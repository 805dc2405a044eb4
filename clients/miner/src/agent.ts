import {
  type Answer,
  type Assignment,
  type Coordinator,
  isKeyRefused,
  isNotRegistered,
  POLL_JOBS_MAX,
  POLL_WAIT_SECONDS,
  type Refusal,
  type Registration,
} from './coordinator.ts';
import type { Executor } from './executors/executor.ts';
import { createJobs } from './jobs.ts';
import type { Log } from './log.ts';
import { isSameOffer, logOffer, type Offer, probeAll } from './offer.ts';
import { type Backoff, createNotice, pause, retryDelayMs, type Timing } from './pacing.ts';
import { createRegistry } from './registration.ts';
import { createReports } from './reports.ts';

/** Everything of a registration that does not change while the agent runs. */
type Machine = Omit<Registration, 'capabilities' | 'models' | 'concurrency'>;

/** An empty poll that comes back sooner than this was not held: without a pause the next would make a busy loop. */
const POLL_HELD_MS = 500;

/** Liveness ends after 30 s of silence, so a longer interval is not believed; nor is a busy loop. */
const heartbeatPauseMs = (seconds: number): number => Math.min(20, Math.max(1, seconds)) * 1000;

export interface AgentDeps {
  readonly machine: Machine;
  readonly concurrency: number;
  readonly executors: readonly Executor[];
  readonly coordinator: Coordinator;
  readonly log: Log;
  readonly timing: Timing;
}

export interface Agent {
  /** Works until it is drained or the coordinator refuses the key. @returns the process's exit code. */
  run(): Promise<number>;
  /** Takes no more work, ends what runs, then `run` returns. */
  drain(why: string): void;
  /** Ends a drain early: jobs that still run are given back at once. */
  hurry(why: string): void;
}

export const createAgent = (deps: AgentDeps): Agent => {
  const { machine, concurrency, executors, coordinator, log, timing } = deps;
  /** Until the drain begins: polling and probing. */
  const accepting = new AbortController();
  /** Until the drain's patience ends: running jobs. */
  const working = new AbortController();
  /** Until the very end: heartbeats and reports. */
  const living = new AbortController();
  const slotFreed = createNotice();
  const offerChanged = createNotice();
  const probeWanted = createNotice();
  let exitCode = 0;
  let troubles = 0;
  let offer: Offer = { capabilities: [], models: [], reasons: new Map() };

  const stopForGood = (why: string): void => {
    if (living.signal.aborted) return;
    exitCode = 1;
    log.error('stopped', why);
    for (const controller of [living, working, accepting]) controller.abort();
  };

  const onKeyRefused = ({ status, code, message }: Refusal): void => {
    const advice =
      status === 401
        ? 'check --key or AITBC_MINER_KEY: it may be mistyped, revoked or expired'
        : 'the key must have the miner scope; ask the operator for one, or make one in your account';
    stopForGood(`the coordinator refused the key (${status} ${code}: ${message}). Stopping: ${advice}.`);
  };

  const registry = createRegistry({
    coordinator,
    describe: () => {
      const { capabilities, models } = offer;
      if (capabilities.length === 0) return undefined;
      return { ...machine, concurrency, capabilities: [...capabilities], models: [...models] };
    },
    backoff: timing.requestBackoff,
    signal: living.signal,
    log,
    onKeyRefused,
    onRefused: ({ status, code, message }) =>
      stopForGood(`the coordinator refused the registration (${status} ${code}): ${message}`),
  });

  const sendProgress = async (job: Assignment, fraction: number): Promise<'ok' | 'lost'> => {
    const report = { job_id: job.id, lease: job.lease, progress: fraction };
    const answer = await coordinator.progress(report, working.signal);
    return answer.kind === 'refused' && (answer.status === 409 || answer.code === 'NOT_FOUND')
      ? 'lost'
      : 'ok';
  };

  const jobs = createJobs({
    executors: new Map(executors.map((executor) => [executor.type, executor])),
    concurrency,
    reports: createReports({
      coordinator,
      backoff: timing.requestBackoff,
      signal: living.signal,
      onKeyRefused,
      onNotRegistered: registry.registerAgain,
    }),
    sendProgress,
    now: coordinator.now,
    log,
    onSlotFreed: slotFreed.raise,
    onOutcome: (outcome) => {
      troubles = outcome === 'done' ? 0 : troubles + 1;
      if (troubles > 0) probeWanted.raise();
    },
  });

  const probe = async (): Promise<void> => {
    const found = await probeAll(executors, accepting.signal);
    if (accepting.signal.aborted) return;
    const before = offer;
    offer = found;
    logOffer(log, found, before);
    if (isSameOffer(before, found)) return;
    if (found.capabilities.length === 0) {
      log.warn('nothing', 'nothing to offer now: no work is taken until that changes');
    } else if (registry.id() !== undefined) {
      // The first registration is the polling loop's.
      await registry.register();
    }
    offerChanged.raise();
  };

  const probeLoop = async (): Promise<void> => {
    while (!accepting.signal.aborted) {
      await probeWanted.wait(accepting.signal, timing.probeMs);
      if (!accepting.signal.aborted) await probe();
    }
  };

  /** What a loop does with an answer that is not the one it asked for. */
  const recover = async (
    answer: Exclude<Answer<unknown>, { kind: 'ok' }>,
    failures: number,
    backoff: Backoff,
    signal: AbortSignal,
  ): Promise<void> => {
    if (answer.kind === 'aborted') return;
    if (answer.kind === 'again') {
      const delay = retryDelayMs(failures, answer.retryAfterMs, backoff);
      if (answer.retryAfterMs !== null) {
        log.info(
          'waiting',
          `${answer.reason}: asking again in ${Math.ceil(delay / 1000)} s, as the coordinator asks`,
        );
      }
      return pause(delay, signal);
    }
    if (isKeyRefused(answer)) return onKeyRefused(answer);
    if (isNotRegistered(answer)) await registry.registerAgain();
    else
      log.warn(
        'refused',
        `the coordinator refused a request (${answer.status} ${answer.code}): ${answer.message}`,
      );
    // A registration usually helps at once; when it does not, this must not become a busy loop.
    if (failures > 0) await pause(retryDelayMs(failures, null, backoff), signal);
  };

  const heartbeatLoop = async (): Promise<void> => {
    let failures = 0;
    while (!living.signal.aborted) {
      const minerId = registry.id();
      if (minerId === undefined) {
        await registry.registered(living.signal);
        continue;
      }
      const told = jobs.held();
      const inflight = [...told.keys()];
      if (offer.capabilities.length === 0 && inflight.length === 0) {
        // With nothing to offer and nothing in hand, silence tells the coordinator the truth.
        await offerChanged.wait(living.signal);
        continue;
      }
      const utilization = Math.min(1, inflight.length / concurrency);
      const attempts = [...told.values()];
      const beat = { miner_id: minerId, inflight, attempts, utilization };
      const answer = await coordinator.heartbeat(beat, living.signal);
      if (answer.kind === 'ok') {
        failures = 0;
        for (const id of answer.body.cancel) jobs.stop(id, 'cancelled');
        // Not what came meanwhile: the answer is about what was told.
        for (const id of answer.body.drop) if (jobs.held().get(id) === told.get(id)) jobs.stop(id, 'dropped');
        await pause(heartbeatPauseMs(answer.body.next_heartbeat_seconds), living.signal);
      } else {
        await recover(answer, failures, timing.heartbeatBackoff, living.signal);
        failures += 1;
      }
    }
  };

  /** Waits before the next job when the last one failed by this machine's fault. */
  const coolDown = async (): Promise<void> => {
    const delay = retryDelayMs(troubles - 1, null, timing.troubleBackoff);
    log.warn('trouble', `${troubles} in a row failed here: no new job for ${Math.ceil(delay / 1000)} s`, {
      troubles,
    });
    await pause(delay, accepting.signal);
  };

  const pollLoop = async (): Promise<void> => {
    let failures = 0;
    let troublesSeen = 0;
    while (!accepting.signal.aborted) {
      if (troubles > troublesSeen) await coolDown();
      troublesSeen = troubles;
      const minerId = registry.id();
      const free = jobs.free();
      if (offer.capabilities.length === 0) await offerChanged.wait(accepting.signal);
      else if (minerId === undefined) await registry.register();
      else if (free === 0) await slotFreed.wait(accepting.signal);
      else {
        const askedAt = performance.now();
        const ask = { minerId, maxJobs: Math.min(free, POLL_JOBS_MAX), waitSeconds: POLL_WAIT_SECONDS };
        const answer = await coordinator.poll(ask, accepting.signal);
        if (answer.kind !== 'ok') {
          await recover(answer, failures, timing.requestBackoff, accepting.signal);
          failures += 1;
          continue;
        }
        failures = 0;
        for (const job of answer.body.items) jobs.start(job);
        const heldMs = performance.now() - askedAt;
        if (answer.body.items.length === 0 && heldMs < POLL_HELD_MS) {
          await pause(POLL_HELD_MS - heldMs, accepting.signal);
        }
      }
    }
  };

  const jobsEnded = async (signal: AbortSignal): Promise<void> => {
    while (jobs.held().size > 0 && !signal.aborted) await slotFreed.wait(signal);
  };

  /** After the last poll: waits for the jobs in hand, then for the reports of those given back, each within its bound. */
  const finish = async (): Promise<void> => {
    const patience = setTimeout(() => working.abort(), timing.drainMs);
    await jobsEnded(working.signal);
    clearTimeout(patience);
    const left = jobs.held().size;
    if (left > 0 && !living.signal.aborted) {
      log.warn('giving-back', `giving back ${left} unfinished job${left === 1 ? '' : 's'}`, {
        inflight: left,
      });
      jobs.stopAll('shutdown');
      const lastWord = setTimeout(() => living.abort(), timing.reportMs);
      await jobsEnded(living.signal);
      clearTimeout(lastWord);
    }
    living.abort();
    // What is left cannot be reported any more; each job ends in the turns after this.
    jobs.stopAll('dropped');
    await jobsEnded(new AbortController().signal);
  };

  return {
    async run() {
      await probe();
      const loops = [pollLoop(), probeLoop(), heartbeatLoop()];
      await new Promise<void>((resolve) => {
        if (accepting.signal.aborted) resolve();
        accepting.signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await finish();
      await Promise.all(loops);
      await Promise.all(executors.map((executor) => executor.close?.()));
      if (exitCode === 0) log.info('ended', 'ended: no job is left here');
      return exitCode;
    },
    drain(why) {
      if (accepting.signal.aborted) return;
      const count = jobs.held().size;
      const rest =
        count === 0 ? '' : `, finishing ${count} job${count === 1 ? '' : 's'} (again: give them back now)`;
      log.info('draining', `${why}: taking no more work${rest}`, { inflight: count });
      accepting.abort();
    },
    hurry(why) {
      if (!accepting.signal.aborted || working.signal.aborted) return;
      log.info('hurrying', `${why} again: not waiting for running jobs`);
      working.abort();
    },
  };
};
