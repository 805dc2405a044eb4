import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What came to somebody's server. */
export interface Taken {
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string;
  readonly atMs: number;
}
export type Answer = (taken: Taken, response: ServerResponse, request: IncomingMessage) => void;

/** Somebody's server, on an address of this machine. */
export const startReceiver = async (
  answer: Answer = (_taken, response) => void response.end(),
  host = '127.0.0.1',
  at = 0,
) => {
  const taken: Taken[] = [];
  const control = { answer };
  let connections = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const one: Taken = {
        path: request.url as string,
        headers: request.headers as Record<string, string>,
        body: Buffer.concat(chunks).toString(),
        atMs: Date.now(),
      };
      taken.push(one);
      control.answer(one, response, request);
    });
    request.on('error', () => {});
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(at, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host}:${port}`,
    port,
    taken,
    control,
    connections: () => connections,
    stop: async (): Promise<void> => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
export type Receiver = Awaited<ReturnType<typeof startReceiver>>;
