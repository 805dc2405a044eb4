import { Agent, type IncomingMessage, request as plainRequest } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';

/** An answer whose head is there; the body is read by whoever wants it. */
export interface Reply {
  readonly status: number;
  readonly location: string | undefined;
  readonly contentType: string;
  readonly retryAfter: string | null;
  readonly body: AsyncIterable<Buffer>;
  /** Lets the connection go without reading the rest. */
  drop(): void;
}

/** A proxy of the environment is used where Node's own `fetch` would use it. */
const proxyEnv = process.env.NODE_USE_ENV_PROXY === '1' ? process.env : undefined;
const agents = {
  'http:': new Agent({ keepAlive: true, proxyEnv }),
  'https:': new TlsAgent({ keepAlive: true, proxyEnv }),
};

const once = (
  url: URL,
  method: string,
  headers: Record<string, string>,
  body: string | undefined,
  signal: AbortSignal,
): Promise<{ reply: Reply } | { error: Error; isStale: boolean }> =>
  new Promise((resolve) => {
    const isTls = url.protocol === 'https:';
    const start = isTls ? tlsRequest : plainRequest;
    const agent = isTls ? agents['https:'] : agents['http:'];
    const request = start(url, { method, headers, agent, signal }, (response: IncomingMessage) => {
      resolve({
        reply: {
          status: response.statusCode ?? 0,
          location: response.headers.location,
          contentType: response.headers['content-type'] ?? '',
          retryAfter: response.headers['retry-after'] ?? null,
          body: response,
          drop: () => void response.destroy(),
        },
      });
    });
    request.on('error', (error) => resolve({ error, isStale: request.reusedSocket }));
    request.end(body);
  });

/**
 * One HTTP request without a limit on silence of its own: a model may think for longer than the five minutes that
 * `fetch` waits for a header, and for how long is the job's deadline to say, through the signal. Redirects are not
 * followed. A pooled connection that the server closed while it was idle says nothing about the server: once more then.
 */
export const sendRequest = async (
  url: string,
  init: { method: 'GET' | 'POST'; headers: Record<string, string>; body?: string; signal: AbortSignal },
): Promise<Reply> => {
  const { method, body, signal } = init;
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const headers = { ...init.headers, ...length };
  let outcome = await once(new URL(url), method, headers, body, signal);
  if ('error' in outcome && outcome.isStale && !signal.aborted)
    outcome = await once(new URL(url), method, headers, body, signal);
  if ('error' in outcome) throw outcome.error;
  return outcome.reply;
};

/** @returns the body as text, cut after `maxBytes`. */
export const readText = async (reply: Reply, maxBytes: number): Promise<string> => {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of reply.body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxBytes) break;
  }
  return Buffer.concat(chunks).toString('utf8', 0, maxBytes);
};
