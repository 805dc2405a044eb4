import {
  createServer,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, Server as NetServer } from 'node:net';
import { DEFAULT_PACE, type Pace, watchBodies } from './body-pace.ts';
import { guardConnections } from './connections.ts';
import type { ServerTls } from './tls.ts';

/** Longer than any proxy in front keeps an idle connection, so that a request never meets a closing socket. */
const KEEP_ALIVE_MS = 120_000;
const HEADERS_TIMEOUT_MS = 15_000;
/** The largest body at the slowest pace; the pace itself is watched apart. */
const REQUEST_TIMEOUT_MS = 20 * 60_000;
/** How often the two above are looked at; Node's own 30 s would double them. */
const TIMEOUTS_CHECKED_EVERY_MS = 2_000;
/** When a server stops, its time-outs watch no more: what is open then ends by itself, or is ended, whatever it is. */
const CLOSE_MAX_MS = 5_000;

/** What a server that faces the outside wants different. */
export interface Listening {
  /**
   * When it stops, kept connections stand open and are served for so long, each for one more answer: a proxy that may
   * send a request on one at any moment has time to notice, and goes to another process. 0: they are closed at once.
   */
  readonly lingerMs?: number;
  readonly options?: ServerOptions;
  /** With it the server speaks TLS alone; with a `ca` it asks for client certificates, and lets the app look at them. */
  readonly tls?: ServerTls;
  readonly pace?: Pace;
  /** Before it listens: what Express does not see (broken requests, CONNECT, Expect). */
  readonly prepare?: (server: Server) => void;
}

const createSecure = (settings: ServerOptions, tls: ServerTls, app: RequestListener): Server => {
  const { pem } = tls;
  const asked = pem.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: false };
  const server = createTlsServer({ ...settings, ...pem, ...asked }, tls.guard(app));
  server.on('tlsClientError', tls.onHandshakeFailed);
  // Connections that stand keep what they began with.
  tls.onRenewed((renewed) => server.setSecureContext(renewed));
  return server;
};

/** Listens, with every time-out set. Port 0 takes a free one. */
export const listen = async (
  app: RequestListener,
  host: string,
  port: number,
  { options, tls, pace = DEFAULT_PACE, prepare, lingerMs = 0 }: Listening = {},
) => {
  const settings: ServerOptions = {
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: TIMEOUTS_CHECKED_EVERY_MS,
    maxHeaderSize: 16 * 1024,
    ...options,
  };
  const server = tls === undefined ? createServer(settings, app) : createSecure(settings, tls, app);
  const connections = guardConnections(server);
  watchBodies(server, pace);
  /** Those whose answer has not ended. */
  const answering = new Set<ServerResponse>();
  let isStopping = false;
  const endAfter = (response: ServerResponse): void => {
    if (response.headersSent) return;
    response.shouldKeepAlive = false;
    response.setHeader('connection', 'close');
  };
  server.prependListener('request', (_request, response) => {
    answering.add(response);
    response.once('close', () => answering.delete(response));
    if (isStopping) endAfter(response);
  });
  prepare?.(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, 4_096, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    server,
    port: address.port,
    url: `${tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${address.port}`,
    /**
     * Takes no new connection, lets requests in flight end for a while, closes idle connections. What is answered from
     * now on says that its connection ends with it, so that nothing is sent on one that closes.
     */
    stop: async (): Promise<void> => {
      isStopping = true;
      for (const response of answering) endAfter(response);
      const startedAt = performance.now();
      // Not that of the HTTP server, which closes idle connections at once: a request may be under way on one.
      const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(server, () => resolve()));
      const closeIdle = () => {
        if (performance.now() - startedAt >= lingerMs) server.closeIdleConnections();
      };
      const idle = setInterval(closeIdle, 100);
      closeIdle();
      const late = setTimeout(() => {
        server.closeAllConnections();
        for (const connection of connections) connection.destroy();
      }, CLOSE_MAX_MS);
      await closed;
      clearInterval(idle);
      clearTimeout(late);
      // Ends what the HTTP server does beside: it looks for requests that are too slow.
      server.close();
    },
  };
};
