import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** All that a service hears of a caller's headers; whatever else was sent, in whatever spelling, ends here. */
const PASSED = [
  'accept',
  'content-encoding',
  'content-length',
  'content-type',
  'host',
  'idempotency-key',
  'last-event-id',
  // Framing, checked by Node's parser: without it the body of a GET would be read as the next request.
  'transfer-encoding',
  // What a request of OpenAI's API may cost and take, and whether its client sends it again.
  'x-aitbc-max-wait',
  'x-aitbc-price',
  'x-aitbc-timeout',
  // Which of an account's miners speaks, on the routes of the original.
  'x-miner-id',
  'x-stainless-retry-count',
] as const;

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;

/** A caller's own id when it is safe to log and to send back. */
export const readRequestId = (headers: IncomingHttpHeaders): string | undefined => {
  const given = headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : undefined;
};

/**
 * Replaces the headers by the few that may go on plus ours. Done on the request itself and before the proxy sees it:
 * the proxy's own hook is not called for every kind of request.
 */
export const replaceHeaders = (request: IncomingMessage, ours: Record<string, string>): void => {
  const given = request.headers;
  const headers: IncomingHttpHeaders = {};
  // For the gateway's own routes: Node would make it of the raw ones, by the number that there were.
  const distinct: Record<string, string[]> = {};
  for (const name of PASSED) {
    const value = given[name];
    if (value === undefined) continue;
    headers[name] = value as string;
    distinct[name] = [value as string];
  }
  request.headersDistinct = distinct;
  request.headers = Object.assign(headers, ours);
  request.rawHeaders = [];
};

/** How often a header was sent. Node keeps the first of some, joins others, and says nothing. */
const timesSent = (request: IncomingMessage, wanted: string): number => {
  let times = 0;
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index] as string;
    if (name.length === wanted.length && name.toLowerCase() === wanted) times += 1;
  }
  return times;
};

/** Two Host headers: each reader could believe another one. */
export const hasOneHost = (request: IncomingMessage): boolean => {
  const hosts = timesSent(request, 'host');
  return hosts === 1 || (hosts === 0 && request.httpVersion === '1.0');
};

/** Two joined keys would be a third one that nobody meant. */
export const hasOneIdempotencyKey = (request: IncomingMessage): boolean =>
  timesSent(request, 'idempotency-key') <= 1;
