import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { type Log, type Metrics, occasionally } from '@aitbc/chassis';
import { principalOfAddress } from '../rate-limits.ts';

/** One who opens without end must not fill the log. */
const WARN_EVERY_MS = 10_000;

/**
 * Bounds the connections that one address (of IPv6 one /56) has open: each holds a descriptor and some memory before it
 * says who it is. One beyond is closed at once, before TLS and unread: an answer would hold it open.
 * @param max of one address; 0 for no bound. Behind a proxy all come from its address, so there the proxy has to do it.
 */
export const boundConnections = (
  server: Server,
  { max, log, metrics }: { max: number; log: Log; metrics: Metrics },
): void => {
  if (max === 0) return;
  let refused = 0;
  metrics.gauge(
    'connections_refused',
    'Connections closed since the start because their address had too many open',
    () => refused,
  );
  const open = new Map<string, number>();
  const tell = occasionally({ everyMs: WARN_EVERY_MS });
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress;
    // It is gone already.
    if (address === undefined) return;
    const who = principalOfAddress(address);
    const count = open.get(who) ?? 0;
    if (count >= max) {
      refused += 1;
      socket.destroy();
      if (tell('refused') !== undefined) {
        log.warn({ address: who, limit: max }, 'an address has too many connections open: more are closed');
      }
      return;
    }
    open.set(who, count + 1);
    socket.once('close', () => {
      const left = (open.get(who) ?? 1) - 1;
      if (left > 0) open.set(who, left);
      else open.delete(who);
    });
  });
};
