import { randomUUID } from 'node:crypto';
import { CALLER_HEADER, signCaller, speakAs } from '@aitbc/chassis';
import {
  type AnyRoute,
  BODY_LIMIT_BYTES,
  type Caller,
  type Cost,
  forbidden,
  mayCall,
  Problem,
  type RateClass,
  unitsAtMost,
} from '@aitbc/contracts';
import type { Request, RequestHandler, Response } from 'express';
import type { Credential, Credentials, Identity } from '../credentials.ts';
import { onceGone } from '../gone.ts';
import { drain, type UpstreamProxy } from '../proxy.ts';
import {
  type Budget,
  openAiRateHeaders,
  principalOfAddress,
  type RateLimits,
  rateLimited,
  rateLimitHeaders,
  type Taken,
} from '../rate-limits.ts';
import { readAddress } from './address.ts';
import { credentialFor, credentialsFor, readBasicCredential, readCredential } from './credential.ts';
import { hasOneHost, hasOneIdempotencyKey, readRequestId, replaceHeaders } from './headers.ts';
import { hideKey } from './hide-key.ts';
import { type Origin, readOrigin } from './origin.ts';
import type { createRouting } from './routing.ts';
import { askForBody } from './server.ts';

const ALL_METHODS = 'GET, HEAD, POST, PUT, PATCH, DELETE';

export type CountedClass = Exclude<RateClass, 'none'>;

/** Something for browsers and machines that no contract declares: docs, metrics, the queue dashboard. */
export interface Page {
  readonly matches: (path: string, request: Request) => boolean;
  /** The metric's label. */
  readonly label: string;
  /** Answers admin keys alone; a browser may send one as the password of Basic authentication. */
  readonly operatorsOnly?: boolean;
  /** Who needs no key for it, nor TLS. */
  readonly admits?: (request: Request, origin: Origin) => boolean;
  /** Requests a minute of one address, or of one account. */
  readonly perMinute?: number;
  readonly serve: RequestHandler;
}

export interface FrontDependencies {
  readonly routing: ReturnType<typeof createRouting>;
  readonly credentials: Credentials;
  readonly rateLimits: RateLimits;
  readonly limitOf: (rate: CountedClass) => number;
  readonly proxy: UpstreamProxy;
  readonly pages: readonly Page[];
  /** Headers that every answer carries. */
  readonly secure: RequestHandler;
  readonly cors: RequestHandler;
  readonly callerKey: Buffer;
  /** By which keys and sessions end. */
  readonly now: () => number;
  readonly trustedProxies: number;
  readonly demandHttps: boolean;
}

/** Paths that tell how this process is; without limit, so that a full budget never looks like a failure. */
const HEALTH = new Set(['/health', '/health/ready']);

/** The requests of a rate class that count together: an account's, or those of a key with a limit of its own. */
const budgetOf = (rate: CountedClass, who: Identity | null, address: string, limit: number): Budget => {
  if (who === null) return { name: rate, principal: principalOfAddress(address), limit };
  const { account_id, credential_id } = who.caller;
  return who.rateLimit === null
    ? { name: rate, principal: `account:${account_id}`, limit }
    : { name: rate, principal: `key:${credential_id}`, limit: who.rateLimit };
};

/**
 * Sees every request first. Refuses what is malformed, finds out who calls, counts it, and either passes it on to the
 * service that answers it or lets it through to the gateway's own routes: both get the same signed header.
 */
export const createFront = (options: FrontDependencies): RequestHandler => {
  const { routing, credentials, rateLimits, proxy, callerKey } = options;

  const take = async (response: Response, budget: Budget): Promise<void> => {
    const taken = await rateLimits.take(budget);
    setRateHeaders(response, taken);
    if (taken.refused) throw rateLimited(taken);
  };

  /**
   * For a body that holds many: what its size allows is taken before anybody works on it, and what it did not cost
   * given back when the answer tells. Without an answer it stays taken, for the work may have been done.
   */
  const hold = async (request: Request, response: Response, budget: Budget, cost: Cost): Promise<void> => {
    const { 'content-length': bytes } = request.headers;
    const taken = await rateLimits.hold(
      budget,
      unitsAtMost(cost, bytes === undefined ? undefined : Number(bytes)),
    );
    setRateHeaders(response, taken);
    if (taken.refused) throw rateLimited(taken);
    let isSettled = false;
    const settle = (units: number): void => {
      if (isSettled) return;
      isSettled = true;
      const remaining = rateLimits.settle(taken, units);
      if (!response.headersSent) setRateHeaders(response, { ...taken, remaining });
    };
    response.locals.settle = settle;
    // Nobody can have worked on half a body.
    const leave = () => settle(request.complete ? taken.units : 1);
    const hearNoMore = onceGone(request.socket, leave);
    response.once('close', () => {
      hearNoMore();
      leave();
    });
    if (request.socket.destroyed) settle(1);
  };

  /** A wrong credential counts against the address it came from: guessing is not free. */
  const identify = async (
    credential: Credential | null,
    response: Response,
    origin: Origin,
  ): Promise<Identity | null> => {
    if (credential === null) return null;
    try {
      return await credentials.identify(credential, options.now());
    } catch (error) {
      const budget = budgetOf('public', null, origin.address, options.limitOf('public'));
      await take(response, budget);
      throw error;
    }
  };

  const admit = (request: Request, requestId: string, caller: Caller | null): void => {
    replaceHeaders(request, {
      'x-request-id': requestId,
      [CALLER_HEADER]: signCaller(
        callerKey,
        { caller, request_id: requestId, at_ms: Date.now() },
        request.method,
        request.url,
      ),
    });
  };

  const serveRoute = async (
    route: AnyRoute,
    request: Request,
    response: Response,
    next: (error?: unknown) => void,
    origin: Origin,
    requestId: string,
  ): Promise<void> => {
    response.locals.route = route.path;
    speakAs(route, response);
    response.setHeader('cache-control', 'no-store');
    const credential = credentialFor(route, request);
    if (route.alias !== undefined) {
      hideKey(request, credential);
      request.originalUrl = request.url;
    }
    const who = await identify(credential, response, origin);
    const budget =
      route.rate === 'none' ? null : budgetOf(route.rate, who, origin.address, options.limitOf(route.rate));
    // What costs by what it holds waits until it is known to be allowed; a refused one costs one unit.
    const mayPass = mayCall(route, who?.caller ?? null) && !isTooLarge(request, route);
    if (budget !== null) {
      if (route.cost !== undefined && mayPass) await hold(request, response, budget, route.cost);
      else await take(response, budget);
    }
    const caller = who?.caller ?? null;
    if (!mayCall(route, caller)) {
      throw caller === null
        ? new Problem('UNAUTHENTICATED', `Send ${credentialsFor(route)}.`)
        : forbidden(route);
    }
    if (isTooLarge(request, route)) {
      throw new Problem('BODY_TOO_LARGE', 'The body is larger than this route takes.');
    }
    admit(request, requestId, caller);
    askForBody(request, response);
    if (route.service === 'gateway') next();
    else proxy.pass(route, request, response, next);
  };

  const servePage = async (
    page: Page,
    request: Request,
    response: Response,
    next: (error?: unknown) => void,
    origin: Origin,
  ): Promise<void> => {
    response.locals.route = page.label;
    const { label: name, perMinute: limit } = page;
    if (limit !== undefined) {
      await take(response, { name, principal: principalOfAddress(origin.address), limit });
    }
    if (page.operatorsOnly === true && page.admits?.(request, origin) !== true) {
      response.setHeader('www-authenticate', 'Basic realm="AITBC operators", charset="UTF-8"');
      const credential = readCredential(request) ?? readBasicCredential(request);
      const who = await identify(credential, response, origin);
      if (who === null) throw new Problem('UNAUTHENTICATED', 'Send an admin key.');
      if (!who.caller.scopes.includes('admin')) throw new Problem('FORBIDDEN', 'Operators only.');
      response.removeHeader('www-authenticate');
    }
    await page.serve(request, response, next);
  };

  const serve = async (
    request: Request,
    response: Response,
    next: (error?: unknown) => void,
  ): Promise<void> => {
    const requestId = readRequestId(request.headers) ?? randomUUID();
    response.setHeader('x-request-id', requestId);
    options.secure(request, response, nothing);
    const { expect } = request.headers;
    if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
      throw new Problem('EXPECTATION_FAILED', 'Nothing but 100-continue can be expected.');
    }
    if (!hasOneHost(request)) throw new Problem('BAD_REQUEST', 'Exactly one Host header is needed.');
    if (!hasOneIdempotencyKey(request))
      throw new Problem('BAD_REQUEST', 'Send one Idempotency-Key, not several.');
    const { path, query } = readAddress(request.url);
    if (request.method === 'TRACE') {
      response.setHeader('allow', ALL_METHODS);
      throw new Problem('METHOD_NOT_ALLOWED', 'TRACE is not offered here.');
    }
    const origin = readOrigin(request, options.trustedProxies);
    const isHealth = HEALTH.has(path);
    const page = options.pages.find(({ matches }) => matches(path, request));
    const mayBePlain = origin.isLocal || isHealth || page?.admits?.(request, origin) === true;
    if (options.demandHttps && !origin.isEncrypted && !mayBePlain) {
      throw new Problem('HTTPS_REQUIRED', 'Use https; a credential sent without it should be replaced.');
    }
    options.cors(request, response, nothing);
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
      response.status(204).end();
      return;
    }

    // What the services see and what is signed; Express keeps the first form elsewhere.
    request.url = path + query;
    request.originalUrl = request.url;
    if (isHealth) {
      response.locals.route = path;
      return next();
    }
    if (page !== undefined) return servePage(page, request, response, next, origin);
    const found = routing(request.method, path);
    if ('route' in found) return serveRoute(found.route, request, response, next, origin, requestId);
    if (found.other === undefined) throw new Problem('NOT_FOUND', 'No such route.');
    speakAs(found.other, response);
    response.setHeader('allow', found.allowed.join(', '));
    throw new Problem('METHOD_NOT_ALLOWED', `Use ${found.allowed.join(' or ')} here.`);
  };

  return (request, response, next) => {
    serve(request, response, next).catch((error) => {
      drain(request);
      next(error);
    });
  };
};

const nothing = (): void => {};

const setRateHeaders = (response: Response, taken: Taken): void => {
  for (const [name, value] of rateLimitHeaders(taken)) response.setHeader(name, value);
  if (response.locals.speaks !== 'openai') return;
  for (const [name, value] of openAiRateHeaders(taken)) response.setHeader(name, value);
};

/** For the proxy, which learns what a request cost. */
export const settleCost = (response: Response, units: number): void => {
  (response.locals.settle as ((units: number) => void) | undefined)?.(units);
};

const isTooLarge = (request: Request, route: AnyRoute): boolean =>
  Number(request.headers['content-length'] ?? 0) > (route.bodyLimitBytes ?? BODY_LIMIT_BYTES);
