import type { Express } from 'express';
import type { Metrics } from './metrics.ts';

/** One thing a service leans on. `required`: requests fail without it, so readiness does too. */
export interface Dependency {
  readonly required: boolean;
  /** @returns null when well, or a sentence that says what is wrong. */
  readonly check: () => Promise<string | null> | string | null;
}
export type Dependencies = Record<string, Dependency>;

export const checkHealth = async (service: string, dependencies: Dependencies) => {
  const entries = await Promise.all(
    Object.entries(dependencies).map(async ([name, { required, check }]) => {
      const message = await Promise.resolve()
        .then(check)
        .catch((error: unknown) => String((error as Error).message ?? error));
      return [name, { ok: message === null, required, message }] as const;
    }),
  );
  const isUp = entries.every(([, entry]) => entry.ok || !entry.required);
  return {
    status: isUp ? ('ok' as const) : ('unavailable' as const),
    service,
    dependencies: Object.fromEntries(entries),
  };
};

/** Routes that every process has: /health, /health/ready, /metrics. */
export const healthRoutes =
  (service: string, metrics: Metrics, dependencies: Dependencies) =>
  (app: Express): void => {
    app.get('/health', (_request, response) => void response.json({ status: 'ok', service }));
    app.get('/health/ready', async (_request, response) => {
      const health = await checkHealth(service, dependencies);
      response.status(health.status === 'ok' ? 200 : 503).json(health);
    });
    app.get('/metrics', async (_request, response) => {
      response.type('text/plain; version=0.0.4').send(await metrics.registry.metrics());
    });
  };
