import type { IncomingMessage } from 'node:http';
import type { Credential } from '../credentials.ts';

/** What a miner is called that calls itself by its key. */
const NAME = 'default';
/** As our keys look: also one that is not the caller's must not become a name. */
const LOOKS_LIKE_A_KEY = /ak_[a-z]+_[\w-]{43,}/;

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
};

/**
 * Programs of the original coordinator call their miner by their API key: in a header, in the path, in the query. From
 * here on it stands nowhere: not at a service, in no file, in nobody's log.
 */
export const hideKey = (request: IncomingMessage, credential: Credential | null): void => {
  const isKey = (text: string): boolean =>
    LOOKS_LIKE_A_KEY.test(text) || (credential !== null && text.includes(credential.secret));
  const named = request.headers['x-miner-id'];
  if (typeof named === 'string' && isKey(named)) request.headers['x-miner-id'] = NAME;
  const { url = '' } = request;
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const query = mark === -1 ? undefined : url.slice(mark + 1);
  const segments = path.split('/').map((segment) => (isKey(decoded(segment)) ? NAME : segment));
  const pairs = query?.split('&').map((pair) => {
    if (!isKey(decoded(pair))) return pair;
    const [name = ''] = pair.split('=', 1);
    return isKey(decoded(name)) ? NAME : `${name}=${NAME}`;
  });
  request.url = segments.join('/') + (pairs === undefined ? '' : `?${pairs.join('&')}`);
};
