import type { Assignment, Report } from './coordinator.ts';
import { type Executor, JobFailure } from './executors/executor.ts';
import type { Log } from './log.ts';
import { createOutputSender, type OutputLine } from './output.ts';
import { createProgressSender } from './progress.ts';
import { REPORT_MAX_BYTES, type Reports } from './reports.ts';

/**
 * Why a job ends before its executor does. The first three need no report: the coordinator said so itself, and only
 * the current lease may report anyway.
 */
type StopReason = 'cancelled' | 'dropped' | 'superseded' | 'deadline' | 'shutdown';

export interface JobsDeps {
  readonly executors: ReadonlyMap<string, Executor>;
  readonly concurrency: number;
  readonly reports: Reports;
  /** Resolves once the report was answered; `lost` when the lease is no longer ours. */
  readonly sendProgress: (job: Assignment, fraction: number) => Promise<'ok' | 'lost'>;
  /** The way of what a job makes while it runs. */
  readonly outputLine: (job: Assignment) => OutputLine;
  readonly log: Log;
  readonly onSlotFreed: () => void;
  readonly onDone: (job: Assignment) => void;
  /** Before the failure is reported, so that what it takes out of the offer is out when the job goes elsewhere. */
  readonly onFailed: (job: Assignment, failure: JobFailure) => Promise<void>;
}

export interface Jobs {
  /** @param remainingMs until its deadline: the clocks of two machines cannot be compared. */
  start(job: Assignment, remainingMs: number): void;
  stop(id: string, reason: StopReason): void;
  stopAll(reason: StopReason): void;
  /** Which attempt of which job is in hand. */
  held(): Map<string, number>;
  free(): number;
}

type Outcome =
  | { readonly kind: 'result'; readonly result: unknown; readonly metrics: Record<string, number> }
  | { readonly kind: 'failure'; readonly failure: JobFailure }
  | { readonly kind: 'stopped'; readonly reason: StopReason };

/** setTimeout's own bound: beyond it the timer fires at once. */
const TIMER_MAX_MS = 2 ** 31 - 1;
/** The report of a missed deadline should arrive before the coordinator's own timer: a twentieth, at most half a second. */
const deadlineMargin = (remainingMs: number): number => Math.min(500, remainingMs / 20);
/** The contract's bound on an error message. */
const MESSAGE_MAX = 2_000;

const STOPPED_FAILURES: Readonly<Partial<Record<StopReason, JobFailure>>> = {
  deadline: new JobFailure('DEADLINE_EXCEEDED', 'the job did not end before its deadline', {
    retryable: true,
  }),
  shutdown: new JobFailure('MINER_SHUTDOWN', 'the miner was stopped', { retryable: true }),
};

/** Anything an executor throws that is not a JobFailure is a mistake of ours: another miner may do better. */
const failureOf = (error: unknown): JobFailure =>
  error instanceof JobFailure
    ? error
    : new JobFailure('EXECUTOR_ERROR', 'the executor failed unexpectedly', { retryable: true });

export const createJobs = (deps: JobsDeps): Jobs => {
  const { executors, concurrency, reports, sendProgress, outputLine, log, onSlotFreed, onDone, onFailed } =
    deps;
  const running = new Map<string, { lease: string; attempt: number; stop: (reason: StopReason) => void }>();

  const execute = async (
    job: Assignment,
    executor: Executor,
    stopped: Promise<StopReason>,
    signal: AbortSignal,
  ) => {
    let quarters = 0;
    const progress = createProgressSender(async (fraction) => {
      const quarter = Math.floor(fraction * 4);
      const say = quarter > quarters ? log.info : log.debug;
      quarters = quarter;
      say('job.progress', `job ${job.id}: ${Math.round(fraction * 100)} %`, {
        job_id: job.id,
        progress: fraction,
      });
      if ((await sendProgress(job, fraction)) === 'lost') stop(job.id, 'superseded');
    });
    const output = createOutputSender({
      isAwaited: job.stream === true,
      line: outputLine(job),
      onLost: () => stop(job.id, 'superseded'),
    });
    const metrics: Record<string, number> = {};
    const context = {
      signal,
      progress: progress.report,
      output: output.add,
      measured: (measured: Readonly<Record<string, number>>) => void Object.assign(metrics, measured),
    };
    try {
      return await Promise.race<Outcome>([
        executor.run(job.parameters, context).then<Outcome, Outcome>(
          async (result) => {
            // Before the report, with which all that was passed on ends.
            await output.flush();
            return { kind: 'result', result, metrics };
          },
          (error: unknown) => {
            // The name alone: the message of an unforeseen error may quote what the client sent.
            if (!(error instanceof JobFailure) && !signal.aborted) {
              log.error(
                'executor.error',
                `${executor.type}: ${error instanceof Error ? error.name : 'unknown error'}`,
              );
            }
            return { kind: 'failure', failure: failureOf(error) };
          },
        ),
        stopped.then<Outcome>((reason) => ({ kind: 'stopped', reason })),
      ]);
    } finally {
      progress.stop();
      output.stop();
    }
  };

  const deliverFailure = async (job: Assignment, failure: JobFailure, runMs: number): Promise<void> => {
    const { code, message, detail, retryable } = failure;
    const told = detail === undefined ? message : `${message}: ${detail}`;
    const what = `job ${job.id}: failed after ${runMs} ms, ${code}: ${message}${retryable ? ' (it may run elsewhere)' : ''}`;
    log.warn('job.failed', what, { job_id: job.id, code, retryable, run_ms: runMs });
    await onFailed(job, failure);
    const verdict = await reports.deliver({
      job_id: job.id,
      lease: job.lease,
      status: 'failed',
      error: { code, message: told.slice(0, MESSAGE_MAX) },
      retryable,
      ...(failure.notStarted ? { not_started: true } : {}),
      metrics: { run_ms: runMs },
    });
    if (verdict.kind === 'refused') logRefused(job, verdict.status, verdict.code);
    if (verdict.kind === 'abandoned') logAbandoned(job);
  };

  const logRefused = (job: Assignment, status: number, code: string): void =>
    log.warn('job.refused', `job ${job.id}: the coordinator refused the report (${status} ${code})`, {
      job_id: job.id,
      code,
    });
  const logAbandoned = (job: Assignment): void =>
    log.warn(
      'job.abandoned',
      `job ${job.id}: nobody took the report; the job goes elsewhere when its lease ends`,
      {
        job_id: job.id,
      },
    );

  const deliverResult = async (
    job: Assignment,
    result: unknown,
    runMs: number,
    metrics: Record<string, number>,
  ): Promise<void> => {
    // `undefined` would vanish from the JSON, and a completed job must have a result.
    const report: Report = {
      job_id: job.id,
      lease: job.lease,
      status: 'completed',
      result: result ?? null,
      metrics: { run_ms: runMs, ...metrics },
    };
    const tooLarge = new JobFailure('RESULT_TOO_LARGE', 'the result is larger than a report may be', {
      retryable: false,
    });
    if (Buffer.byteLength(JSON.stringify(report)) > REPORT_MAX_BYTES)
      return deliverFailure(job, tooLarge, runMs);
    onDone(job);
    const verdict = await reports.deliver(report);
    if (verdict.kind === 'accepted') {
      const receipt = verdict.receiptId === null ? '' : `, receipt ${verdict.receiptId}`;
      log.info('job.done', `job ${job.id}: done in ${runMs} ms${receipt}`, { job_id: job.id, run_ms: runMs });
    } else if (verdict.kind === 'abandoned') {
      logAbandoned(job);
    } else {
      logRefused(job, verdict.status, verdict.code);
      // The job is still ours, and would otherwise sit until its deadline.
      if (verdict.status === 413) await deliverFailure(job, tooLarge, runMs);
      if (verdict.status === 400 || verdict.status === 422) {
        const message = 'the coordinator did not take the form of the result';
        await deliverFailure(job, new JobFailure('RESULT_REFUSED', message, { retryable: false }), runMs);
      }
    }
  };

  const run = async (job: Assignment, remainingMs: number): Promise<void> => {
    const { promise: stopped, resolve: onStop } = Promise.withResolvers<StopReason>();
    const controller = new AbortController();
    const entry = {
      lease: job.lease,
      attempt: job.attempt,
      stop: (reason: StopReason): void => {
        onStop(reason);
        controller.abort();
      },
    };
    const isOver = running.size >= concurrency;
    running.set(job.id, entry);
    const startedAt = performance.now();
    const timer = setTimeout(
      () => entry.stop('deadline'),
      Math.max(0, Math.min(TIMER_MAX_MS, remainingMs - deadlineMargin(remainingMs))),
    );
    const label = `job ${job.id}: ${job.job_type} taken (attempt ${job.attempt}, ${Math.round(remainingMs / 1000)} s to run)`;
    log.info('job.taken', label, { job_id: job.id, job_type: job.job_type, attempt: job.attempt });

    try {
      const executor = executors.get(job.job_type);
      let outcome: Outcome;
      if (executor === undefined) {
        const message = `this miner does not run ${job.job_type}`;
        outcome = {
          kind: 'failure',
          failure: new JobFailure('UNSUPPORTED_JOB_TYPE', message, { retryable: true, notStarted: true }),
        };
      } else if (isOver) {
        const message = `this miner runs ${concurrency} jobs at once already`;
        const failure = new JobFailure('AT_CAPACITY', message, { retryable: true, notStarted: true });
        outcome = { kind: 'failure', failure };
      } else {
        outcome = await execute(job, executor, stopped, controller.signal);
      }
      clearTimeout(timer);
      const runMs = Math.round(performance.now() - startedAt);
      if (outcome.kind === 'result') await deliverResult(job, outcome.result, runMs, outcome.metrics);
      else if (outcome.kind === 'failure') await deliverFailure(job, outcome.failure, runMs);
      else {
        const failure = STOPPED_FAILURES[outcome.reason];
        if (failure !== undefined) await deliverFailure(job, failure, runMs);
        else
          log.info('job.stopped', `job ${job.id}: stopped, ${outcome.reason}`, {
            job_id: job.id,
            reason: outcome.reason,
          });
      }
    } finally {
      clearTimeout(timer);
      // A newer lease of the same job may stand here by now.
      if (running.get(job.id) === entry) running.delete(job.id);
      onSlotFreed();
    }
  };

  const stop = (id: string, reason: StopReason): void => running.get(id)?.stop(reason);

  return {
    start(job, remainingMs) {
      const held = running.get(job.id);
      // The answer to a poll can arrive twice; the same lease is the same work.
      if (held?.lease === job.lease) return;
      held?.stop('superseded');
      if (held !== undefined) running.delete(job.id);
      void run(job, remainingMs);
    },
    stop,
    stopAll(reason) {
      for (const entry of [...running.values()]) entry.stop(reason);
    },
    held: () => new Map([...running].map(([id, { attempt }]) => [id, attempt])),
    free: () => Math.max(0, concurrency - running.size),
  };
};
