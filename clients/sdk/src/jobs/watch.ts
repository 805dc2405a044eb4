import { createParser } from 'eventsource-parser';
import type { JobEvent } from '../contract.ts';
import { AitbcError, ConnectionError, UnexpectedAnswerError } from '../errors.ts';
import { isPassing, RETRY_AFTER_MAX_SECONDS, type RequestOptions, type Transport } from '../http.ts';
import { backOff, sleep } from '../waiting.ts';

export interface WatchOptions extends Omit<RequestOptions, 'idempotencyKey'> {
  /** The id of the last event that you have: only those after it come, and no deltas before it. */
  readonly lastEventId?: number | undefined;
}

/** The coordinator says something every 15 s; three times that is silence. */
const SILENCE_MS = 45_000;
/** Failures in a row before it gives up: with the longest wait between them, about two minutes. */
const RETRIES = 20;
/** An event is a few hundred bytes, deltas some 64 KB, an end with its result 256 KB. */
const BUFFER_MAX = 1024 * 1024;

const ENDS = new Set<string>(['completed', 'failed', 'cancelled', 'expired']);

/** What went wrong while a stream was read. */
const lost = (error: unknown): AitbcError =>
  error instanceof AitbcError
    ? error
    : new ConnectionError({
        code: 'CONNECTION_FAILED',
        message: 'The event stream was cut off.',
        cause: error,
      });

interface Received {
  /** Where the stream stands after it, for `Last-Event-ID`. */
  readonly place: string | undefined;
  readonly event: JobEvent;
}

/** Ends what waits for a coordinator that says nothing, not even that it is there. */
const startSilence = (leaving: AbortController) => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = () => clearTimeout(timer);
  const begin = () => {
    end();
    timer = setTimeout(
      () => leaving.abort(new ConnectionError({ code: 'TIMEOUT', message: 'The event stream fell silent.' })),
      SILENCE_MS,
    );
  };
  return { begin, end };
};

async function* read(
  response: Response,
  silence: ReturnType<typeof startSilence>,
  heard: () => void,
): AsyncGenerator<Received> {
  if (response.body === null || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
    throw new UnexpectedAnswerError({
      code: 'UNEXPECTED_ANSWER',
      message: 'The answer is no event stream: a proxy in between, or the wrong address?',
      status: response.status,
    });
  }
  const events: Received[] = [];
  const parser = createParser({
    maxBufferSize: BUFFER_MAX,
    onEvent: ({ id, data }) => events.push({ place: id, event: JSON.parse(data) as JobEvent }),
  });
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      silence.begin();
      const { done, value } = await reader.read();
      // Who reads the events may take as long as it likes.
      silence.end();
      if (done) return;
      heard();
      parser.feed(decoder.decode(value, { stream: true }));
      yield* events.splice(0);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * The events of a job until its end, and what its miner puts out meanwhile (`delta`); comes back by itself after a cut, where
 * it was. After `restarted` all deltas before it are void, after `gap` some are missing: the result holds everything.
 */
export async function* watch(
  transport: Transport,
  jobId: string,
  { lastEventId, signal, ...call }: WatchOptions,
): AsyncGenerator<JobEvent, void, undefined> {
  let last = lastEventId === undefined ? undefined : String(lastEventId);
  /** In a row, without a byte in between: a proxy that cuts what waits long is no failure. */
  let failed = 0;
  for (;;) {
    signal?.throwIfAborted();
    const leaving = new AbortController();
    const silence = startSilence(leaving);
    const onAbort = () => leaving.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    let error: AitbcError;
    try {
      const headers = last === undefined ? call.headers : { ...call.headers, 'last-event-id': last };
      const options = { ...call, ...(headers === undefined ? {} : { headers }), signal: leaving.signal };
      silence.begin();
      const response = await transport.open('jobs.events', { params: { job_id: jobId } }, options);
      // It has ended, and we have its last event.
      if (response.status === 204) return;
      const heard = () => {
        failed = 0;
      };
      for await (const { place, event } of read(response, silence, heard)) {
        last = place ?? last;
        yield event;
        if (ENDS.has(event.type)) return;
      }
      error = lost('it ended before the job');
    } catch (caught) {
      signal?.throwIfAborted();
      error = lost(leaving.signal.reason ?? caught);
    } finally {
      silence.end();
      signal?.removeEventListener('abort', onAbort);
      // Whoever stops listening lets the connection go.
      leaving.abort();
    }
    const isOver = failed >= RETRIES || (error.retryAfterSeconds ?? 0) > RETRY_AFTER_MAX_SECONDS;
    if (!isPassing(error) || isOver) throw error;
    await sleep(backOff(failed++, error.retryAfterSeconds), signal);
  }
}
