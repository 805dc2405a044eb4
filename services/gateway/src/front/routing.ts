import { type AnyRoute, allRoutes } from '@aitbc/contracts';
import findMyWay from 'find-my-way';

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
const PARAM_LENGTH_MAX = 200;

/** Without a route: the methods that would find one at this path, and the first that they would find. */
export type Found =
  | { readonly route: AnyRoute }
  | { readonly allowed: readonly string[]; readonly other: AnyRoute | undefined };

/**
 * HEAD is GET without the body: for every route but those where somebody would wait for one, or work for nobody.
 * A stream without a body would never end, and hold up whoever is next on the connection behind us.
 */
const hasHead = (route: AnyRoute): boolean =>
  route.takes !== true && route.stream !== true && route.lines !== true;

/** @returns the look-up of a contract by method and path; `allowed` is empty for a path that nobody declares. */
export const createRouting = (routes: readonly AnyRoute[] = allRoutes) => {
  const router = findMyWay({ maxParamLength: PARAM_LENGTH_MAX });
  const nothing = () => undefined;
  for (const route of routes) {
    if (route.internal !== true) router.on(route.method, route.path, nothing, route);
  }
  const find = (method: (typeof METHODS)[number], path: string): AnyRoute | undefined =>
    router.find(method, path)?.store as AnyRoute | undefined;

  return (method: string, path: string): Found => {
    // The router takes an empty segment for a parameter.
    if (path.endsWith('/')) return { allowed: [], other: undefined };
    const asked = method === 'HEAD' ? 'GET' : METHODS.find((known) => known === method);
    const route = asked === undefined ? undefined : find(asked, path);
    if (route !== undefined && (method !== 'HEAD' || hasHead(route))) return { route };
    const others = METHODS.flatMap((known) => find(known, path) ?? []);
    const allowed = others.flatMap((other) =>
      other.method === 'GET' && hasHead(other) ? ['GET', 'HEAD'] : [other.method],
    );
    return { allowed, other: others[0] };
  };
};
