import cors from 'cors';
import type { RequestHandler } from 'express';

const PREFLIGHT_SECONDS = 86_400;

const ALLOWED = [
  'Authorization',
  'Content-Type',
  'Idempotency-Key',
  'Last-Event-ID',
  'X-AITBC-Max-Wait',
  'X-AITBC-Price',
  'X-AITBC-Timeout',
  'X-Api-Key',
  'X-Miner-ID',
  'X-Request-Id',
  'X-Session-Token',
];
/** What OpenAI's clients say about themselves: more of them with each release, and none that is believed here. */
const SAID_BY_CLIENTS = /^(?:x-stainless|openai)-[a-z0-9-]{1,64}$/;
const EXPOSED = [
  'Link',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'X-AITBC-Job-Id',
  'X-AITBC-Price',
  'X-AITBC-Receipt-Id',
  'X-RateLimit-Limit-Requests',
  'X-RateLimit-Remaining-Requests',
  'X-RateLimit-Reset-Requests',
  'X-Request-Id',
];

/** @param origins pages that may call; `*` is all of them: credentials are headers, never cookies. */
export const crossOrigin = (origins: readonly string[]): RequestHandler =>
  cors((request, tell) => {
    const asked = String(request.headers['access-control-request-headers'] ?? '').toLowerCase();
    const said = asked.split(',').map((name) => name.trim());
    tell(null, {
      origin: origins.includes('*') ? '*' : [...origins],
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
      allowedHeaders: [...ALLOWED, ...said.filter((name) => SAID_BY_CLIENTS.test(name))],
      exposedHeaders: EXPOSED,
      maxAge: PREFLIGHT_SECONDS,
      preflightContinue: true,
    });
  });
