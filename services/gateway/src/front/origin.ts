import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** Where a request came from, before its headers are stripped. */
export interface Origin {
  readonly address: string;
  readonly isEncrypted: boolean;
  /** From this machine itself, with no proxy in between. */
  readonly isLocal: boolean;
}

/** The last `count` entries, each of which one proxy appended. Callers fill such a list from the left, with anything. */
const lastOf = (header: string | string[] | undefined, count: number): string[] =>
  header === undefined
    ? []
    : String(header)
        .split(',')
        .slice(-count)
        .map((part) => part.trim());

/**
 * The address in an entry, as proxies write it: bare, with a port (`192.0.2.1:4711`, `[2001:db8::1]:4711`), or in the
 * brackets of an address with a port. '' for anything else.
 */
const addressIn = (entry: string): string => {
  const bracketed = /^\[([^[\]]+)\](?::\d{1,5})?$/.exec(entry)?.[1];
  if (bracketed !== undefined) return isIP(bracketed) === 6 ? bracketed : '';
  if (isIP(entry) !== 0) return entry;
  const bare = /^([\d.]+):\d{1,5}$/.exec(entry)?.[1] ?? '';
  return isIP(bare) === 4 ? bare : '';
};

const isLoopback = (address: string): boolean =>
  address === '::1' || address.startsWith('127.') || address.startsWith('::ffff:127.');

/**
 * @param trustedProxies how many proxies of ours stand in front, each of which appended one entry. Entries further
 * left are whatever the caller wrote and are not looked at.
 */
export const readOrigin = (request: IncomingMessage, trustedProxies: number): Origin => {
  const peer = request.socket.remoteAddress ?? '';
  const isTls = (request.socket as TLSSocket).encrypted === true;
  if (trustedProxies === 0) return { address: peer, isEncrypted: isTls, isLocal: isLoopback(peer) };
  const addresses = lastOf(request.headers['x-forwarded-for'], trustedProxies);
  const forwarded = addressIn(addresses[0] ?? '');
  const [protocol] = lastOf(request.headers['x-forwarded-proto'], trustedProxies);
  return {
    address: forwarded === '' ? peer : forwarded,
    isEncrypted: isTls || protocol === 'https',
    isLocal: isLoopback(peer) && addresses.length === 0,
  };
};
