import type { AnyRoute } from '../route.ts';
import { doorRoutes } from './door.ts';
import { gatewayRoutes } from './gateway.ts';
import { governanceRoutes } from './governance.ts';
import { jobsRoutes } from './jobs.ts';
import { marketRoutes } from './market.ts';
import { minersRoutes } from './miners.ts';
import { operationsRoutes } from './operations.ts';
import { paymentsRoutes } from './payments.ts';
import { webhookRoutes } from './webhooks.ts';

export const routes = {
  jobs: { ...jobsRoutes, ...doorRoutes },
  miners: minersRoutes,
  market: marketRoutes,
  payments: paymentsRoutes,
  governance: governanceRoutes,
  gateway: { ...gatewayRoutes, ...webhookRoutes },
} as const;

/** Every public contract. A path that is not here is 404 at the door. */
// Erased by a cast: letting the compiler find out that every route is an AnyRoute costs it many seconds.
export const allRoutes: readonly AnyRoute[] = Object.values(
  routes as unknown as Record<string, Record<string, AnyRoute>>,
).flatMap((group) => Object.values(group));
export { operationsRoutes };
