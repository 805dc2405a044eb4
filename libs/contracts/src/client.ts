import type { ProblemBody } from './problem.ts';
import type { AnyRoute, BodyIn, ParamsIn, QueryIn, ReplyOf } from './route.ts';

interface Options {
  headers?: Record<string, string>;
  signal?: AbortSignal;
  idempotencyKey?: string;
}

// Only what the route declares can be given, and what it declares must be.
type Input<T extends AnyRoute> = (ParamsIn<T> extends undefined
  ? { params?: never }
  : { params: ParamsIn<T> }) &
  (QueryIn<T> extends undefined ? { query?: never } : { query?: Partial<QueryIn<T>> }) &
  (BodyIn<T> extends undefined ? { body?: never } : { body: BodyIn<T> });

export type Reply<T extends AnyRoute> =
  | (ReplyOf<T> & { ok: true; headers: Headers })
  | { ok: false; status: number; body: ProblemBody; headers: Headers };

const fill = (path: string, params: Record<string, unknown>): string =>
  path.replace(/:([a-z_]+)/g, (_, name: string) => encodeURIComponent(String(params[name])));

/**
 * A caller of the public API, typed by the contracts. Never throws for an HTTP answer; throws what fetch throws
 * when there is none.
 * @param baseUrl without a trailing slash.
 * @param headers sent with every call, for instance `{ 'x-api-key': key }`, or made for each.
 */
export const createClient = (
  baseUrl: string,
  headers: Record<string, string> | ((method: string, pathAndQuery: string) => Record<string, string>) = {},
) => ({
  async call<T extends AnyRoute>(route: T, input: Input<T> & Options): Promise<Reply<T>> {
    const url = new URL(baseUrl + fill(route.path, (input.params ?? {}) as Record<string, unknown>));
    for (const [name, value] of Object.entries((input.query ?? {}) as Record<string, unknown>)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const response = await fetch(url, {
      method: route.method,
      headers: {
        ...(typeof headers === 'function' ? headers(route.method, url.pathname + url.search) : headers),
        ...input.headers,
        ...(input.idempotencyKey === undefined ? {} : { 'idempotency-key': input.idempotencyKey }),
        ...(input.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(input.body === undefined ? {} : { body: JSON.stringify(input.body) }),
      ...(input.signal === undefined ? {} : { signal: input.signal }),
    });
    const text = await response.text();
    const body = text === '' ? undefined : JSON.parse(text);
    return { ok: response.ok, status: response.status, body, headers: response.headers } as Reply<T>;
  },
});
export type Client = ReturnType<typeof createClient>;
