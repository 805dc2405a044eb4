import { type LookupAddress, lookup } from 'node:dns';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { promisify } from 'node:util';
import ipaddr from 'ipaddr.js';

/** From the look-up of the name to the last byte that is read. */
const CALL_MAX_MS = 10_000;
/** An answer is a status; what else it says is kept for the log, up to this. */
const ANSWER_BYTES_MAX = 1_024;
/** Ids and states. */
export const BODY_BYTES_MAX = 20 * 1_024;

/** Why there was no answer. */
export type CallFailure =
  /** The URL is none that is called: another scheme, a user and password in it. */
  | 'url_refused'
  /** The name stands for an address that is not out in the internet. */
  | 'address_refused'
  | 'name_unknown'
  | 'timed_out'
  /** No connection, or it broke before there was a status; also a certificate that is not good. */
  | 'not_reached';

export type CallOutcome =
  | { readonly kind: 'answered'; readonly status: number; readonly text: string }
  | { readonly kind: 'failed'; readonly reason: CallFailure };

const failed = (reason: CallFailure): CallOutcome => ({ kind: 'failed', reason });

/**
 * Whether an address is out in the internet, by the registries of IANA: loopback, private, link-local (there the metadata of a
 * cloud is), shared, mapped, translated, tunnelled and reserved ones are not.
 */
export const isPublicAddress = (address: string): boolean =>
  ipaddr.isValid(address) && ipaddr.parse(address).range() === 'unicast';

export type Resolve = (hostname: string) => Promise<LookupAddress[]>;
const lookUp = promisify(lookup);
const systemResolve: Resolve = (hostname) => lookUp(hostname, { all: true });

export interface CallRules {
  /** Also http, and with it whatever address: for development, where a receiver runs on the same machine. */
  readonly isDevelopment: boolean;
  readonly resolve?: Resolve;
  /** Of an address that was found; {@link isPublicAddress} unless a test says so. */
  readonly isAllowed?: (address: string) => boolean;
  readonly timeoutMs?: number;
}

/** @returns why it is not called, or null. Names are looked up with each call: what stands behind one changes. */
export const refuseUrl = (url: URL, isDevelopment: boolean): CallFailure | null => {
  if (url.protocol !== 'https:' && !(isDevelopment && url.protocol === 'http:')) return 'url_refused';
  if (url.username !== '' || url.password !== '') return 'url_refused';
  return null;
};

/** The connection takes what was looked up and looked at, and asks nobody again. */
const pinned =
  (addresses: readonly LookupAddress[]): LookupFunction =>
  (_hostname, options, done) => {
    const [first] = addresses as [LookupAddress];
    if (options.all === true) done(null, [...addresses]);
    else done(null, first.address, first.family);
  };

/** At most {@link ANSWER_BYTES_MAX} of what is said; the status counts already, so whatever ends it is the end. */
const readSome = (response: IncomingMessage): Promise<string> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = () => {
      response.destroy();
      resolve(Buffer.concat(chunks).subarray(0, ANSWER_BYTES_MAX).toString());
    };
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= ANSWER_BYTES_MAX) end();
    });
    response.on('end', end);
    response.on('error', end);
    response.on('close', end);
  });

/**
 * POSTs JSON to an address that a stranger chose, so that it reaches the internet and nothing of ours: the name is looked up
 * once, all that it stands for is looked at, and the connection goes to that very address; no redirect is followed and no
 * proxy asked; what comes back is read to 1 KB, and all of it takes 10 s.
 * @param headers beside those of the body
 */
export const callStranger = async (
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
  rules: CallRules,
): Promise<CallOutcome> => {
  if (Buffer.byteLength(body) > BODY_BYTES_MAX) throw new Error('the body of a webhook is too large');
  const refused = refuseUrl(url, rules.isDevelopment);
  if (refused !== null) return failed(refused);
  const { resolve = systemResolve, timeoutMs = CALL_MAX_MS } = rules;
  const isAllowed = rules.isAllowed ?? (rules.isDevelopment ? () => true : isPublicAddress);

  let request: ClientRequest | undefined;
  let isAnswered = false;
  let isLate = false;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<CallOutcome>((done) => {
    timer = setTimeout(() => {
      isLate = true;
      // What drips on is cut here, and was answered all the same.
      if (!isAnswered) done(failed('timed_out'));
      request?.destroy();
    }, timeoutMs);
  });

  const call = async (): Promise<CallOutcome> => {
    const hostname = url.hostname.replace(/^\[|\]$/g, '');
    let addresses: LookupAddress[];
    try {
      const family = isIP(hostname);
      addresses = family === 0 ? await resolve(hostname) : [{ address: hostname, family }];
    } catch {
      return failed('name_unknown');
    }
    if (addresses.length === 0) return failed('name_unknown');
    // A look-up cannot be called off: nothing is connected after it when the time is over.
    if (isLate) return failed('timed_out');
    // One of several that is not allowed is a name that is not: which of them answers is not ours to choose.
    if (!addresses.every(({ address }) => isAllowed(address))) return failed('address_refused');
    const response = await new Promise<IncomingMessage | null>((done) => {
      const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
      request = send(url, {
        method: 'POST',
        // A connection of its own, closed after it: none that was made for another name.
        agent: false,
        lookup: pinned(addresses),
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'user-agent': 'aitbc-webhooks',
          connection: 'close',
        },
      });
      request.on('response', done);
      request.on('error', () => done(null));
      request.end(body);
    });
    if (response === null) return failed('not_reached');
    isAnswered = true;
    const status = response.statusCode as number;
    return { kind: 'answered', status, text: await readSome(response) };
  };

  try {
    return await Promise.race([call(), late]);
  } finally {
    clearTimeout(timer);
    request?.destroy();
  }
};
