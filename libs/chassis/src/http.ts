import {
  type AnyRoute,
  BODY_LIMIT_BYTES,
  type BodyOf,
  type Caller,
  type Dialect,
  dialects,
  forbidden,
  type Issue,
  issuesProblem,
  type JsonIssue,
  mayCall,
  mayOmitBody,
  notFound,
  type ParamsOf,
  Problem,
  type QueryOf,
  type ReplyOf,
  validationProblem,
} from '@aitbc/contracts';
import express, { type RequestHandler, type Response } from 'express';
import type { z } from 'zod';
import { type Received, readBody, textOf } from './body.ts';
import { CALLER_HEADER, type SignedCaller, verifyCaller } from './caller.ts';
import { type Abridged, type Write, withIdempotency } from './idempotency.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { errorHandler, speakAs } from './problems.ts';
import type { Store } from './store/index.ts';

const QUERY_LENGTH_MAX = 4_096;

/** What a handler gets: the parsed parts of the request, who calls, and the way to write. */
export interface Context<T extends AnyRoute> {
  readonly params: ParamsOf<T>;
  readonly query: QueryOf<T>;
  readonly body: BodyOf<T>;
  /** The body as it was sent, for what is given on without a change. Decoded anew at each call. */
  bodyText(): string;
  /** Who calls. On a `public` route it may be nobody: see {@link Context.anyone}. */
  readonly caller: Caller;
  readonly anyone: Caller | null;
  readonly requestId: string;
  readonly lastEventId: string | undefined;
  /**
   * On a route that answers item by item (`itemsField`): what JSON could not hold of an item, by its index. Each is a
   * refusal of that item alone.
   */
  readonly itemIssues: ReadonlyMap<number, readonly Issue[]>;
  /** Aborts when the caller went away. */
  readonly signal: AbortSignal;
  /**
   * Runs the one write of a request. With an Idempotency-Key the answer is stored in the same transaction, and a
   * repeated request gets it again without running `fn`.
   * @param abridged how that answer is kept, where it is not as a whole
   */
  write(fn: Write<T>, abridged?: Abridged): Promise<ReplyOf<T>>;
  /** The raw response: for what is no JSON that we write, as event streams. The handler then returns null. */
  readonly response: Response;
}

export type Handler<T extends AnyRoute> = (
  context: Context<T>,
) => Promise<ReplyOf<T> | null> | ReplyOf<T> | null;

/** A handler for every contract of a service: a missing one does not compile. */
export type Handlers<R extends Record<string, AnyRoute>> = { [K in keyof R]: Handler<R[K]> };

const parsePart = <S extends z.ZodType>(
  schema: S | undefined,
  value: unknown,
  prefix: string,
): z.output<S> | undefined => {
  if (schema === undefined) return undefined;
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw validationProblem(parsed.error, prefix);
  return parsed.data;
};

/** What a missing body means where that is no mistake. */
const NO_BODY: NonNullable<Received['json']> = { value: {}, issues: [] };

const NO_ISSUES: ReadonlyMap<number, readonly Issue[]> = new Map();

/**
 * @returns those of single items, which the handler answers.
 * @throws Problem VALIDATION_ERROR for all others.
 */
const refuseUnkept = (
  found: readonly JsonIssue[],
  itemsField: string | undefined,
): ReadonlyMap<number, readonly Issue[]> => {
  if (found.length === 0) return NO_ISSUES;
  const ofItems = new Map<number, Issue[]>();
  const issues: Issue[] = [];
  for (const { path, message } of found) {
    const [field, index, ...rest] = path;
    if (field === itemsField && typeof index === 'number' && rest.length > 0) {
      const known = ofItems.get(index) ?? [];
      ofItems.set(index, known);
      known.push({ path: rest.join('.'), message });
    } else issues.push({ path: path.join('.'), message });
  }
  if (issues.length > 0) throw issuesProblem(issues);
  return ofItems;
};

const serve = (
  route: AnyRoute,
  handler: Handler<AnyRoute>,
  options: { callerKey: Buffer; store: Store; idempotencyMs: number; checkAnswers: boolean; legacy: boolean },
): RequestHandler[] => {
  const dialect: Dialect = (options.legacy ? dialects[route.name] : undefined) ?? {};
  const canOmitBody = mayOmitBody(route);
  // Before the body: it may take longer to arrive than the gateway's word is good for.
  const verify: RequestHandler = (request, response, next) => {
    speakAs(route, response);
    response.locals.signed = verifyCaller(
      options.callerKey,
      request.headers[CALLER_HEADER],
      request.method,
      request.originalUrl,
      Date.now(),
    );
    next();
  };
  const answer = async (request: Received, response: Response): Promise<void> => {
    const signed = response.locals.signed as SignedCaller;
    if (!mayCall(route, signed.caller)) {
      throw signed.caller === null
        ? new Problem('UNAUTHENTICATED', 'A credential is required.')
        : forbidden(route);
    }
    response.setHeader('x-request-id', signed.request_id);

    const params = route.params?.safeParse(request.params);
    // An id that cannot exist is an object that does not exist.
    if (params !== undefined && !params.success) throw notFound('object');
    const asked = { params: params?.data ?? {}, query: request.query as Record<string, unknown> };
    const query = parsePart(route.query, dialect.query?.(asked.query) ?? request.query, 'query');
    const isLenient = route.alias !== undefined;
    const json = request.json ?? (canOmitBody ? NO_BODY : undefined);
    if (route.body !== undefined && json === undefined)
      throw new Problem('INVALID_JSON', 'A JSON body is required.');
    const itemIssues = refuseUnkept(json?.issues ?? [], route.itemsField);
    if (route.body === undefined && !isLenient && Object.keys(json?.value ?? {}).length > 0) {
      throw issuesProblem(
        Object.keys(json?.value ?? {})
          .slice(0, 20)
          .map((path) => ({ path, message: 'unknown field' })),
        'This route takes no body.',
      );
    }
    const said = dialect.body === undefined ? json?.value : dialect.body(json?.value, asked);
    const body = parsePart(route.body, said, '');

    const gone = new AbortController();
    // Not after a whole answer: an abort makes an error with a stack, 50 µs a request.
    response.on('close', () => {
      if (!response.writableFinished) gone.abort();
    });
    const { caller } = signed;
    const reply = await handler({
      params: params?.data,
      query,
      body,
      bodyText: () => textOf(request),
      get caller(): Caller {
        if (caller === null) throw new Problem('UNAUTHENTICATED', 'A credential is required.');
        return caller;
      },
      anyone: caller,
      requestId: signed.request_id,
      itemIssues,
      lastEventId: request.get('last-event-id'),
      signal: gone.signal,
      response,
      write: (fn: Write<AnyRoute>, abridged?: Abridged) => {
        const asked = { request, params: params?.data, query, body: json?.value };
        return options.store.transact<ReplyOf<AnyRoute>>(
          route.name,
          withIdempotency(route, caller, asked, fn, options.idempotencyMs, abridged),
        );
      },
    });
    if (reply === null) return;
    if (options.checkAnswers) {
      const schema = route.responses[reply.status] as z.ZodType | undefined;
      if (schema === undefined) throw new Error(`${route.name} declares no answer ${reply.status}`);
      schema.parse(reply.body);
    }
    if (dialect.answer !== undefined && reply.body !== undefined) {
      response.status(reply.status).json(dialect.answer(reply.body as Record<string, unknown>, asked));
      return;
    }
    if (reply.body === undefined) response.status(reply.status).end();
    else response.status(reply.status).json(reply.body);
  };
  return [
    verify,
    readBody(route.bodyLimitBytes ?? BODY_LIMIT_BYTES),
    (request, response, next) => {
      answer(request, response).catch(next);
    },
  ];
};

/**
 * The Express app of a service: every contract with its handler, validation before and (in tests) after it,
 * the caller header checked on every request.
 */
export const createHttp = <R extends Record<string, AnyRoute>>(options: {
  routes: R;
  handlers: Handlers<R>;
  /** Sees every request first; it answers, or lets it through to this service's own routes. */
  front?: RequestHandler;
  operations: (app: express.Express) => void;
  callerKey: Buffer;
  store: Store;
  /** For how long the answer to an Idempotency-Key is kept. */
  idempotencyMs: number;
  log: Log;
  metrics: Metrics;
  /** Parse our own answers too. */
  checkAnswers: boolean;
  /** Also for programs that were written for the original coordinator. */
  legacy: boolean;
}): express.Express => {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  // As the gateway routes: a path means one route, whoever reads it.
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.use((request, response, next) => {
    const startedAt = performance.now();
    response.on('finish', () => {
      const labels = {
        method: request.method,
        route:
          (response.locals.route as string | undefined) ??
          (request.route as { path?: string } | undefined)?.path ??
          'unmatched',
        status: response.statusCode,
      };
      options.metrics.requests.inc(labels);
      options.metrics.requestDuration.observe(labels, (performance.now() - startedAt) / 1_000);
    });
    next();
  });
  if (options.front !== undefined) app.use(options.front);
  app.use((request, _response, next) => {
    next(
      request.url.length > QUERY_LENGTH_MAX
        ? new Problem('URI_TOO_LONG', 'The address is too long.')
        : undefined,
    );
  });
  options.operations(app);
  for (const [key, route] of Object.entries<AnyRoute>(options.routes)) {
    if (route.alias !== undefined && !options.legacy) continue;
    const handler = options.handlers[key as keyof R] as unknown as Handler<AnyRoute>;
    const method = route.method.toLowerCase() as 'get' | 'post' | 'put' | 'patch' | 'delete';
    app[method](route.path, ...serve(route, handler, options));
  }
  app.use((_request, _response, next) => next(new Problem('NOT_FOUND', 'No such route.')));
  app.use(errorHandler(options.log));
  return app;
};
