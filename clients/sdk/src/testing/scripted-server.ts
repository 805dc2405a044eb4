import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  // biome-ignore lint/suspicious/noExplicitAny: what it holds is for the test to say
  readonly body: any;
}
export type Step = (response: ServerResponse, asked: Asked) => void | Promise<void>;

/** Answers with JSON. */
export const says =
  (status: number, body: unknown, headers: Record<string, string> = {}): Step =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  };
export const refuses = (status: number, code: string, headers: Record<string, string> = {}, details = {}) =>
  says(status, { error: { code, message: `it is ${code}`, details } }, { 'x-request-id': 'r-1', ...headers });
/** Takes the request and closes the connection without an answer. */
export const cuts: Step = (response) => {
  response.socket?.destroy();
};

/** Sends these bytes of an event stream, one write each, then ends, cuts or stays. */
export const streams =
  (parts: readonly (string | Uint8Array)[], then: 'end' | 'cut' | 'stay' = 'end'): Step =>
  async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const part of parts) await new Promise((done) => response.write(part, done));
    if (then === 'end') response.end();
    if (then === 'cut') response.socket?.destroy();
  };

/** A server that does to each request in turn what the test says; the last step stays. */
export const scriptedServer = async (...steps: Step[]) => {
  const asked: Asked[] = [];
  const server = createServer(async (request, response) => {
    const body = request.method === 'POST' ? await json(request).catch(() => undefined) : undefined;
    const one = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
    const step = steps[Math.min(asked.length, steps.length - 1)] as Step;
    asked.push(one);
    await step(response, one);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
};
