import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { NotThere, Shell, Trouble } from './shell.tsx';

// Every address of the console. A page's code is loaded when it is first opened.

const root = createRootRoute({ component: Shell, notFoundComponent: NotThere, errorComponent: Trouble });

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value.slice(0, 200) : undefined;

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

export const router = createRouter({
  routeTree: root.addChildren([home, signIn, jobs, job]),
  defaultPreload: 'intent',
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
