import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AnyRoute, Problem } from '@aitbc/contracts';
import type { Request, Response } from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { isUnsent } from './agents.ts';
import { onceGone } from './gone.ts';
import type { Target, Targets, Upstream } from './targets.ts';

/** The longest long-poll is 25 s, and event streams say something each 15 s: more silence is a fault. */
const SILENCE_MAX_MS = 35_000;
/** Of a body that was refused, so much is read and thrown away before the connection goes. */
const DRAIN_MAX_BYTES = 16 * 1024 * 1024;
/** Processes of a service that one request is offered to at most; each that refuses is left out for the next one. */
const TRIES_MAX = 8;
/** When we stop: so long do requests have to finish; long-polls and streams do not. */
const GRACE_MS = 1_000;

/** Lets a refused upload end by itself, so that its sender reads the answer, but not go on without end. */
export const drain = (request: IncomingMessage): void => {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > DRAIN_MAX_BYTES) request.socket.destroy();
  });
};

const later = { retryAfterSeconds: 1 };

const isStopping = () => new Problem('SERVICE_UNAVAILABLE', 'This gateway is stopping; try again.', later);

const asProblem = (error: NodeJS.ErrnoException, waitedMs: number, silenceMs: number): Problem => {
  if (isUnsent(error) && error.code !== 'ETIMEDOUT') {
    return new Problem('SERVICE_UNAVAILABLE', 'A part of the coordinator is away; try again shortly.', later);
  }
  if (waitedMs >= silenceMs || error.code === 'ETIMEDOUT') {
    return new Problem('GATEWAY_TIMEOUT', 'A part of the coordinator took too long to answer.', later);
  }
  return new Problem(
    'BAD_GATEWAY',
    'A part of the coordinator broke off; the request may be sent again.',
    later,
  );
};

/** The other end broke off before it said anything: whether it worked on the request is not known. */
const BROKEN_OFF = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED']);

/** Asking twice is asking once: what may be sent again though it was sent. It has no body that was read, and takes no work. */
const mayRepeat = (route: AnyRoute, { method, headers }: IncomingMessage): boolean =>
  route.takes !== true &&
  (method === 'GET' || method === 'HEAD') &&
  Number(headers['content-length'] ?? 0) === 0 &&
  headers['transfer-encoding'] === undefined;

/**
 * Passes requests on, bodies and answers unbuffered. A caller that goes away takes its upstream request along. What
 * could not be sent to one process of a service goes to the next; what was sent is sent again only if it is a GET or HEAD.
 * @param onCost told what an answered request cost in rate-limit units: one, unless the service says more.
 * @param doorSilenceMs the most silence on OpenAI's routes, where a model thinks.
 */
export const createProxy = (
  targets: Targets,
  onCost: (response: Response, units: number) => void,
  doorSilenceMs: number,
) => {
  /** What is not answered yet, and how to refuse it. */
  const open = new Map<ServerResponse, (problem: Problem) => void>();
  let stopping = false;

  const make = (target: Target, silenceMs: number) =>
    createProxyMiddleware<Request, Response>({
      target: target.url,
      agent: target.agent,
      proxyTimeout: silenceMs,
      ejectPlugins: true,
      plugins: [
        (server) => {
          // With a listener the proxy tells it alone, and not its caller.
          server.on('error', (error, _request, response) => {
            (response as Response).locals.failed(error);
          });
          // The proxy hears of callers that go away from now on only, and of pipelined ones not at all.
          server.on('proxyReq', (asked, request) => {
            const end = () => asked.destroy();
            if (request.socket.destroyed) end();
            else asked.once('close', onceGone(request.socket, end));
          });
          server.on('proxyRes', (answer, request, response) => {
            const { headers } = answer;
            if (headers.connection === 'close') targets.endsConnections(target);
            const cost = Number(headers['x-rate-cost'] ?? 1);
            delete headers['x-rate-cost'];
            delete headers['keep-alive'];
            // Two connections, two lives: the caller's ends only if the caller said so.
            headers.connection = response.shouldKeepAlive ? 'keep-alive' : 'close';
            onCost(response, cost);
            if (answer.statusCode === 413) drain(request);
            // The stream is open now, not when its first event comes.
            if (headers['content-type']?.startsWith('text/event-stream') === true) {
              // A stream says something every 10 or 15 s, whoever waits for it.
              (answer as IncomingMessage & { req?: ClientRequest }).req?.setTimeout(SILENCE_MAX_MS);
              setImmediate(() => response.flushHeaders());
            }
          });
        },
      ],
    });
  /** By the silence that they bear, of which there are two. */
  const middleware = new Map<number, Map<Target, ReturnType<typeof make>>>();
  const middlewareOf = (target: Target, silenceMs: number) => {
    const ofSilence = middleware.get(silenceMs) ?? new Map<Target, ReturnType<typeof make>>();
    middleware.set(silenceMs, ofSilence);
    const made = ofSilence.get(target) ?? make(target, silenceMs);
    ofSilence.set(target, made);
    return made;
  };

  return {
    pass: (route: AnyRoute, request: Request, response: Response, next: (error?: unknown) => void): void => {
      if (stopping) {
        next(isStopping());
        return;
      }
      // It left while it was counted: whoever is asked now would work, or lease a job, for nobody.
      if (request.socket.destroyed) return;
      const startedAt = performance.now();
      const silenceMs = route.speaks === 'openai' ? doorSilenceMs : SILENCE_MAX_MS;
      const refuse = (problem: Problem): void => {
        if (!response.headersSent) next(problem);
        // An answer that was cut off must not look like a whole one; one that was refused is whole.
        else if (!response.writableEnded) response.destroy();
      };
      open.set(response, refuse);
      const tried = new Set<Target>();
      let current: Target | undefined;
      const leave = (): void => {
        if (current !== undefined) current.open -= 1;
        current = undefined;
      };
      const forget = () => {
        open.delete(response);
        leave();
      };
      const hearNoMore = onceGone(request.socket, forget);
      response.once('close', () => {
        forget();
        hearNoMore();
      });
      const fail = (error: unknown): void => {
        const problem = asProblem(error as NodeJS.ErrnoException, performance.now() - startedAt, silenceMs);
        // It was never reached.
        if (isUnsent(error)) onCost(response, 1);
        refuse(problem);
      };
      const ask = (target: Target): void => {
        tried.add(target);
        current = target;
        target.open += 1;
        const failed = (error: unknown): void => {
          // What an earlier try has still to say.
          if (current !== target) return;
          leave();
          targets.tellFault(target, error);
          if (isUnsent(error)) targets.leaveOut(target);
          const mayGoOn =
            isUnsent(error) ||
            (mayRepeat(route, request) &&
              BROKEN_OFF.has((error as NodeJS.ErrnoException).code ?? '') &&
              // Silence without end looks the same; whoever waited so long need not wait twice.
              performance.now() - startedAt < silenceMs);
          const isWanted = !stopping && !response.headersSent && !request.socket.destroyed;
          const other =
            mayGoOn && isWanted && tried.size < TRIES_MAX
              ? targets.pick(route.service as Upstream, tried)
              : undefined;
          if (other === undefined) fail(error);
          else ask(other);
        };
        response.locals.failed = failed;
        void middlewareOf(target, silenceMs)(request, response, (error) => {
          if (error !== undefined) failed(error);
        });
      };
      const first = targets.pick(route.service as Upstream, tried);
      if (first === undefined) throw new Error(`${route.service} has no address`);
      ask(first);
    },
    /** Lets requests finish for a moment, then refuses or ends what is open: polls and streams come back. */
    stop: async (): Promise<void> => {
      stopping = true;
      const until = performance.now() + GRACE_MS;
      while (open.size > 0 && performance.now() < until) await sleep(20);
      for (const refuse of open.values()) refuse(isStopping());
    },
  };
};
export type UpstreamProxy = ReturnType<typeof createProxy>;
