import { type Job, type JobSubmission, LIMITS } from '../contract.ts';
import { type AitbcError, toError } from '../errors.ts';
import type { Reply, RequestOptions, Transport } from '../http.ts';
import { sleep } from '../waiting.ts';

export interface BatchItem {
  /** Of the job among those that were given, from 0. */
  readonly index: number;
  /** Undefined when it was refused. */
  readonly jobId: string | undefined;
  /** The job at its end; undefined when it was refused, or with `wait: false`. */
  readonly job: Job | undefined;
  /** Why it was refused; the others go on. */
  readonly error: AitbcError | undefined;
}
/** What the coordinator answered to one item of a chunk: its job, or why there is none. */
export interface Submitted {
  readonly index: number;
  readonly jobId: string | undefined;
  readonly error: { readonly code: string; readonly message: string; readonly status: number } | undefined;
}

export interface BatchOptions extends Omit<RequestOptions, 'idempotencyKey'> {
  /**
   * A name for these jobs. The same name with the same jobs, given again after a crash, makes no job twice, for 24 hours;
   * with `known` for as long as you like. Without one it is random.
   */
  readonly key?: string | undefined;
  /** Wait for the end of each job, as by default; or give its id as soon as it is accepted. */
  readonly wait?: boolean | undefined;
  /** Jobs in one request, 1,000 at most. Must be the same when a batch is continued. */
  readonly chunkSize?: number | undefined;
  /** Chunks that are submitted while an earlier one is waited for, 4 by default. */
  readonly parallelism?: number | undefined;
  /** Items before this one are done: they are not given again, and chunks of such items are not submitted. */
  readonly from?: number | undefined;
  /** What was told to `onSubmitted` before: these chunks are not submitted again. */
  readonly known?: readonly Submitted[] | undefined;
  /** Told once for each chunk, when all of it is answered, before any of its jobs is given. Its promise is waited for. */
  readonly onSubmitted?: ((items: readonly Submitted[]) => void | Promise<void>) | undefined;
}

const PARALLELISM = 4;
/** A tenth below the limit of the body: what JSON adds around the jobs. */
const CHUNK_BYTES = Math.floor(LIMITS.batchBytes * 0.9);
/** A chunk of 1,000 jobs is the whole budget of a minute, so most are told to wait; some minutes of that are normal. */
const RETRIES = 30;
/** Items that were refused because something was full or away are sent again so often. */
const ROUNDS = 10;
/** Between two looks at the list of a chunk's jobs. */
const LOOK_FIRST_MS = 200;
const LOOK_LONGEST_MS = 10_000;
const PAGE = 500;

const encoder = new TextEncoder();
const bytesOf = (job: JobSubmission): number => encoder.encode(JSON.stringify(job)).length + 1;

interface Chunk {
  readonly name: string;
  readonly start: number;
  readonly jobs: readonly JobSubmission[];
}

/** Cuts in the same places whenever it is given the same jobs: a chunk continued is the chunk that was begun. */
async function* cut(
  jobs: Iterable<JobSubmission> | AsyncIterable<JobSubmission>,
  key: string,
  size: number,
): AsyncGenerator<Chunk> {
  let start = 0;
  let number = 0;
  let held: JobSubmission[] = [];
  let bytes = 0;
  const close = (): Chunk => {
    const chunk = { name: `${key}-${number}`, start, jobs: held };
    start += held.length;
    number += 1;
    held = [];
    bytes = 0;
    return chunk;
  };
  for await (const job of jobs) {
    const more = bytesOf(job);
    if (held.length > 0 && (held.length === size || bytes + more > CHUNK_BYTES)) yield close();
    held.push(job);
    bytes += more;
  }
  if (held.length > 0) yield close();
}

type Answer = Reply<'jobs.submit_batch'>['items'][number];
const isFullOrAway = ({ status }: Answer): boolean =>
  status === 429 || status === 502 || status === 503 || status === 504;

/** Has every job of a chunk accepted or refused for good. Each request has a key that its place gives it. */
const submitChunk = async (
  transport: Transport,
  chunk: Chunk,
  isLabelled: boolean,
  call: RequestOptions,
): Promise<Submitted[]> => {
  const answers = new Map<number, Answer>();
  let waiting = chunk.jobs.map((_, at) => at);
  for (let round = 0; waiting.length > 0; round++) {
    const jobs = waiting.map((at) => {
      const job = chunk.jobs[at] as JobSubmission;
      return isLabelled ? { ...job, labels: [...(job.labels ?? []), chunk.name] } : job;
    });
    const { items } = await transport.call(
      'jobs.submit_batch',
      { body: { jobs } },
      { ...call, maxRetries: call.maxRetries ?? RETRIES, idempotencyKey: `${chunk.name}.${round}` },
    );
    const again: number[] = [];
    for (const [place, answer] of items.entries()) {
      const at = waiting[place] as number;
      answers.set(at, answer);
      if (isFullOrAway(answer) && round < ROUNDS) again.push(at);
    }
    waiting = again;
    if (waiting.length > 0) await sleep(Math.min(1_000 * 2 ** round, 30_000), call.signal);
  }
  return chunk.jobs.map((_, at) => {
    const { job, error, status } = answers.get(at) as Answer;
    return {
      index: chunk.start + at,
      jobId: job?.id,
      error: error === undefined ? undefined : { code: error.code, message: error.message, status },
    };
  });
};

/** Gives the jobs of a chunk as they end, whatever their order. */
async function* ended(
  transport: Transport,
  chunk: Chunk,
  ids: ReadonlySet<string>,
  call: RequestOptions,
): AsyncGenerator<Job> {
  const patient = { ...call, maxRetries: call.maxRetries ?? RETRIES };
  const missing = new Set(ids);
  for (let waitMs = LOOK_FIRST_MS; ; waitMs = Math.min(waitMs * 1.5, LOOK_LONGEST_MS)) {
    let unfinished: string | undefined;
    let cursor: string | undefined;
    do {
      const page = await transport.call(
        'jobs.list',
        { query: { label: chunk.name, limit: PAGE, cursor } },
        patient,
      );
      for (const job of page.items) {
        if (!missing.has(job.id)) continue;
        if (job.status === 'pending' || job.status === 'running') unfinished = job.id;
        else if (missing.delete(job.id)) yield job;
      }
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined && missing.size > 0);
    if (missing.size === 0) return;
    // The list is by what was submitted last, so this is the one that was submitted first: likely the next to end.
    const began = performance.now();
    if (unfinished !== undefined)
      await transport.call(
        'jobs.status',
        { params: { job_id: unfinished }, query: { wait_seconds: LIMITS.waitSeconds } },
        patient,
      );
    await sleep(Math.max(0, waitMs - (performance.now() - began)), call.signal);
  }
}

export async function* submitBatches(
  transport: Transport,
  jobs: Iterable<JobSubmission> | AsyncIterable<JobSubmission>,
  options: BatchOptions,
): AsyncGenerator<BatchItem, void, undefined> {
  const {
    key = crypto.randomUUID(),
    wait = true,
    from = 0,
    known = [],
    onSubmitted,
    signal,
    ...rest
  } = options;
  const size = Math.min(options.chunkSize ?? LIMITS.batchItems, LIMITS.batchItems);
  const call = { ...rest, signal };
  const before = new Map(known.map((item) => [item.index, item]));
  const chunks = cut(jobs, key, size);
  const open: { chunk: Chunk; submitted: Promise<Submitted[]> }[] = [];
  let isAllCut = false;

  const submit = async (chunk: Chunk): Promise<Submitted[]> => {
    const told = chunk.jobs.map((_, at) => before.get(chunk.start + at));
    if (told.every((item) => item !== undefined)) return told as Submitted[];
    const items = await submitChunk(transport, chunk, wait, call);
    await onSubmitted?.(items);
    return items;
  };
  const fill = async (): Promise<void> => {
    while (!isAllCut && open.length < Math.max(1, options.parallelism ?? PARALLELISM)) {
      const { done, value: chunk } = await chunks.next();
      if (done === true) isAllCut = true;
      else if (chunk.start + chunk.jobs.length > from) {
        const submitted = submit(chunk);
        // It is looked at when its turn comes; until then it is no unhandled rejection.
        submitted.catch(() => {});
        open.push({ chunk, submitted });
      }
    }
  };

  for (await fill(); open.length > 0; await fill()) {
    const { chunk, submitted } = open[0] as (typeof open)[number];
    const items = await submitted;
    const found = new Map<string, Job>();
    let next = 0;
    const ready = function* (): Generator<BatchItem> {
      for (; next < items.length; next++) {
        const { index, jobId, error } = items[next] as Submitted;
        if (index < from) continue;
        const job = jobId === undefined ? undefined : found.get(jobId);
        if (wait && jobId !== undefined && job === undefined) return;
        if (job !== undefined) found.delete(job.id);
        yield { index, jobId, job, error: error === undefined ? undefined : toError(error) };
      }
    };
    yield* ready();
    const ids = new Set(
      items.flatMap(({ index, jobId }) => (index < from || jobId === undefined ? [] : [jobId])),
    );
    if (wait && ids.size > 0) {
      for await (const job of ended(transport, chunk, ids, call)) {
        found.set(job.id, job);
        yield* ready();
      }
    }
    open.shift();
  }
}
