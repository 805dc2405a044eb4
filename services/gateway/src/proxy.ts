import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AnyRoute, Problem, type ServiceName } from '@aitbc/contracts';
import type { Request, Response } from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import type { Agents } from './agents.ts';
import { onceGone } from './gone.ts';

/** The longest long-poll is 25 s, and event streams say something each 15 s: more silence is a fault. */
const SILENCE_MAX_MS = 35_000;
/** Of a body that was refused, so much is read and thrown away before the connection goes. */
const DRAIN_MAX_BYTES = 16 * 1024 * 1024;
/** When we stop: so long do requests have to finish; long-polls and streams do not. */
const GRACE_MS = 1_000;

export type Upstream = Exclude<ServiceName, 'gateway'>;

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

/** @param isMisfit it was not even heard: TLS is set up wrongly */
const asProblem = (error: NodeJS.ErrnoException, waitedMs: number, isMisfit: boolean): Problem => {
  if (
    isMisfit ||
    ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(error.code ?? '')
  ) {
    return new Problem('SERVICE_UNAVAILABLE', 'A part of the coordinator is away; try again shortly.', later);
  }
  if (waitedMs >= SILENCE_MAX_MS || error.code === 'ETIMEDOUT') {
    return new Problem('GATEWAY_TIMEOUT', 'A part of the coordinator took too long to answer.', later);
  }
  return new Problem(
    'BAD_GATEWAY',
    'A part of the coordinator broke off; the request may be sent again.',
    later,
  );
};

/**
 * Passes requests on, bodies and answers unbuffered. A caller that goes away takes its upstream request along.
 * @param onCost told what an answered request cost in rate-limit units: one, unless the service says more.
 */
export const createProxy = (
  urls: Record<Upstream, string>,
  agents: Agents,
  onCost: (response: Response, units: number) => void,
) => {
  /** What is not answered yet, and how to refuse it. */
  const open = new Map<ServerResponse, (problem: Problem) => void>();
  let stopping = false;

  const make = (url: string) => {
    const target = new URL(url);
    return createProxyMiddleware<Request, Response>({
      target,
      agent: agents.of(target),
      proxyTimeout: SILENCE_MAX_MS,
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
            const cost = Number(headers['x-rate-cost'] ?? 1);
            delete headers['x-rate-cost'];
            delete headers['keep-alive'];
            // Two connections, two lives: the caller's ends only if the caller said so.
            headers.connection = response.shouldKeepAlive ? 'keep-alive' : 'close';
            onCost(response, cost);
            if (answer.statusCode === 413) drain(request);
            // The stream is open now, not when its first event comes.
            if (headers['content-type']?.startsWith('text/event-stream') === true) {
              setImmediate(() => response.flushHeaders());
            }
          });
        },
      ],
    });
  };
  const middleware = Object.fromEntries(
    Object.entries(urls).map(([service, url]) => [service, make(url)]),
  ) as Record<Upstream, ReturnType<typeof make>>;

  return {
    pass: (route: AnyRoute, request: Request, response: Response, next: (error?: unknown) => void): void => {
      if (stopping) {
        next(isStopping());
        return;
      }
      // It left while it was counted: whoever is asked now would work, or lease a job, for nobody.
      if (request.socket.destroyed) return;
      const startedAt = performance.now();
      const refuse = (problem: Problem): void => {
        if (!response.headersSent) next(problem);
        // An answer that was cut off must not look like a whole one; one that was refused is whole.
        else if (!response.writableEnded) response.destroy();
      };
      open.set(response, refuse);
      const forget = () => open.delete(response);
      const hearNoMore = onceGone(request.socket, forget);
      response.once('close', () => {
        forget();
        hearNoMore();
      });
      const failed = (error: unknown): void => {
        const target = new URL(urls[route.service as Upstream]);
        const isMisfit = agents.tellFault(target, error as Error) !== null;
        const problem = asProblem(error as NodeJS.ErrnoException, performance.now() - startedAt, isMisfit);
        // It was never reached.
        if (problem.code === 'SERVICE_UNAVAILABLE') onCost(response, 1);
        refuse(problem);
      };
      response.locals.failed = failed;
      void middleware[route.service as Upstream](request, response, (error) => {
        if (error !== undefined) failed(error);
      });
    },
    /** Lets requests finish for a moment, then refuses or ends what is open: polls and streams come back. */
    stop: async (): Promise<void> => {
      stopping = true;
      const until = performance.now() + GRACE_MS;
      while (open.size > 0 && performance.now() < until) await sleep(20);
      for (const refuse of open.values()) refuse(isStopping());
      agents.destroy();
    },
  };
};
export type UpstreamProxy = ReturnType<typeof createProxy>;
