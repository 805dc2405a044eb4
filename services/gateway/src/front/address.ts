import { Problem } from '@aitbc/contracts';

const ADDRESS_LENGTH_MAX = 4_096;
/** RFC 3986 path characters. No backslash, no control, nothing a second parser could read another way. */
const PATH = /^\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*$/;
const QUERY = /^[\x21-\x7e]*$/;
/** Dot, slash, backslash, percent and control characters must not hide behind an encoding; %25 hides all the others. */
const HIDDEN = /%(?:2e|2f|5c|25|[01][0-9a-f]|7f)/i;
const BAD_ESCAPE = /%(?![0-9a-fA-F]{2})/;
/** Names of models hold slashes, and stand in an address as one segment: looked up as a whole, never walked as a path. */
const MODEL = /^(?:\/api)?\/v1\/models\/[^/]+$/;
const DOTS = /\/\.{1,2}(?:\/|$)/;

const hidesSomething = (path: string): boolean => {
  if (!MODEL.test(path)) return HIDDEN.test(path);
  const open = path.replace(/%2f/gi, '/');
  return HIDDEN.test(open) || DOTS.test(open) || /\/\/|\/$/.test(open);
};

/**
 * Refuses what two parsers could read differently, before anybody routes on it.
 * @returns path and query as the services know them: `/api/v1/…` is `/v1/…`.
 * @throws Problem BAD_REQUEST, URI_TOO_LONG
 */
export const readAddress = (target: string): { path: string; query: string } => {
  if (target.length > ADDRESS_LENGTH_MAX) throw new Problem('URI_TOO_LONG', 'The address is too long.');
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? '' : target.slice(mark);
  if (
    !PATH.test(path) ||
    !QUERY.test(query) ||
    hidesSomething(path) ||
    BAD_ESCAPE.test(path) ||
    DOTS.test(path) ||
    path.includes('//')
  ) {
    throw new Problem('BAD_REQUEST', 'The address holds characters or sequences that are not accepted.');
  }
  return { path: path.startsWith('/api/v1/') ? path.slice('/api'.length) : path, query };
};
