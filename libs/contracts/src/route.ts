import type { z } from 'zod';
import type { Caller, Scope } from './caller.ts';
import type { ServiceName } from './names.ts';
import { Problem, type ProblemCode } from './problem.ts';

/** Who may call a route. `public` needs no credential, but takes one when it is there. */
export type Who = Scope | 'public';
/** Which rate-limit budget a route draws from; `none` is for health and docs only. */
export type RateClass = 'client' | 'miner' | 'stream' | 'user' | 'public' | 'none';
export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** 256 KB: a prompt or a page of text fits, a film does not. */
export const BODY_LIMIT_BYTES = 256 * 1024;
/** 4 MB: 1,000 jobs of 4 KB in one batch, or one with a few pictures. */
export const BATCH_BODY_LIMIT_BYTES = 4 * 1024 * 1024;

/** One unit for every `itemsPerUnit`, of which a body holds `itemsMax` at most. */
export interface Cost {
  readonly itemsPerUnit: number;
  readonly itemsMax: number;
}
/** The shortest item of a JSON list, with its comma. */
const ITEM_BYTES_MIN = 2;

/** What `items` cost. */
export const unitsOf = ({ itemsPerUnit }: Cost, items: number): number =>
  Math.max(1, Math.ceil(items / itemsPerUnit));

/** What a body of so many bytes costs at most; of unknown length without `bytes`. */
export const unitsAtMost = (cost: Cost, bytes: number = Number.POSITIVE_INFINITY): number =>
  unitsOf(cost, Math.min(cost.itemsMax, Math.ceil(bytes / ITEM_BYTES_MIN)));

type Schema = z.ZodType;
type Responses = { readonly [status: number]: Schema };

/**
 * One contract per route. From this value come validation, the handler's types, the client, OpenAPI,
 * and the gateway's routing, required scope and rate class.
 */
export interface Route<
  P extends Schema = Schema,
  Q extends Schema = Schema,
  B extends Schema = Schema,
  R extends Responses = Responses,
> {
  /** `<service>.<verb>`: the OpenAPI operationId, the span and the metric name. */
  readonly name: string;
  readonly service: ServiceName;
  readonly method: Method;
  /** Express style: `/v1/client/jobs/:job_id`. */
  readonly path: string;
  readonly tag: string;
  readonly summary: string;
  readonly description?: string;
  readonly who: readonly Who[];
  readonly rate: RateClass;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly bodyLimitBytes?: number;
  /** For a body that holds many: what it costs beyond one rate-limit unit. */
  readonly cost?: Cost;
  /** The array of the body whose items are answered one by one: what is wrong with one stops no other. */
  readonly itemsField?: string;
  /** By status. A schema of `z.void()` stands for an empty body. */
  readonly responses: R;
  /** Codes beyond those every route can give (401, 403, 404, 422, 429, 5xx). */
  readonly errors?: readonly ProblemCode[];
  /** Takes an Idempotency-Key. Every POST that creates or moves something. */
  readonly idempotent?: boolean;
  /** Answers as `text/event-stream`; the response schema is that of one event's data. */
  readonly stream?: boolean;
  /** Answers as `application/x-ndjson`, however long; the response schema is that of one line. */
  readonly lines?: boolean;
  /** A GET that hands out what nobody else gets then, such as a lease: there is no HEAD of it. */
  readonly takes?: boolean;
  /** Speaks as OpenAI's API does: its errors have that shape, and it may be silent for as long as a model thinks. */
  readonly speaks?: 'openai';
  /**
   * A second way to something, in the words of the programs that were written for the original coordinator; what to use
   * instead. Lenient: a missing body is an empty one, and what is sent beyond the schema is not looked at.
   */
  readonly alias?: string;
  /** Reached only from inside the stack, never through the gateway. */
  readonly internal?: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: the erased form, for lists and for inference; never the type of a value
type Erased = any;
export type AnyRoute = Route<Erased, Erased, Erased, Erased>;

/** Declares a contract and checks what types cannot. Throws at import time, so a bad contract never starts. */
export const defineRoute = <
  P extends Schema = z.ZodUndefined,
  Q extends Schema = z.ZodUndefined,
  B extends Schema = z.ZodUndefined,
  const R extends Responses = Responses,
>(
  route: Route<P, Q, B, R>,
): Route<P, Q, B, R> => {
  const names = [...route.path.matchAll(/:([a-z_]+)/g)].map((match) => match[1]);
  if (names.length > 0 && route.params === undefined) throw new Error(`${route.name}: params schema missing`);
  if (route.idempotent === true && route.method !== 'POST')
    throw new Error(`${route.name}: only POST is idempotent by key`);
  if (!route.name.startsWith(`${route.service}.`))
    throw new Error(`${route.name}: must start with its service`);
  return route;
};

export type ParamsOf<T extends AnyRoute> =
  T extends Route<infer P, Erased, Erased, Erased> ? z.output<P> : never;
export type QueryOf<T extends AnyRoute> =
  T extends Route<Erased, infer Q, Erased, Erased> ? z.output<Q> : never;
export type BodyOf<T extends AnyRoute> =
  T extends Route<Erased, Erased, infer B, Erased> ? z.output<B> : never;
export type ParamsIn<T extends AnyRoute> =
  T extends Route<infer P, Erased, Erased, Erased> ? z.input<P> : never;
export type QueryIn<T extends AnyRoute> =
  T extends Route<Erased, infer Q, Erased, Erased> ? z.input<Q> : never;
export type BodyIn<T extends AnyRoute> =
  T extends Route<Erased, Erased, infer B, Erased> ? z.input<B> : never;

/** Every (status, body) pair a handler of the route may answer. */
export type ReplyOf<T extends AnyRoute> =
  T extends Route<Erased, Erased, Erased, infer R>
    ? { [S in keyof R & number]: { status: S; body: z.input<R[S]> } }[keyof R & number]
    : never;

/** Whether a body may be left out: nothing in it is required, or it is a route of the original. */
export const mayOmitBody = (route: AnyRoute): boolean =>
  route.alias !== undefined || route.body?.safeParse({}).success === true;

/** The scopes rule: a user session also acts as a client on what its account owns. */
export const mayCall = (route: AnyRoute, caller: Caller | null): boolean => {
  if (route.who.includes('public')) return true;
  if (caller === null) return false;
  return caller.scopes.some(
    (scope) => route.who.includes(scope) || (scope === 'user' && route.who.includes('client')),
  );
};

/** The refusal of a credential that is good and may not call the route: says which one may. */
export const forbidden = (route: AnyRoute): Problem => {
  const scopes = route.who.filter((who) => who !== 'user' && who !== 'public');
  const key = scopes.length === 0 ? [] : [`a key with the scope ${scopes.join(' or ')}`];
  const session = route.who.includes('user') || route.who.includes('client') ? ['a user session'] : [];
  return new Problem(
    'FORBIDDEN',
    `This credential may not do that; it takes ${[...key, ...session].join(' or ')}.`,
  );
};
