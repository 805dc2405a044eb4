/** One server-sent event. */
export interface SentEvent {
  readonly id: string;
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is for the test to say
  readonly data: any;
}

/** Reads an event stream as a browser would: comments are skipped, the last id is remembered. */
export const openEvents = async (url: string, headers: Record<string, string>) => {
  const leaving = new AbortController();
  const response = await fetch(url, { headers, signal: leaving.signal });
  if (response.status !== 200 || response.body === null)
    throw new Error(`answered ${response.status}: ${await response.text()}`);
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('text/event-stream')) throw new Error(`${type} is no event stream`);

  const seen: SentEvent[] = [];
  async function* read(body: ReadableStream<Uint8Array>): AsyncGenerator<SentEvent> {
    let buffer = '';
    const decoder = new TextDecoder();
    for await (const chunk of body) {
      buffer += decoder.decode(chunk, { stream: true });
      for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
        const lines = buffer.slice(0, end).split('\n');
        buffer = buffer.slice(end + 2);
        const field = (name: string) =>
          lines
            .find((line) => line.startsWith(`${name}:`))
            ?.slice(name.length + 1)
            .trim() ?? '';
        const data = field('data');
        if (data === '') continue;
        const event = { id: field('id'), event: field('event'), data: JSON.parse(data) };
        seen.push(event);
        yield event;
      }
    }
  }
  const events = read(response.body);
  return {
    seen: seen as readonly SentEvent[],
    get lastId(): string {
      return seen.at(-1)?.id ?? '';
    },
    /** Undefined when the stream has ended. */
    next: async (): Promise<SentEvent | undefined> => {
      const { done, value } = await events.next();
      return done === true ? undefined : value;
    },
    /** Those that come until the stream ends. */
    all: async (): Promise<SentEvent[]> => {
      const rest: SentEvent[] = [];
      for await (const event of events) rest.push(event);
      return rest;
    },
    close: () => leaving.abort(),
  };
};
