import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import type { GpuSearch } from './pages/market/gpus.tsx';
import { NotThere, Shell, Trouble } from './shell.tsx';

// Every address of the console. A page's code is loaded when it is first opened.

const root = createRootRoute({ component: Shell, notFoundComponent: NotThere, errorComponent: Trouble });

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, 200) : undefined;

const number = (value: unknown): number | undefined =>
  typeof value === 'number' && value >= 0 && value < Number.MAX_SAFE_INTEGER ? value : undefined;

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: lazyRouteComponent(() => import('./pages/home/home.tsx'), 'Home'),
});
const signIn = createRoute({
  getParentRoute: () => root,
  path: '/sign-in',
  validateSearch: (search): { to?: string | undefined } => ({ to: text(search.to) }),
  component: lazyRouteComponent(() => import('./pages/sign-in.tsx'), 'SignIn'),
});
const jobs = createRoute({
  getParentRoute: () => root,
  path: '/jobs',
  validateSearch: (
    search,
  ): { status?: string | undefined; type?: string | undefined; label?: string | undefined } => ({
    status: text(search.status),
    type: text(search.type),
    label: text(search.label),
  }),
  component: lazyRouteComponent(() => import('./pages/jobs/list.tsx'), 'Jobs'),
});
const job = createRoute({
  getParentRoute: () => root,
  path: '/jobs/$jobId',
  component: lazyRouteComponent(() => import('./pages/jobs/job.tsx'), 'JobPage'),
});

const playground = createRoute({
  getParentRoute: () => root,
  path: '/playground',
  validateSearch: (search): { type?: string | undefined } => ({ type: text(search.type) }),
  component: lazyRouteComponent(() => import('./pages/playground/playground.tsx'), 'Playground'),
});

const explorer = createRoute({
  getParentRoute: () => root,
  path: '/explorer',
  component: lazyRouteComponent(() => import('./pages/explorer/explorer.tsx'), 'Explorer'),
});
const block = createRoute({
  getParentRoute: () => root,
  path: '/explorer/blocks/$height',
  component: lazyRouteComponent(() => import('./pages/explorer/block.tsx'), 'BlockPage'),
});
const transaction = createRoute({
  getParentRoute: () => root,
  path: '/explorer/transactions/$hash',
  component: lazyRouteComponent(() => import('./pages/explorer/transaction.tsx'), 'TransactionPage'),
});
const address = createRoute({
  getParentRoute: () => root,
  path: '/explorer/addresses/$address',
  component: lazyRouteComponent(() => import('./pages/explorer/address.tsx'), 'AddressPage'),
});
const miners = createRoute({
  getParentRoute: () => root,
  path: '/miners',
  component: lazyRouteComponent(() => import('./pages/miners.tsx'), 'Miners'),
});
const market = createRoute({
  getParentRoute: () => root,
  path: '/market',
  validateSearch: (search): GpuSearch & { part?: string | undefined } => ({
    part: text(search.part),
    model: text(search.model),
    region: text(search.region),
    memory: number(search.memory),
    price: number(search.price),
    free: search.free === true ? true : undefined,
    sort: (['price', 'rating', 'memory'] as const).find((each) => each === search.sort),
    as: search.as === 'table' ? 'table' : undefined,
  }),
  component: lazyRouteComponent(() => import('./pages/market/market.tsx'), 'Market'),
});
const gpu = createRoute({
  getParentRoute: () => root,
  path: '/market/$gpuId',
  // Where a booking ends that is to be extended.
  validateSearch: (search): { from?: string | undefined } => ({
    from: Number.isNaN(Date.parse(text(search.from) ?? '')) ? undefined : text(search.from),
  }),
  component: lazyRouteComponent(() => import('./pages/market/gpu.tsx'), 'GpuPage'),
});
const governance = createRoute({
  getParentRoute: () => root,
  path: '/governance',
  validateSearch: (
    search,
  ): { part?: string | undefined; status?: string | undefined; parameter?: string | undefined } => ({
    part: text(search.part),
    status: text(search.status),
    parameter: text(search.parameter),
  }),
  component: lazyRouteComponent(() => import('./pages/governance/governance.tsx'), 'Governance'),
});
const proposal = createRoute({
  getParentRoute: () => root,
  path: '/governance/$proposalId',
  component: lazyRouteComponent(() => import('./pages/governance/proposal.tsx'), 'ProposalPage'),
});
const wallet = createRoute({
  getParentRoute: () => root,
  path: '/wallet',
  component: lazyRouteComponent(() => import('./pages/wallet/wallet.tsx'), 'Wallet'),
});
const settings = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  component: lazyRouteComponent(() => import('./pages/settings/settings.tsx'), 'Settings'),
});
const webhook = createRoute({
  getParentRoute: () => root,
  path: '/settings/webhooks/$webhookId',
  component: lazyRouteComponent(() => import('./pages/settings/webhook.tsx'), 'WebhookPage'),
});
const operator = createRoute({
  getParentRoute: () => root,
  path: '/operator',
  validateSearch: (search): { part?: string | undefined; account?: string | undefined } => ({
    part: text(search.part),
    account: text(search.account),
  }),
  component: lazyRouteComponent(() => import('./pages/operator/operator.tsx'), 'Operator'),
});

export const router = createRouter({
  routeTree: root.addChildren([
    home,
    signIn,
    playground,
    jobs,
    job,
    explorer,
    block,
    transaction,
    address,
    miners,
    market,
    gpu,
    governance,
    proposal,
    wallet,
    settings,
    webhook,
    operator,
  ]),
  defaultPreload: 'intent',
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
