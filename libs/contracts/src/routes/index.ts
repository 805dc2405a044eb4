import type { AnyRoute } from '../route.ts';
import { auditRoutes } from './audit.ts';
import { doorRoutes } from './door.ts';
import { gatewayRoutes } from './gateway.ts';
import { governanceRoutes } from './governance.ts';
import { jobsRoutes } from './jobs.ts';
import { legacyJobsRoutes } from './legacy/jobs.ts';
import { legacyMinersRoutes } from './legacy/miners.ts';
import {
  legacyGatewayRoutes,
  legacyMarketRoutes,
  legacyPaymentsRoutes,
  legacyReceiptsRoutes,
} from './legacy/public.ts';
import { marketRoutes } from './market.ts';
import { minersRoutes } from './miners.ts';
import { operationsRoutes } from './operations.ts';
import { paymentsRoutes } from './payments.ts';
import { webhookRoutes } from './webhooks.ts';

export const routes = {
  jobs: { ...jobsRoutes, ...doorRoutes, ...legacyJobsRoutes, ...legacyReceiptsRoutes },
  miners: { ...minersRoutes, ...legacyMinersRoutes },
  market: { ...marketRoutes, ...legacyMarketRoutes },
  payments: { ...paymentsRoutes, ...legacyPaymentsRoutes },
  governance: governanceRoutes,
  gateway: { ...gatewayRoutes, ...webhookRoutes, ...auditRoutes, ...legacyGatewayRoutes },
} as const;

/** Every public contract. A path that is not here is 404 at the door. */
// Erased by a cast: letting the compiler find out that every route is an AnyRoute costs it many seconds.
export const allRoutes: readonly AnyRoute[] = Object.values(
  routes as unknown as Record<string, Record<string, AnyRoute>>,
).flatMap((group) => Object.values(group));
/** Without what is there for programs of the original coordinator. */
export const nativeRoutes: readonly AnyRoute[] = allRoutes.filter(({ alias }) => alias === undefined);
export { operationsRoutes };
