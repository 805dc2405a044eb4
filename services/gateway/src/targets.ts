import type { Agent } from 'node:http';
import type { Scheduled } from '@aitbc/chassis';
import { operationsRoutes, type ServiceName } from '@aitbc/contracts';
import type { Agents } from './agents.ts';
import type { Ask } from './ask.ts';

export type Upstream = Exclude<ServiceName, 'gateway'>;

/** One that refused is left out for so long, unless all others refuse too. */
const LEFT_OUT_MS = 1_000;
/** So often each of several is asked whether it is ready: who stops lets kept connections stand a little longer. */
const LOOK_EVERY_MS = 1_000;
const LOOK_TIMEOUT_MS = 2_000;

/** One process of a service. */
export interface Target {
  readonly url: URL;
  readonly agent: Agent;
  /** Requests passed on and not answered yet. */
  open: number;
  /** What it said when it was asked last. */
  isReady: boolean;
  leftOutUntilMs: number;
}

/**
 * The processes of each service, and which of them is to get the next request: the one with the fewest open ones among
 * those that are ready. Where a service has one address, that one gets all.
 */
export const createTargets = (options: {
  urls: Record<Upstream, readonly string[]>;
  agents: Agents;
  ask: Ask;
  now?: () => number;
}) => {
  const { urls, agents, ask, now = () => performance.now() } = options;
  const make = (text: string): Target => {
    const url = new URL(text);
    return { url, agent: agents.of(url), open: 0, isReady: true, leftOutUntilMs: 0 };
  };
  const all = Object.fromEntries(
    Object.entries(urls).map(([service, addresses]) => [service, addresses.map(make)]),
  ) as Record<Upstream, Target[]>;
  let turn = 0;

  const fewestOpen = (candidates: readonly Target[]): Target | undefined => {
    const fewest = Math.min(...candidates.map(({ open }) => open));
    const equal = candidates.filter(({ open }) => open === fewest);
    turn = (turn + 1) % 1_000_000;
    return equal[turn % equal.length];
  };

  const look = async (target: Target): Promise<void> => {
    target.isReady = await ask(new URL(operationsRoutes.ready, target.url), {
      timeoutMs: LOOK_TIMEOUT_MS,
    }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (target.isReady) target.leftOutUntilMs = 0;
  };

  return {
    of: (service: Upstream): readonly Target[] => all[service],
    /**
     * @param tried got this request already, in vain
     * @returns undefined when all did. One that is left out is better than none.
     */
    pick: (service: Upstream, tried: ReadonlySet<Target>): Target | undefined => {
      const [first, ...more] = all[service];
      if (first !== undefined && more.length === 0) return tried.has(first) ? undefined : first;
      const untried = all[service].filter((target) => !tried.has(target));
      const well = untried.filter(({ isReady, leftOutUntilMs }) => isReady && leftOutUntilMs <= now());
      return fewestOpen(well.length > 0 ? well : untried);
    },
    /** It ends a connection that it could keep, as one does that stops: no more of it until it says that it is ready. */
    endsConnections: (target: Target): void => {
      target.isReady = false;
    },
    /** Tells the operator what is wrong with TLS, if that is it. */
    tellFault: (target: Target, error: unknown): void => void agents.tellFault(target.url, error as Error),
    leaveOut: (target: Target): void => {
      target.leftOutUntilMs = now() + LEFT_OUT_MS;
    },
    schedule: {
      name: 'targets.look',
      everyMs: LOOK_EVERY_MS,
      where: 'everywhere',
      run: async () => {
        const several = Object.values(all).filter((targets) => targets.length > 1);
        await Promise.all(several.flat().map(look));
      },
    } satisfies Scheduled,
  };
};
export type Targets = ReturnType<typeof createTargets>;
