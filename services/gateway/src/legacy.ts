import type { Handlers, Store } from '@aitbc/chassis';
import type { legacyGatewayRoutes } from '@aitbc/contracts';
import { readMetric } from './metrics.ts';
import { remembered, type Services } from './services.ts';

/** Every program of the original asks this first, and some of them every few seconds. */
const REMEMBERED_MS = 2_000;

export const legacyHandlers = (options: {
  services: Services;
  store: Store;
  isRedisThere: () => boolean;
  nodeEnv: string;
}): Handlers<typeof legacyGatewayRoutes> => {
  const { services, store, isRedisThere, nodeEnv } = options;
  const look = remembered(REMEMBERED_MS, async () => ({
    status: 200 as const,
    body: {
      status: 'ok' as const,
      env: nodeEnv,
      db: (await store.writeProblem()) === null ? 'ok' : 'error',
      redis: isRedisThere() ? 'ok' : 'error',
      miners_online: readMetric(await services.metrics(), 'active_miners') ?? 0,
    },
  }));
  return { legacyHealth: look, legacyApiHealth: look };
};
