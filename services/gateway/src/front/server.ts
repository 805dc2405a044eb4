import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { ServerOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { newId, Problem, type ProblemCode } from '@aitbc/contracts';

export const SERVER_OPTIONS: ServerOptions = {
  /** A header block needs a fraction of a second; a caller that needs longer holds a connection, not a conversation. */
  headersTimeout: 10_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 1_000,
  /** TLS: until the handshake is done, which takes three ways there and back. */
  handshakeTimeout: 10_000,
  maxHeaderSize: 16 * 1024,
  // Refused by the front itself, in the one error shape.
  requireHostHeader: false,
};

/** Requests whose body the caller sends only once we ask for it. */
const waiting = new WeakSet<IncomingMessage>();

/** Asks for a body that the caller holds back (`Expect: 100-continue`), once nothing speaks against it. */
export const askForBody = (request: IncomingMessage, response: ServerResponse): void => {
  if (waiting.delete(request)) response.writeContinue();
};

const BROKEN: Record<string, [ProblemCode, string]> = {
  HPE_HEADER_OVERFLOW: ['HEADERS_TOO_LARGE', 'The headers are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['REQUEST_TIMEOUT', 'The request took too long to arrive.'],
};

/** Long enough for an answer to be read, short enough that a caller who does not close holds nothing of ours. */
const LINGER_MS = 1_000;
const answered = new WeakSet<Duplex>();
/** What may still be said on a connection whose requests came to an end is on its way. */
const ending = new WeakSet<Duplex>();

/**
 * The last words on a connection that Node serves no more: no time-out of the server watches it from here on, and
 * what its caller still sends is thrown away until it is closed, by either side.
 */
const answerRaw = (socket: Duplex, problem: Problem, headers: Record<string, string> = {}): void => {
  if (answered.has(socket)) return;
  answered.add(socket);
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const body = JSON.stringify(problem.toBody());
  const lines = Object.entries({
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': String(Buffer.byteLength(body)),
    'X-Request-Id': newId(),
    'X-Content-Type-Options': 'nosniff',
    Connection: 'close',
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${problem.status} ${problem.code}\r\n${lines.join('')}\r\n${body}`);
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
};

/** The answer whose turn it is on a connection: Node keeps it there, and those of pipelined requests after it in a row. */
const currentAnswer = (socket: Duplex): ServerResponse | null =>
  (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? null;

/**
 * Refuses what came last on a connection, in its turn: what was asked before it is answered first. A request that is
 * itself broken has no answer of its own to wait for.
 */
const answerInTurn = (socket: Duplex, problem: Problem, headers: Record<string, string> = {}): void => {
  if (ending.has(socket)) return;
  ending.add(socket);
  const next = (): void => {
    if (socket.destroyed) return;
    const current = currentAnswer(socket);
    if (current === null) answerRaw(socket, problem, headers);
    // Whole: the fault lies behind it.
    else if (current.req.complete) current.once('close', next);
    // An answer to half a request has begun: a second one would be read as part of it.
    else if (current.headersSent) socket.destroy();
    else answerRaw(socket, problem, headers);
  };
  next();
};

/** What never becomes a request to Express: broken ones, CONNECT, and those that wait before they send a body. */
export const prepareServer = (server: Server): void => {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const [code, message] = BROKEN[error.code ?? ''] ?? [
      'BAD_REQUEST',
      'This is not a well-formed HTTP request.',
    ];
    answerInTurn(socket, new Problem(code, message));
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    answerInTurn(socket, new Problem('METHOD_NOT_ALLOWED', 'CONNECT is not offered here.'), {
      Allow: 'GET, HEAD, POST, PUT, PATCH, DELETE',
    });
  });
  const asRequest = (request: IncomingMessage, response: ServerResponse) =>
    server.emit('request', request, response);
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.add(request);
    asRequest(request, response);
  });
  // The front answers 417 to whatever else is expected of it.
  server.on('checkExpectation', asRequest);
};
