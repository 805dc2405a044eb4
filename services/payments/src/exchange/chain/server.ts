import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Store } from '@aitbc/chassis';
import { answerEsplora } from './esplora.ts';
import { createRpcMethods, RpcError } from './rpc.ts';

const BODY_BYTES_MAX = 4 * 1024 * 1024;
const METHOD_NOT_FOUND = -32_601;
const INTERNAL = -32_603;
const ESPLORA = '/esplora';

interface Call {
  id?: number;
  method?: string;
  params?: unknown[];
}

const readBody = async (request: IncomingMessage): Promise<string> => {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > BODY_BYTES_MAX) throw new RpcError(-32_700, 'too long');
  }
  return body;
};

const reply = (response: ServerResponse, status: number, body: string | object): void => {
  const isText = typeof body === 'string';
  response
    .writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json' })
    .end(isText ? body : JSON.stringify(body));
};

/**
 * Serves the local chain on the loopback interface, as Bitcoin Core (JSON-RPC on /) and as Esplora (under /esplora), so
 * that development watches it exactly as production watches a node.
 */
export const serveChain = async (
  store: Store,
  options: { now: () => number; changed: () => void; port?: number; auth?: string },
) => {
  const run = createRpcMethods(store, options.now, options.changed);
  const expected =
    options.auth === undefined ? undefined : `Basic ${Buffer.from(options.auth).toString('base64')}`;

  const answer = async ({ id = 0, method = '', params = [] }: Call) => {
    try {
      return { result: (await run(method, params)) ?? null, error: null, id };
    } catch (error) {
      const { code, message } =
        error instanceof RpcError ? error : { code: INTERNAL, message: 'Internal error' };
      return { result: null, error: { code, message }, id };
    }
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = request.url ?? '/';
    if (request.method === 'GET' && path.startsWith(ESPLORA)) {
      const found = await answerEsplora(store.read, path.slice(ESPLORA.length));
      return found === undefined ? reply(response, 404, 'Not found') : reply(response, 200, found);
    }
    if (request.method !== 'POST') return reply(response, 405, 'JSONRPC server handles only POST requests');
    if (expected !== undefined && request.headers.authorization !== expected) return reply(response, 401, '');
    const body = JSON.parse(await readBody(request)) as Call | Call[];
    if (Array.isArray(body)) return reply(response, 200, await Promise.all(body.map(answer)));
    const answered = await answer(body);
    const status = answered.error === null ? 200 : answered.error.code === METHOD_NOT_FOUND ? 404 : 500;
    reply(response, status, answered);
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => reply(response, 500, ''));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    rpcUrl: `http://${options.auth === undefined ? '' : `${options.auth}@`}127.0.0.1:${port}/`,
    esploraUrl: `http://127.0.0.1:${port}${ESPLORA}`,
    stop: (): Promise<void> =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};
export type ChainServer = Awaited<ReturnType<typeof serveChain>>;
