import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { Problem } from '@aitbc/contracts';

/** How slowly a body may arrive. Its whole time has no limit but its size: a slow line is not an attack. */
export interface Pace {
  /** So long may nothing come at all. */
  readonly silenceSeconds: number;
  /** So much has to come on average, after a first `silenceSeconds` for free. */
  readonly leastBytesPerSecond: number;
}
export const DEFAULT_PACE: Pace = { silenceSeconds: 15, leastBytesPerSecond: 4_096 };

interface Arriving {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly startBytes: number;
  bytes: number;
  waitedMs: number;
  silentMs: number;
}

export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

const refuse = ({ request, response }: Arriving): void => {
  // It has its answer and goes on sending, or that answer has begun.
  if (response.headersSent) {
    request.socket.destroy();
    return;
  }
  const problem = new Problem(
    'REQUEST_TIMEOUT',
    'The body came too slowly; send it again over a faster line, or less of it.',
  );
  const body = JSON.stringify(problem.toBody());
  response.writeHead(problem.status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  response.end(body);
};

/**
 * Ends requests whose body arrives too slowly, with 408 where no answer has begun. Looks at the connection from time
 * to time and reads nothing itself; time in which this side does not read counts for nobody.
 */
export const watchBodies = (server: Server, pace: Pace): void => {
  const { silenceSeconds, leastBytesPerSecond } = pace;
  const silenceMs = silenceSeconds * 1_000;
  const arriving = new Set<Arriving>();
  server.prependListener('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!hasBody(request)) return;
    const bytes = request.socket.bytesRead;
    arriving.add({ request, response, startBytes: bytes, bytes, waitedMs: 0, silentMs: 0 });
  });
  let sweptAt = performance.now();
  const sweep = () => {
    const passedMs = performance.now() - sweptAt;
    sweptAt += passedMs;
    for (const one of arriving) {
      const { request } = one;
      if (request.complete || request.socket.destroyed) {
        arriving.delete(one);
        continue;
      }
      const isComing = request.socket.bytesRead !== one.bytes;
      one.bytes = request.socket.bytesRead;
      // What has come and waits to be read here is not late.
      if (request.readableLength > 0) continue;
      one.waitedMs += passedMs;
      one.silentMs = isComing ? 0 : one.silentMs + passedMs;
      const least = ((one.waitedMs - silenceMs) / 1_000) * leastBytesPerSecond;
      if (one.silentMs <= silenceMs && one.bytes - one.startBytes >= least) continue;
      arriving.delete(one);
      refuse(one);
    }
  };
  const timer = setInterval(sweep, Math.min(1_000, silenceMs / 4)).unref();
  server.once('close', () => clearInterval(timer));
};
