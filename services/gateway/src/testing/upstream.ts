import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CALLER_HEADER, deriveKey, type SignedCaller, verifyCaller } from '@aitbc/chassis';
import { TEST_SECRET } from '@aitbc/testing';

/** What a service got from the gateway. */
export interface Heard {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly rawHeaders: string[];
  /** Null when the signature does not fit the request. */
  readonly signed: SignedCaller | null;
  readonly body: string;
}

/** Stands where a service would: remembers what it hears, answers what the test says. */
export const startUpstream = async () => {
  const key = deriveKey(TEST_SECRET, 'caller');
  const heard: Heard[] = [];
  const control = {
    answer: (_heard: Heard, response: ServerResponse): void => {
      response.setHeader('content-type', 'application/json');
      response.end('{}');
    },
    /** Before the body is read. */
    begin: (_request: IncomingMessage, _response: ServerResponse): boolean => false,
    metrics: '',
    ready: true,
  };
  const server = createServer((request, response) => {
    if (request.url === '/metrics') return void response.end(control.metrics);
    if (request.url === '/health/ready') {
      response.statusCode = control.ready ? 200 : 503;
      response.end(
        JSON.stringify({
          dependencies: {
            database: { ok: control.ready, required: true, message: control.ready ? null : 'gone' },
          },
        }),
      );
      return;
    }
    if (control.begin(request, response)) return;
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      let signed: SignedCaller | null = null;
      try {
        signed = verifyCaller(
          key,
          request.headers[CALLER_HEADER],
          request.method as string,
          request.url as string,
          Date.now(),
        );
      } catch {
        // Stays null.
      }
      const one: Heard = {
        method: request.method as string,
        url: request.url as string,
        headers: request.headers,
        rawHeaders: request.rawHeaders,
        signed,
        body: Buffer.concat(chunks).toString(),
      };
      heard.push(one);
      control.answer(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    control,
    server,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
export type TestUpstream = Awaited<ReturnType<typeof startUpstream>>;
