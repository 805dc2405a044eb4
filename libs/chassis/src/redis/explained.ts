import type { RedisAddress } from './address.ts';

const textOf = (error: Error & { lastNodeError?: Error }): string =>
  `${error.message}${error.lastNodeError === undefined ? '' : ` ${error.lastNodeError.message}`}`;

/** What Redis and ioredis say when REDIS_URL does not fit what stands there, and what that means. */
const MEANINGS: readonly [RegExp, (address: RedisAddress) => string][] = [
  [/cluster support disabled/i, () => 'REDIS_URL names a cluster, and this is a single server: say redis://'],
  [
    /unknown command.*sentinel/i,
    () => 'REDIS_URL names Sentinels, and this is a Redis: name the Sentinels (port 26379), or say redis://',
  ],
  [
    /MOVED \d+/,
    () => 'REDIS_URL names a single server, and this is one of a cluster: say redis+cluster://HOST:PORT,…',
  ],
  [/WRONGPASS|invalid password/i, () => 'user or password in REDIS_URL are wrong'],
  [/NOAUTH/, () => 'this Redis asks for a password: put it into REDIS_URL'],
  [/NOPERM/, () => 'the user in REDIS_URL lacks a right'],
  [
    /All sentinels are unreachable/i,
    ({ masterName }) => `no Sentinel answers, or none knows a master "${masterName}"`,
  ],
  [
    /self-signed certificate|unable to (get|verify)|certificate/i,
    () => 'the certificate of Redis is not trusted: ?ca_file= names the CA that signed it',
  ],
];

/** An error of a connection with its meaning in front, for an operator. */
export const explained = (error: Error, address: RedisAddress): string => {
  const text = textOf(error);
  const meaning = MEANINGS.find(([pattern]) => pattern.test(text))?.[1](address);
  return meaning === undefined ? text : `${meaning} (${text})`;
};
