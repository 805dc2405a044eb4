import { createParser } from 'eventsource-parser';
import type { JobEvent } from '../contract.ts';
import { AitbcError, ConnectionError, UnexpectedAnswerError } from '../errors.ts';
import { isPassing, RETRY_AFTER_MAX_SECONDS, type RequestOptions, type Transport } from '../http.ts';
import { backOff, sleep } from '../waiting.ts';

export interface WatchOptions extends Omit<RequestOptions, 'idempotencyKey'> {
  /** The id of the last event that you have: only those after it come. */
  readonly lastEventId?: number | undefined;
}

/** The coordinator says something every 15 s; three times that is silence. */
const SILENCE_MS = 45_000;
/** Failures in a row before it gives up: with the longest wait between them, about two minutes. */
const RETRIES = 20;
/** An event is a few hundred bytes. */
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

async function* read(response: Response, leaving: AbortController): AsyncGenerator<JobEvent> {
  if (response.body === null || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
    throw new UnexpectedAnswerError({
      code: 'UNEXPECTED_ANSWER',
      message: 'The answer is no event stream: a proxy in between, or the wrong address?',
      status: response.status,
    });
  }
  const events: JobEvent[] = [];
  const parser = createParser({
    maxBufferSize: BUFFER_MAX,
    onEvent: ({ data }) => events.push(JSON.parse(data) as JobEvent),
  });
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let silence: ReturnType<typeof setTimeout> | undefined;
  try {
    for (;;) {
      silence = setTimeout(
        () =>
          leaving.abort(new ConnectionError({ code: 'TIMEOUT', message: 'The event stream fell silent.' })),
        SILENCE_MS,
      );
      const { done, value } = await reader.read();
      clearTimeout(silence);
      if (done) return;
      parser.feed(decoder.decode(value, { stream: true }));
      yield* events.splice(0);
    }
  } finally {
    clearTimeout(silence);
    await reader.cancel().catch(() => {});
  }
}

/** The events of a job until its end; comes back by itself after a cut, where it was. */
export async function* watch(
  transport: Transport,
  jobId: string,
  { lastEventId, signal, ...call }: WatchOptions,
): AsyncGenerator<JobEvent, void, undefined> {
  let last = lastEventId;
  for (let failed = 0; ; failed++) {
    signal?.throwIfAborted();
    const leaving = new AbortController();
    const onAbort = () => leaving.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    let error: AitbcError | undefined;
    try {
      const headers = last === undefined ? call.headers : { ...call.headers, 'last-event-id': String(last) };
      const options = { ...call, ...(headers === undefined ? {} : { headers }), signal: leaving.signal };
      const response = await transport.open('jobs.events', { params: { job_id: jobId } }, options);
      // It has ended, and we have its last event.
      if (response.status === 204) return;
      for await (const event of read(response, leaving)) {
        last = event.id;
        failed = 0;
        yield event;
        if (ENDS.has(event.type)) return;
      }
    } catch (caught) {
      signal?.throwIfAborted();
      error = lost(leaving.signal.reason ?? caught);
      const isOver = failed >= RETRIES || (error.retryAfterSeconds ?? 0) > RETRY_AFTER_MAX_SECONDS;
      if (!isPassing(error) || isOver) throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      // Whoever stops listening lets the connection go.
      leaving.abort();
    }
    await sleep(backOff(failed, error?.retryAfterSeconds), signal);
  }
}
