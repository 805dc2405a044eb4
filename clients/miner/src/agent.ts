import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { runBeats } from './beats.ts';
import {
  type Answer,
  type Assignment,
  type Coordinator,
  isKeyRefused,
  isNameInUse,
  isNotRegistered,
  POLL_JOBS_MAX,
  POLL_WAIT_SECONDS,
  type PollReply,
  type Refusal,
  type Registration,
} from './coordinator.ts';
import type { Executor, JobFailure } from './executors/executor.ts';
import { createJobs } from './jobs.ts';
import type { Log } from './log.ts';
import { createOffers, isSameOffer, logOffer, NOTHING, type Part } from './offer.ts';
import { createOutputRequests } from './output-requests.ts';
import { type Backoff, createNotice, pause, retryDelayMs, type Timing } from './pacing.ts';
import { createRegistry } from './registration.ts';
import { createReports } from './reports.ts';
import { createTroubles } from './troubles.ts';

/** Everything of a registration that does not change while the agent runs. */
type Machine = Omit<Registration, 'capabilities' | 'models' | 'concurrency' | 'instance_id' | 'status_note'>;

/** An empty poll that comes back sooner than this was not held: without a pause the next would make a busy loop. */
const POLL_HELD_MS = 500;

/** A list may go on naming a model that the server does not run; it is believed again after so long. */
const MODEL_GONE_MS = 600_000;

/** How long a failure's report waits for the registration that it calls for. */
const WITHDRAWAL_MAX_MS = 2_000;

/** Failures that tell of this machine rather than of the job. */
const TROUBLE = /^(BACKEND_(UNAVAILABLE|ERROR|BUSY)|EXECUTOR_ERROR)$/;

/** What a job asks of this machine. */
const partOf = ({ job_type: type, parameters }: Assignment): Part => {
  const asked = (parameters.request ?? parameters) as Record<string, unknown>;
  return { type, model: typeof asked.model === 'string' ? asked.model : undefined };
};
const nameOf = ({ type, model }: Part): string => (model === undefined ? type : `${type} with ${model}`);

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
  /** Tells this process from any other under the same name, so that two never share one miner unnoticed. */
  const instanceId = randomUUID();
  const offers = createOffers(executors);
  const troubles = createTroubles(timing.troubleBackoff);
  let offer = NOTHING;

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
      const { capabilities, models, note } = offer;
      return {
        ...machine,
        concurrency,
        capabilities: [...capabilities],
        models: [...models],
        instance_id: instanceId,
        ...(note === null ? {} : { status_note: note }),
      };
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

  /** Looks at what is offered by now, and tells the coordinator when it is not what it was. */
  const publish = async (): Promise<void> => {
    const before = offer;
    offer = offers.current();
    logOffer(log, offer, before);
    if (isSameOffer(before, offer)) return;
    if (offer.capabilities.length === 0)
      log.warn('nothing', 'nothing to offer now: no work is taken until that changes');
    offerChanged.raise();
    await registry.update();
  };

  /** A job failed: what it tells of this machine is out of the offer before the job is on its way elsewhere. */
  const onFailed = async (job: Assignment, { code, message, withdraws }: JobFailure): Promise<void> => {
    const part = partOf(job);
    if (withdraws === 'model') offers.withdraw(part, message, MODEL_GONE_MS);
    else if (withdraws === 'type') offers.withdraw({ type: part.type, model: undefined }, message);
    else if (TROUBLE.test(code)) {
      probeWanted.raise();
      const pauseMs = troubles.failed(nameOf(part), job.id);
      if (pauseMs === undefined) return;
      const what = `several jobs in a row failed here (${code})`;
      const seconds = Math.ceil(pauseMs / 1000);
      log.warn('trouble', `${nameOf(part)}: ${what}: no more of them for ${seconds} s`, { code });
      offers.withdraw(part, what, pauseMs);
    } else return;
    probeWanted.raise();
    await Promise.race([publish(), pause(WITHDRAWAL_MAX_MS, living.signal)]);
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
      wantsNext: () => !accepting.signal.aborted && concurrency === 1 && offer.capabilities.length > 0,
      onWork: (work) => startAll(work),
    }),
    sendProgress,
    outputLine: createOutputRequests(coordinator, working.signal),
    log,
    onSlotFreed: slotFreed.raise,
    onDone: (job) => troubles.done(nameOf(partOf(job))),
    onFailed,
  });

  const startAll = ({ server_time, items }: PollReply): void => {
    const servedAt = Date.parse(server_time);
    for (const job of items) jobs.start(job, Date.parse(job.deadline_at) - servedAt);
  };

  const probe = async (): Promise<void> => {
    await offers.probe(accepting.signal);
    if (!accepting.signal.aborted) await publish();
  };

  const probeLoop = async (): Promise<void> => {
    while (!accepting.signal.aborted) {
      await probeWanted.wait(accepting.signal, Math.min(timing.probeMs, offers.nextChangeMs()));
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
    if (isNotRegistered(answer) || isNameInUse(answer)) await registry.registerAgain(answer);
    else
      log.warn(
        'refused',
        `the coordinator refused a request (${answer.status} ${answer.code}): ${answer.message}`,
      );
    // A registration usually helps at once; when it does not, this must not become a busy loop.
    if (failures > 0) await pause(retryDelayMs(failures, null, backoff), signal);
  };

  const pollLoop = async (): Promise<void> => {
    let failures = 0;
    while (!accepting.signal.aborted) {
      const minerId = registry.id();
      const free = jobs.free();
      if (minerId === undefined) await registry.register();
      else if (offer.capabilities.length === 0) await offerChanged.wait(accepting.signal);
      else if (free === 0) {
        await slotFreed.wait(accepting.signal);
        // What came with the answer of the report takes the slot first.
        await turn();
      } else {
        const askedAt = performance.now();
        const ask = { minerId, maxJobs: Math.min(free, POLL_JOBS_MAX), waitSeconds: POLL_WAIT_SECONDS };
        const answer = await coordinator.poll(ask, accepting.signal);
        if (answer.kind !== 'ok') {
          await recover(answer, failures, timing.requestBackoff, accepting.signal);
          failures += 1;
          continue;
        }
        failures = 0;
        startAll(answer.body);
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
      const { signal } = living;
      const beats = { coordinator, registry, jobs, instanceId, concurrency, signal, recover };
      const loops = [pollLoop(), probeLoop(), runBeats({ ...beats, backoff: timing.heartbeatBackoff })];
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
