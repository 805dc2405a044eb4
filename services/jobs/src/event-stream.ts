import { type Context, createShare, PAGE_BYTES_MAX } from '@aitbc/chassis';
import { type jobsRoutes, notFound, Problem } from '@aitbc/contracts';
import { isTerminal } from './domain.ts';
import type { Output, OutputPlace, OutputReader } from './output/index.ts';
import { beginEvents, createBackpressure, sendNow } from './server-sent-events.ts';
import { eventsAfter, findOwnJob, textsOf } from './store/jobs.ts';
import type { EventRow, JobRow } from './tables.ts';
import { toChange, toEnd } from './views.ts';
import type { Work } from './work.ts';

/** Proxies close what is silent for half a minute. */
const KEEP_ALIVE_MS = 15_000;
const EVENTS_PER_READ = 200;
/** Open at once in this process; each holds a socket... */
const STREAMS_MAX = 5_000;
/** ...and of one account: what a hundred people who watch a job each need. */
const STREAMS_PER_ACCOUNT_MAX = 100;

/** Where a stream stands: the last event of the file, and the chunks after it. */
interface Cursor {
  readonly event: number;
  readonly output: OutputPlace;
}
const START: Cursor = { event: 0, output: { attempt: 0, seq: 0 } };

/** `7`, or `7-2-15`: event 7, and of attempt 2 the chunks before number 15. */
const readCursor = (text: string | undefined): Cursor => {
  const parts = /^(\d{1,9})(?:-(\d{1,9})-(\d{1,9}))?$/.exec(text ?? '');
  if (parts === null) return START;
  return { event: Number(parts[1]), output: { attempt: Number(parts[2] ?? 0), seq: Number(parts[3] ?? 0) } };
};
const writeCursor = ({ event, output }: Cursor): string =>
  output.attempt === 0 ? String(event) : `${event}-${output.attempt}-${output.seq}`;

const NAMES: Readonly<Partial<Record<EventRow['type'], string>>> = {
  pending: 'status',
  running: 'status',
  retrying: 'status',
  progress: 'progress',
};

/** @returns the name of an event and its data, as JSON. Chunks are texts already. */
const outputEvent = (jobId: string, output: Output): { name: string; data: string; after: OutputPlace } => {
  const { attempt } = output;
  switch (output.kind) {
    case 'chunks': {
      const head = JSON.stringify({ type: 'delta', job_id: jobId, attempt, seq: output.seq });
      return {
        name: 'delta',
        data: `${head.slice(0, -1)},"chunks":[${output.chunks.join(',')}]}`,
        after: { attempt, seq: output.seq + output.chunks.length },
      };
    }
    case 'restarted':
      return {
        name: 'restarted',
        data: JSON.stringify({ type: 'restarted', job_id: jobId, attempt }),
        after: { attempt: attempt + 1, seq: 0 },
      };
    case 'gap':
      return {
        name: 'gap',
        data: JSON.stringify({ type: 'gap', job_id: jobId, attempt, seq: output.seq }),
        after: { attempt, seq: output.seq },
      };
  }
};

/** Open streams, so that a stopping service ends them. */
export const createEventStreams = (work: Work) => {
  const ends = new Set<() => void>();
  const share = createShare({
    max: STREAMS_PER_ACCOUNT_MAX,
    code: 'TOO_MANY_STREAMS',
    what: 'event streams',
    retryAfterSeconds: 5,
  });
  let isStopping = false;

  /** With the result, unless that is too large to be pushed: then it is to be asked for. */
  const endOf = async (job: JobRow, event: EventRow): Promise<string> => {
    const [texts] = job.status === 'completed' ? await textsOf(work.store.read, [job]) : [];
    const result = texts?.result ?? null;
    const isSmall = result !== null && result.length <= PAGE_BYTES_MAX;
    return JSON.stringify(toEnd(job, event, isSmall ? JSON.parse(result) : null));
  };

  const stream = async (
    context: Context<typeof jobsRoutes.events>,
  ): Promise<null | { status: 204; body: undefined }> => {
    const { store } = work;
    const { response } = context;
    const job = await findOwnJob(store.read, context.params.job_id, context.caller.account_id);
    if (job === undefined) throw notFound('job');
    const given = readCursor(context.lastEventId);
    if (isTerminal(job.status) && given.event === job.events) return { status: 204, body: undefined };
    if (isStopping || ends.size >= STREAMS_MAX) {
      throw new Problem('OVERLOADED', 'Too many event streams are open; ask for the status instead.', {
        retryAfterSeconds: 5,
      });
    }
    const giveBack = share.take(context.caller.account_id);
    // One that is not here yet is none of ours.
    let at = given.event <= job.events ? given : START;

    beginEvents(response);

    const send = (name: string, data: string): void => {
      response.write(`id: ${writeCursor(at)}\nevent: ${name}\ndata: ${data}\n\n`);
    };
    let reader: OutputReader | undefined;
    /** What was missed comes before what is new. */
    let isCaughtUp = false;
    const end = () => {
      ends.delete(end);
      giveBack();
      clearInterval(keepAlive);
      watched.end();
      reader?.end();
      response.end();
      backpressure.end();
    };
    /** @returns false when there is more, and no room for it. */
    const pushOutput = (): boolean => {
      while (!response.writableEnded) {
        if (!backpressure.hasRoom()) return false;
        const output = reader?.read();
        if (output === undefined) return true;
        if (output.kind === 'gap') work.metrics.outputGaps.inc();
        const { name, data, after } = outputEvent(job.id, output);
        at = { event: at.event, output: after };
        send(name, data);
      }
      return true;
    };
    const pushAll = async () => {
      let last: EventRow | undefined;
      for (;;) {
        const events = await eventsAfter(store.read, job.seq, at.event, EVENTS_PER_READ);
        for (const event of events) {
          const name = NAMES[event.type];
          // The end waits until all else was taken.
          if (name === undefined) last = event;
          else {
            at = { event: event.id, output: at.output };
            send(name, JSON.stringify(toChange(job, event)));
          }
        }
        if (events.length < EVENTS_PER_READ) break;
      }
      if (!pushOutput()) return;
      // The end of a job is its last event.
      const now = await findOwnJob(store.read, job.id, job.client_id);
      if (now === undefined || !isTerminal(now.status) || response.writableEnded) return;
      if (last !== undefined && last.id === now.events) {
        const data = await endOf(now, last);
        at = { event: last.id, output: at.output };
        send('end', data);
      }
      if (at.event >= now.events) end();
    };
    // One after the other: two at a time would both send what comes after `at`.
    let pushing: Promise<void> = Promise.resolve();
    const push = (): Promise<void> => {
      // What cannot be read ends the stream: the client asks again from its last event.
      pushing = pushing.then(pushAll).catch(end);
      return pushing;
    };
    const backpressure = createBackpressure(work, response, () => void push());
    const keepAlive = setInterval(() => response.write(': still here\n\n'), KEEP_ALIVE_MS);
    const watched = work.watch.open(job.id, () => void push());
    watched.knows(job.events);
    ends.add(end);
    context.signal.addEventListener('abort', end, { once: true });
    if (context.signal.aborted) end();
    else {
      const wake = () => {
        if (!isCaughtUp) return;
        pushOutput();
        sendNow(response);
      };
      if (!isTerminal(job.status)) reader = work.output.listen(job.id, wake, at.output);
      await push();
      isCaughtUp = true;
      pushOutput();
    }
    return null;
  };

  return {
    stream,
    endAll: (): void => {
      isStopping = true;
      for (const end of ends) end();
    },
  };
};
export type EventStreams = ReturnType<typeof createEventStreams>;
