export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is for the test to say
  readonly body: any;
  readonly text: string;
  readonly headers: Headers;
}

/** A program that was written for the original coordinator: it knows paths, a key, and what it reads of an answer. */
export const programOf = (
  coordinator: { readonly url: string },
  key?: string,
  more: Record<string, string> = {},
) => {
  const ask = async (
    method: string,
    path: string,
    { body, headers }: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Answer> => {
    const response = await fetch(coordinator.url + path, {
      method,
      headers: {
        ...(key === undefined ? {} : { 'x-api-key': key }),
        // They say so of bodies that are not there.
        'content-type': 'application/json',
        ...more,
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      text,
      body: text === '' ? undefined : JSON.parse(text),
      headers: response.headers,
    };
  };
  return {
    get: (path: string, headers?: Record<string, string>) =>
      ask('GET', path, headers === undefined ? {} : { headers }),
    post: (path: string, body?: unknown, headers?: Record<string, string>) =>
      ask('POST', path, { body, ...(headers === undefined ? {} : { headers }) }),
    put: (path: string, body?: unknown) => ask('PUT', path, { body }),
    remove: (path: string) => ask('DELETE', path),
  };
};
export type Program = ReturnType<typeof programOf>;
