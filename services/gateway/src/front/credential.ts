import { type AnyRoute, Problem } from '@aitbc/contracts';
import type { Request } from 'express';
import type { Credential } from '../credentials.ts';

export const readCredential = (request: Request): Credential | null => {
  const key = request.headers['x-api-key'];
  const token = request.headers['x-session-token'];
  if (key !== undefined && token !== undefined) {
    throw new Problem('BAD_REQUEST', 'Send X-Api-Key or X-Session-Token, not both.');
  }
  if (typeof key === 'string') return { kind: 'key', secret: key };
  return typeof token === 'string' ? { kind: 'session', secret: token } : null;
};

/**
 * On what clients may call, a key is also taken as OpenAI's clients send it. Elsewhere the header is nobody's: browsers
 * send it by themselves once a page asked for it.
 */
export const credentialFor = (route: AnyRoute, request: Request): Credential | null => {
  const other = readCredential(request);
  const [scheme, secret = ''] = (request.headers.authorization ?? '').trim().split(/ +/, 2);
  if (!route.who.includes('client') || scheme?.toLowerCase() !== 'bearer') return other;
  if (other !== null)
    throw new Problem('BAD_REQUEST', 'Send one credential: Authorization, X-Api-Key or X-Session-Token.');
  return { kind: 'key', secret };
};

/** For pages that a browser opens, which can send no header of ours: the password is the key, the name anything. */
export const readBasicCredential = (request: Request): Credential | null => {
  const [scheme, encoded] = (request.headers.authorization ?? '').split(' ', 2);
  if (scheme?.toLowerCase() !== 'basic' || encoded === undefined) return null;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  return colon === -1 ? null : { kind: 'key', secret: text.slice(colon + 1) };
};

/** What to send, for whoever sent nothing. */
export const credentialsFor = (route: AnyRoute): string => {
  const takesSession = route.who.includes('user') || route.who.includes('client');
  const takesKey = route.who.some((who) => who !== 'user');
  if (!takesKey) return 'X-Session-Token';
  if (route.speaks === 'openai') return 'a client key as the API key (Authorization: Bearer)';
  return takesSession ? 'X-Api-Key or X-Session-Token' : 'X-Api-Key';
};
