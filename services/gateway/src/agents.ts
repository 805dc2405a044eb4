import { Agent, type ClientRequestArgs } from 'node:http';
import { type RequestOptions, Agent as TlsAgent } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Log, occasionally, type Pem, readTls, type Scheduled, watchTls } from '@aitbc/chassis';
import type { Config } from './config.ts';

/** What the services' certificates are checked by, and what they are shown. */
const SERVICES_TLS = { cert: 'SERVICES_CERT', key: 'SERVICES_KEY', ca: 'SERVICES_CA' };

const WRONG_CA = 'its certificate is not of a CA that the gateway believes: see SERVICES_CA';
const NO_TLS = 'it does not speak TLS: give it TLS_CERT and TLS_KEY, or say http:// in its address';
const FAULTS: Record<string, string> = {
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate does not name the host of its address',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet: look at the clocks',
  DEPTH_ZERO_SELF_SIGNED_CERT: WRONG_CA,
  SELF_SIGNED_CERT_IN_CHAIN: WRONG_CA,
  UNABLE_TO_GET_ISSUER_CERT: WRONG_CA,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: WRONG_CA,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: WRONG_CA,
  CERT_SIGNATURE_FAILURE: WRONG_CA,
};

/** A process that is there accepts within milliseconds; a host that swallows packets would hold the request up. */
const CONNECT_MAX_MS = 3_000;
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

/** A request that failed before it was heard, because the two ends do not agree on TLS: what is wrong, in words. */
export const tlsFault = (error: Error): string | null => {
  const { code, message } = error as NodeJS.ErrnoException;
  // OpenSSL's words stand in the code or in the message, as the error came by reading or by writing.
  if (/wrong.version.number/i.test(`${code} ${message}`)) return NO_TLS;
  return FAULTS[code ?? ''] ?? null;
};

/**
 * The connections to the services, one pool for each address: a certificate is held against the name that the gateway
 * connects to, not against the Host that its caller wrote.
 * @throws ConfigError naming a file that cannot be used
 */
export const createAgents = (config: Config, log: Log) => {
  let pem: Pem | undefined = readTls(config, SERVICES_TLS);
  const agents = new Map<string, Agent>();
  const make = ({ protocol, hostname }: URL): Agent => {
    if (protocol === 'http:') return new PatientAgent(SETTINGS);
    const host = hostname.replace(/^\[|\]$/g, '');
    return new PatientTlsAgent({ ...SETTINGS, ...pem, servername: isIP(host) === 0 ? host : '' });
  };
  const tell = occasionally();
  return {
    of: (url: URL): Agent => {
      const known = agents.get(url.origin);
      if (known !== undefined) return known;
      const agent = make(url);
      agents.set(url.origin, agent);
      return agent;
    },
    /** Tells the operator, once a minute, what is wrong with TLS to a service. @returns it, or null */
    tellFault: (url: URL, error: Error): string | null => {
      const fault = tlsFault(error);
      const keptBack = fault === null ? undefined : tell(`${url.origin} ${fault}`);
      if (keptBack !== undefined)
        log.error(
          { url: url.origin, err: String(error), kept_back: keptBack },
          `a service cannot be asked: ${fault}`,
        );
      return fault;
    },
    schedule: (): Scheduled[] =>
      watchTls({
        name: 'tls.renew_services',
        current: pem,
        read: () => readTls(config, SERVICES_TLS),
        use: (renewed) => {
          pem = renewed;
          // Each is part of the name of a connection: those with the old ones are not taken again.
          for (const agent of agents.values())
            if (agent instanceof TlsAgent) Object.assign(agent.options, renewed);
        },
        log,
      }),
    destroy: (): void => {
      for (const agent of agents.values()) agent.destroy();
    },
  };
};
export type Agents = ReturnType<typeof createAgents>;
