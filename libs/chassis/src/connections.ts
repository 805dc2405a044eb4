import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { Counter } from 'prom-client';

const nothing = (): void => {};

/**
 * Gives every connection an error handler from its first moment to its last. Node takes its own away from a socket
 * that it hands over (CONNECT, Upgrade, clientError), and an error that nobody hears ends the process.
 * @returns all that are open. Node's own list leaves out those that it handed over, and those that have not yet shaken
 * hands over TLS; `close` waits for them all the same.
 */
export const guardConnections = (server: Server): ReadonlySet<Socket> => {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  // The second is what a TLS server hands over, wrapped around the first.
  for (const event of ['connection', 'secureConnection']) {
    server.on(event, (socket) => socket.on('error', nothing));
  }
  return open;
};

/** Reading, writing or closing failed because the other end, or the way to it, is gone. */
const GONE = new Set([
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTCONN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
const ON_A_CONNECTION = new Set(['read', 'write', 'shutdown']);

/**
 * Whether an error that nobody handled is that of one open connection: it says something about the other end alone,
 * and the state of this process is as good as before. A connection that could not be opened is not among them.
 */
export const isConnectionFault = (error: unknown): boolean => {
  const { code, syscall } = (error ?? {}) as NodeJS.ErrnoException;
  return GONE.has(code ?? '') && ON_A_CONNECTION.has(syscall ?? '');
};

/** Each is a handler that is missing somewhere: none ends the process, all are to be looked into. One for a process. */
export const unhandledConnectionFaults = new Counter({
  name: 'connection_faults_unhandled_total',
  help: 'Errors of connections that no handler heard; above 0 a handler is missing',
  registers: [],
});
