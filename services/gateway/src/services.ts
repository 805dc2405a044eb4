import { CALLER_HEADER, CERTIFICATE_HEADER, type Dependencies, signCaller } from '@aitbc/chassis';
import { type Caller, newId, operationsRoutes, Problem } from '@aitbc/contracts';
import { tlsFault } from './agents.ts';
import type { Ask, Question } from './ask.ts';
import type { Config } from './config.ts';
import type { Upstream } from './targets.ts';

const ASK_TIMEOUT_MS = 2_000;
/** Health is asked by anyone, as often as they like: the services are asked once a second at most. */
const HEALTH_CACHED_MS = 1_000;
/** Prometheus asks each 15 s or so; several may ask. */
const METRICS_CACHED_MS = 2_000;

export const upstreamUrls = (config: Config): Record<Upstream, readonly string[]> => ({
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

/** What each process of a service counts. */
export type MetricTexts = ReadonlyMap<
  Upstream,
  readonly { readonly process: string; readonly text: string }[]
>;

/** The first answer that is of use; of failures alone the first. @throws what the first threw, when all threw */
const firstGood = async <T>(answers: readonly Promise<T>[], isGood: (answer: T) => boolean): Promise<T> => {
  const settled = await Promise.allSettled(answers);
  const given = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const best = given.find(isGood) ?? given[0];
  if (best === undefined) throw (settled[0] as PromiseRejectedResult).reason;
  return best;
};

/** Asks the services what is not a contract: how they are, what they count, what they could not handle. */
export const createServices = (urls: Record<Upstream, readonly string[]>, askUrl: Ask, callerKey: Buffer) => {
  const names = Object.keys(urls) as Upstream[];
  const ask = (url: string, path: string, init: Omit<Question, 'timeoutMs'> = {}): Promise<Response> =>
    askUrl(new URL(path, url), { ...init, timeoutMs: ASK_TIMEOUT_MS });

  const askOne = async (url: string): Promise<ServiceHealth> => {
    const response = await ask(url, operationsRoutes.ready);
    // That page is open to all; every other request would be refused.
    if (response.headers.has(CERTIFICATE_HEADER)) throw new NoCertificate();
    const body = (await response.json()) as { dependencies?: ServiceHealth['dependencies'] };
    return { ok: response.ok, dependencies: body.dependencies ?? {} };
  };
  /** A service is well when one of its processes is. @throws when none answers at all. */
  const askHealth = (service: Upstream): Promise<ServiceHealth> =>
    firstGood(urls[service].map(askOne), ({ ok }) => ok);
  const health = Object.fromEntries(
    names.map((service) => [service, remembered(HEALTH_CACHED_MS, () => askHealth(service))]),
  ) as Record<Upstream, () => Promise<ServiceHealth>>;

  const metrics = remembered(METRICS_CACHED_MS, async (): Promise<MetricTexts> => {
    const asked = names.map(async (service) => {
      const texts = await Promise.all(
        urls[service].map(async (url) => {
          const text = await ask(url, operationsRoutes.metrics)
            .then((response) => (response.ok ? response.text() : ''))
            .catch(() => '');
          return { process: new URL(url).host, text };
        }),
      );
      return [service, texts] as const;
    });
    return new Map(await Promise.all(asked));
  });

  /** All processes have the same; what is asked twice is done once. @throws when none answers */
  const askInTurn = async (service: Upstream, path: string, init: Omit<Question, 'timeoutMs'>) => {
    let failure: unknown;
    for (const url of urls[service]) {
      try {
        return await ask(url, path, init);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  };

  /** What a route of a service answers this caller, as through the front. @throws when no process answers */
  const askAs = (caller: Caller, service: Upstream, path: string): Promise<Response> => {
    const signed = signCaller(callerKey, { caller, request_id: newId(), at_ms: Date.now() }, 'GET', path);
    return askInTurn(service, path, { headers: { [CALLER_HEADER]: signed } });
  };

  const askAsAdmin = async (service: Upstream, caller: Caller, path: string, body?: unknown) => {
    const method = body === undefined ? 'GET' : 'POST';
    const signed = signCaller(callerKey, { caller, request_id: newId(), at_ms: Date.now() }, method, path);
    const init = {
      method,
      headers: { [CALLER_HEADER]: signed, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    const response = await askInTurn(service, path, init);
    if (response.status === 404) throw new Problem('NOT_FOUND', 'No such dead letter.');
    if (!response.ok) throw new Error(`${service} answered ${response.status}`);
    return response.json();
  };

  /** The result of a completed job, as its client sees it. @throws when jobs does not answer */
  const resultOfJob = async (accountId: string, jobId: string): Promise<unknown> => {
    const path = `/v1/client/jobs/${jobId}/receipts`;
    const caller: Caller = {
      account_id: accountId,
      scopes: ['client'],
      credential_id: null,
      wallet_address: null,
      spend_cap_minor: null,
    };
    const signed = signCaller(callerKey, { caller, request_id: newId(), at_ms: Date.now() }, 'GET', path);
    const answers = urls.jobs.map((url) => ask(url, path, { headers: { [CALLER_HEADER]: signed } }));
    const response = await firstGood(answers, ({ ok }) => ok);
    if (response.status === 404) return undefined;
    if (!response.ok) throw new Error(`jobs answered ${response.status}`);
    const { items } = (await response.json()) as { items: { result: unknown }[] };
    return items[0]?.result;
  };

  return {
    names,
    health,
    resultOfJob,
    askAs,
    /** The metrics of every process that answers, as text. */
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
