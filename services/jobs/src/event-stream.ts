import { type Context, createShare } from '@aitbc/chassis';
import { type jobsRoutes, notFound, Problem } from '@aitbc/contracts';
import { isTerminal } from './domain.ts';
import { eventsAfter, findOwnJob } from './store/jobs.ts';
import { toEvent } from './views.ts';
import type { Work } from './work.ts';

/** Proxies close what is silent for half a minute. */
const KEEP_ALIVE_MS = 15_000;
const EVENTS_PER_READ = 200;
/** Open at once in this process; each holds a socket... */
const STREAMS_MAX = 5_000;
/** ...and of one account: what a hundred people who watch a job each need. */
const STREAMS_PER_ACCOUNT_MAX = 100;

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

  const stream = async (
    context: Context<typeof jobsRoutes.events>,
  ): Promise<null | { status: 204; body: undefined }> => {
    const { store } = work;
    const { response } = context;
    const job = await findOwnJob(store.read, context.params.job_id, context.caller.account_id);
    if (job === undefined) throw notFound('job');
    const given = /^\d{1,9}$/.test(context.lastEventId ?? '') ? Number(context.lastEventId) : 0;
    if (isTerminal(job.status) && given === job.events) return { status: 204, body: undefined };
    if (isStopping || ends.size >= STREAMS_MAX) {
      throw new Problem('OVERLOADED', 'Too many event streams are open; ask for the status instead.', {
        retryAfterSeconds: 5,
      });
    }
    const giveBack = share.take(context.caller.account_id);
    // One that is not here yet is none of ours.
    let lastId = given <= job.events ? given : 0;

    response.status(200).set({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      // Proxies that buffer would hold events back.
      'x-accel-buffering': 'no',
    });
    response.flushHeaders();

    const end = () => {
      ends.delete(end);
      giveBack();
      clearInterval(keepAlive);
      watched.end();
      response.end();
    };
    const pushAll = async () => {
      for (;;) {
        const events = await eventsAfter(store.read, job.seq, lastId, EVENTS_PER_READ);
        for (const event of events) {
          lastId = event.id;
          response.write(
            `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(toEvent(job, event))}\n\n`,
          );
        }
        if (events.length < EVENTS_PER_READ) break;
      }
      // The end of a job is its last event.
      const now = await findOwnJob(store.read, job.id, job.client_id);
      if (now !== undefined && isTerminal(now.status) && lastId >= now.events) end();
    };
    // One after the other: two at a time would both send what comes after `lastId`.
    let pushing: Promise<void> = Promise.resolve();
    const push = (): Promise<void> => {
      // What cannot be read ends the stream: the client asks again from its last event.
      pushing = pushing.then(pushAll).catch(end);
      return pushing;
    };
    const keepAlive = setInterval(() => response.write(': still here\n\n'), KEEP_ALIVE_MS);
    const watched = work.watch.open(job.id, () => void push());
    watched.knows(job.events);
    ends.add(end);
    context.signal.addEventListener('abort', end, { once: true });
    if (context.signal.aborted) end();
    else await push();
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
