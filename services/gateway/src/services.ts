import { CALLER_HEADER, CERTIFICATE_HEADER, type Dependencies, signCaller } from '@aitbc/chassis';
import { type Caller, newId, operationsRoutes, Problem } from '@aitbc/contracts';
import { tlsFault } from './agents.ts';
import type { Ask } from './ask.ts';
import type { Config } from './config.ts';
import type { Upstream } from './proxy.ts';

const ASK_TIMEOUT_MS = 2_000;
/** Health is asked by anyone, as often as they like: the services are asked once a second at most. */
const HEALTH_CACHED_MS = 1_000;
/** Prometheus asks each 15 s or so; several may ask. */
const METRICS_CACHED_MS = 2_000;

export const upstreamUrls = (config: Config): Record<Upstream, string> => ({
  jobs: config.JOBS_URL,
  miners: config.MINERS_URL,
  market: config.MARKET_URL,
  payments: config.PAYMENTS_URL,
  governance: config.GOVERNANCE_URL,
});

/** The last answer for a while, and one question at a time. */
export const remembered = <T>(ms: number, ask: () => Promise<T>): (() => Promise<T>) => {
  let answer: Promise<T> | undefined;
  let until = 0;
  return () => {
    if (answer === undefined || performance.now() > until) {
      until = Number.POSITIVE_INFINITY;
      answer = ask().finally(() => {
        until = performance.now() + ms;
      });
    }
    return answer;
  };
};

class NoCertificate extends Error {
  override readonly message = 'asks for a client certificate: set SERVICES_CERT and SERVICES_KEY';
}

export interface ServiceHealth {
  readonly ok: boolean;
  readonly dependencies: Record<string, { ok: boolean; required: boolean; message: string | null }>;
}

/** Asks the services what is not a contract: how they are, what they count, what they could not handle. */
export const createServices = (urls: Record<Upstream, string>, askUrl: Ask, callerKey: Buffer) => {
  const names = Object.keys(urls) as Upstream[];
  const ask = (
    service: Upstream,
    path: string,
    init: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Response> => askUrl(new URL(path, urls[service]), { ...init, timeoutMs: ASK_TIMEOUT_MS });

  /** @throws when the service does not answer at all. */
  const askHealth = async (service: Upstream): Promise<ServiceHealth> => {
    const response = await ask(service, operationsRoutes.ready);
    // That page is open to all; every other request would be refused.
    if (response.headers.has(CERTIFICATE_HEADER)) throw new NoCertificate();
    const body = (await response.json()) as { dependencies?: ServiceHealth['dependencies'] };
    return { ok: response.ok, dependencies: body.dependencies ?? {} };
  };
  const health = Object.fromEntries(
    names.map((service) => [service, remembered(HEALTH_CACHED_MS, () => askHealth(service))]),
  ) as Record<Upstream, () => Promise<ServiceHealth>>;

  const metrics = remembered(METRICS_CACHED_MS, async (): Promise<string[]> => {
    const texts = await Promise.allSettled(
      names.map(async (service) => {
        const response = await ask(service, operationsRoutes.metrics);
        return response.ok ? response.text() : '';
      }),
    );
    return texts.map((text) => (text.status === 'fulfilled' ? text.value : ''));
  });

  const askAsAdmin = async (service: Upstream, caller: Caller, path: string, body?: unknown) => {
    const method = body === undefined ? 'GET' : 'POST';
    const signed = signCaller(callerKey, { caller, request_id: newId(), at_ms: Date.now() }, method, path);
    const response = await ask(service, path, {
      method,
      headers: { [CALLER_HEADER]: signed, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (response.status === 404) throw new Problem('NOT_FOUND', 'No such dead letter.');
    if (!response.ok) throw new Error(`${service} answered ${response.status}`);
    return response.json();
  };

  return {
    names,
    health,
    /** The metrics of every service that answers, as text. */
    metrics,
    /** @param before the id of a dead letter, to go on after it. */
    deadLetters: (service: Upstream, caller: Caller, before?: string) =>
      askAsAdmin(
        service,
        caller,
        operationsRoutes.deadLetters + (before === undefined ? '' : `?before=${encodeURIComponent(before)}`),
      ) as Promise<{ items: unknown[] }>,
    actOnDeadLetter: (service: Upstream, caller: Caller, id: string, action: 'replay' | 'drop') =>
      askAsAdmin(service, caller, operationsRoutes.deadLetters, { id, action }),
    /** Each by name; all are required, for each has routes of its own. */
    dependencies: (): Dependencies =>
      Object.fromEntries(
        names.map((service) => [
          service,
          {
            required: true,
            check: async () => {
              const answer = await health[service]().catch((error: Error) =>
                error instanceof NoCertificate ? error.message : (tlsFault(error) ?? 'does not answer'),
              );
              if (typeof answer === 'string') return answer;
              if (answer.ok) return null;
              const failed = Object.entries(answer.dependencies).filter(([, one]) => one.required && !one.ok);
              return `is not ready: ${failed.map(([name]) => name).join(', ')}`;
            },
          },
        ]),
      ),
  };
};
export type Services = ReturnType<typeof createServices>;
