import type { Socket } from 'node:net';

const toTell = new WeakMap<Socket, Set<() => void>>();

/**
 * Tells when a connection is gone. Asked of the connection and not of the answer, for that of a pipelined request is
 * told nothing before its turn; one listener for all requests on a connection.
 * @returns the way to hear no more.
 */
export const onceGone = (socket: Socket, tell: () => void): (() => void) => {
  let all = toTell.get(socket);
  if (all === undefined) {
    const made = new Set<() => void>();
    all = made;
    toTell.set(socket, made);
    socket.once('close', () => {
      for (const one of made) one();
    });
  }
  all.add(tell);
  return () => all.delete(tell);
};
