import { createParser } from 'eventsource-parser';
import { AitbcError, ConnectionError, UnexpectedAnswerError } from './errors.ts';

/** The coordinator says something every 15 s at least; three times that is silence. */
const SILENCE_MS = 45_000;
/** An event is a few hundred bytes, what a model writes some 64 KB, an end with its result 256 KB. */
const BUFFER_MAX = 1024 * 1024;

export type Received =
  | {
      readonly kind: 'event';
      /** Where the stream stands after it, for `Last-Event-ID`. */
      readonly id: string | undefined;
      readonly data: string;
    }
  | { readonly kind: 'comment'; readonly text: string };

/** @throws UnexpectedAnswerError when it is none. */
export const parseData = (data: string): unknown => {
  try {
    return JSON.parse(data);
  } catch (error) {
    throw new UnexpectedAnswerError({
      code: 'UNEXPECTED_ANSWER',
      message: 'The event stream holds what is no JSON: a proxy in between?',
      cause: error,
    });
  }
};

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
  onBytes: () => void,
): AsyncGenerator<Received> {
  if (response.body === null || !response.headers.get('content-type')?.startsWith('text/event-stream')) {
    throw new UnexpectedAnswerError({
      code: 'UNEXPECTED_ANSWER',
      message: 'The answer is no event stream: a proxy in between, or the wrong address?',
      status: response.status,
    });
  }
  const received: Received[] = [];
  const parser = createParser({
    maxBufferSize: BUFFER_MAX,
    onEvent: ({ id, data }) => received.push({ kind: 'event', id, data }),
    onComment: (text) => received.push({ kind: 'comment', text }),
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
      onBytes();
      parser.feed(decoder.decode(value, { stream: true }));
      yield* received.splice(0);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * One stream of server-sent events, as far as it comes. Whoever stops listening lets the connection go.
 * @param open makes the request; what has no content is a stream without events
 * @param onBytes called whenever something comes, be it a comment alone
 * @throws AitbcError when it is refused, cut off or silent; the signal's reason when that is aborted
 */
export async function* receive(
  open: (signal: AbortSignal) => Promise<Response>,
  signal: AbortSignal | undefined,
  onBytes: () => void = () => {},
): AsyncGenerator<Received, void, undefined> {
  signal?.throwIfAborted();
  const leaving = new AbortController();
  const silence = startSilence(leaving);
  const onAbort = () => leaving.abort(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    silence.begin();
    const response = await open(leaving.signal);
    if (response.status !== 204) yield* read(response, silence, onBytes);
  } catch (caught) {
    signal?.throwIfAborted();
    const error = leaving.signal.reason ?? caught;
    if (error instanceof AitbcError) throw error;
    throw new ConnectionError({
      code: 'CONNECTION_FAILED',
      message: 'The event stream was cut off.',
      cause: error,
    });
  } finally {
    silence.end();
    signal?.removeEventListener('abort', onAbort);
    leaving.abort();
  }
}
