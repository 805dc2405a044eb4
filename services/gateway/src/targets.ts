import { Agent, type ClientRequestArgs } from 'node:http';
import { type RequestOptions, Agent as TlsAgent } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Scheduled } from '@aitbc/chassis';
import { operationsRoutes, type ServiceName } from '@aitbc/contracts';

export type Upstream = Exclude<ServiceName, 'gateway'>;

/** A process that is there accepts within milliseconds; a host that swallows packets would hold the request up. */
const CONNECT_MAX_MS = 3_000;
/** One that refused is left out for so long, unless all others refuse too. */
const LEFT_OUT_MS = 1_000;
/** So often each of several is asked whether it is ready: who stops lets kept connections stand a little longer. */
const LOOK_EVERY_MS = 1_000;
const LOOK_TIMEOUT_MS = 2_000;

/** Errors of a connection that could not be opened: nothing of the request has left. */
const unsent = new WeakSet<Error>();
export const isUnsent = (error: unknown): boolean => unsent.has(error as Error);

type Made = (error: Error | null, socket: Duplex) => void;

/** Hands a connection over once it is open, so that of a request whose connection fails nothing was read or sent. */
const handOverOpen = (socket: Duplex, event: 'connect' | 'secureConnect', made: Made): undefined => {
  const stop = (error: NodeJS.ErrnoException): void => {
    settle();
    socket.on('error', () => {});
    socket.destroy();
    unsent.add(error);
    made(error, socket);
  };
  const late = () => stop(Object.assign(new Error('no connection within the time'), { code: 'ETIMEDOUT' }));
  const open = (): void => {
    settle();
    made(null, socket);
  };
  const timer = setTimeout(late, CONNECT_MAX_MS);
  const settle = (): void => {
    clearTimeout(timer);
    socket.off('error', stop);
    socket.off(event, open);
  };
  socket.on('error', stop);
  socket.on(event, open);
};

// No limit on connections: each open long-poll holds one.
const SETTINGS = { keepAlive: true, maxFreeSockets: 1_024, noDelay: true } as const;

class PatientAgent extends Agent {
  override createConnection(options: ClientRequestArgs, made: Made): undefined {
    return handOverOpen(super.createConnection(options) as Duplex, 'connect', made);
  }
}
class PatientTlsAgent extends TlsAgent {
  override createConnection(options: RequestOptions, made: Made): undefined {
    return handOverOpen(super.createConnection(options) as Duplex, 'secureConnect', made);
  }
}

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
export const createTargets = (urls: Record<Upstream, readonly string[]>, now = () => performance.now()) => {
  const make = (text: string): Target => {
    const url = new URL(text);
    const agent = url.protocol === 'https:' ? new PatientTlsAgent(SETTINGS) : new PatientAgent(SETTINGS);
    return { url, agent, open: 0, isReady: true, leftOutUntilMs: 0 };
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
    target.isReady = await fetch(new URL(operationsRoutes.ready, target.url), {
      signal: AbortSignal.timeout(LOOK_TIMEOUT_MS),
    }).then(
      async (response) => {
        await response.arrayBuffer();
        return response.ok;
      },
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
    stop: (): void => {
      for (const { agent } of Object.values(all).flat()) agent.destroy();
    },
  };
};
export type Targets = ReturnType<typeof createTargets>;
