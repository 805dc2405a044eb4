import type { Job, JobEvent, JobParameters, JobStatusView, JobSubmission } from '../contract.ts';
import { LIMITS } from '../contract.ts';
import { JobFailedError } from '../errors.ts';
import type { Input, Reply, RequestOptions, Transport } from '../http.ts';
import { listOf } from '../list.ts';
import { type BatchItem, type BatchOptions, submitBatches } from './batch.ts';
import { type WatchOptions, watch } from './watch.ts';

/** Everything of a submission but its type and parameters. */
export type SubmissionOptions = Omit<JobSubmission, 'job_type' | 'parameters'>;
export interface RunOptions extends SubmissionOptions, RequestOptions {
  /** Called whenever something about the job changes. */
  readonly onStatus?: ((status: JobStatusView) => void) | undefined;
  /** Cancel the job when `signal` is aborted; without it the job goes on, and is paid. */
  readonly cancelOnAbort?: boolean | undefined;
}
export type JobTypeGiven = keyof JobParameters | (string & {});
export type ParametersOf<T extends JobTypeGiven> = T extends keyof JobParameters
  ? JobParameters[T]
  : Record<string, unknown>;

/** While a job is waited for a cut is no reason to give up: with the longest wait between them, some two minutes. */
const WAIT_RETRIES = 20;

/** Who was told to stop waits no longer for a cancel. */
const LAST_WORD_MS = 5_000;

export const hasEnded = (job: { readonly status: Job['status'] }): boolean =>
  job.status !== 'pending' && job.status !== 'running';

export const createJobs = (transport: Transport) => {
  const get = (jobId: string, call?: RequestOptions): Promise<Job> =>
    transport.call('jobs.get', { params: { job_id: jobId } }, call);

  /** Where a job stands; with `wait_seconds` the answer comes when that changes. */
  const status = (
    jobId: string,
    query: Input<'jobs.status'>['query'] = {},
    call?: RequestOptions,
  ): Promise<JobStatusView> => transport.call('jobs.status', { params: { job_id: jobId }, query }, call);

  const submit = <T extends JobTypeGiven>(
    type: T,
    parameters: ParametersOf<T>,
    options: SubmissionOptions & RequestOptions = {},
  ): Promise<Job> => {
    const { signal, idempotencyKey, timeoutMs, maxRetries, headers, ...submission } = options;
    return transport.call(
      'jobs.submit',
      {
        body: { ...submission, job_type: type, parameters: parameters as Record<string, unknown> },
      },
      { signal, idempotencyKey, timeoutMs, maxRetries, headers },
    );
  };

  const cancel = (jobId: string, call?: RequestOptions): Promise<Job> =>
    transport.call('jobs.cancel', { params: { job_id: jobId } }, call);

  /** Waits until a job has ended, however it ends. */
  const wait = async (
    jobId: string,
    options: Omit<RequestOptions, 'idempotencyKey'> & Pick<RunOptions, 'onStatus'> = {},
  ): Promise<Job> => {
    const { onStatus, ...call } = options;
    const patient = { ...call, maxRetries: call.maxRetries ?? WAIT_RETRIES };
    let seen: string | undefined;
    for (let waitSeconds = 0; ; waitSeconds = LIMITS.waitSeconds) {
      const now = await status(jobId, { wait_seconds: waitSeconds }, patient);
      if (now.updated_at !== seen) onStatus?.(now);
      seen = now.updated_at;
      if (hasEnded(now)) return get(jobId, patient);
    }
  };

  /**
   * Submits a job, waits for its end and gives it with its `result`. Survives cut connections: it is submitted once.
   * @throws JobFailedError when it ended without a result.
   */
  const run = async <T extends JobTypeGiven>(
    type: T,
    parameters: ParametersOf<T>,
    options: RunOptions = {},
  ): Promise<Job> => {
    const { onStatus, cancelOnAbort, ...given } = options;
    const { signal, timeoutMs, maxRetries, headers } = given;
    const submission = { ...given, idempotencyKey: given.idempotencyKey ?? crypto.randomUUID() };
    let id: string | undefined;
    try {
      ({ id } = await submit(type, parameters, submission));
      const job = await wait(id, { signal, timeoutMs, maxRetries, headers, onStatus });
      if (job.status !== 'completed') throw new JobFailedError(job);
      return job;
    } catch (error) {
      if (cancelOnAbort === true && signal?.aborted === true) {
        const last = { timeoutMs: LAST_WORD_MS, maxRetries: 1, headers };
        // Whether it was submitted is not known without an answer; by its key it is submitted once.
        id ??= (
          await submit(type, parameters, { ...submission, ...last, signal: undefined }).catch(() => null)
        )?.id;
        // It may have ended meanwhile: then there is nothing to cancel.
        if (id !== undefined) await cancel(id, last).catch(() => {});
      }
      throw error;
    }
  };

  return {
    run,
    submit,
    wait,
    get,
    status,
    cancel,
    /** Erases parameters and result of a job that ended. What stays are hashes and the receipt. */
    wipe: (jobId: string, call?: RequestOptions): Promise<Reply<'jobs.wipe'>> =>
      transport.call('jobs.wipe', { params: { job_id: jobId } }, call),
    /** Own jobs, newest first. */
    list: (query: NonNullable<Input<'jobs.list'>['query']> = {}, call: RequestOptions = {}) =>
      listOf(query, call, (page, options) => transport.call('jobs.list', { query: page }, options)),
    /** What happens to a job, as it happens, until its end. Comes back by itself after a cut. */
    watch: (jobId: string, options: WatchOptions = {}): AsyncGenerator<JobEvent, void, undefined> =>
      watch(transport, jobId, options),
    /** Up to 1,000 jobs in one request, an answer for each: what `batch` is built of. */
    submitBatch: (
      jobs: readonly JobSubmission[],
      call?: RequestOptions,
    ): Promise<Reply<'jobs.submit_batch'>> =>
      transport.call('jobs.submit_batch', { body: { jobs: [...jobs] } }, call),
    /** Many jobs: submitted in chunks, waited for, and given in their order, each once. */
    batch: (
      jobs: Iterable<JobSubmission> | AsyncIterable<JobSubmission>,
      options: BatchOptions = {},
    ): AsyncGenerator<BatchItem, void, undefined> => submitBatches(transport, jobs, options),
    receipts: async (jobId: string, call?: RequestOptions) =>
      (await transport.call('jobs.receipts', { params: { job_id: jobId } }, call)).items,
  };
};
export type Jobs = ReturnType<typeof createJobs>;
