import { readFileSync } from 'node:fs';

/** What REDIS_URL says. */
export interface RedisAddress {
  /** One server; a master that Sentinels name, and another one after a fail-over; the masters of a cluster. */
  readonly kind: 'single' | 'sentinel' | 'cluster';
  /** The server, the Sentinels, or some servers of the cluster: one that answers tells of the others. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly masterName: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly sentinelUsername: string | undefined;
  readonly sentinelPassword: string | undefined;
  readonly db: number;
  /** Undefined: no TLS. Otherwise PEM texts, as node:tls takes them. */
  readonly tls: { ca?: string; cert?: string; key?: string } | undefined;
}

/** For messages: what is expected where something else stands. */
const FORMS =
  'expected redis://HOST:PORT, redis+sentinel://HOST:PORT,HOST:PORT/MASTER or redis+cluster://HOST:PORT,HOST:PORT (rediss… for TLS)';

const SCHEMES = /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\//;
const FILES = { ca_file: 'ca', cert_file: 'cert', key_file: 'key' } as const;
const PORT = { single: 6379, cluster: 6379, sentinel: 26_379 } as const;

/** Percent-encoded, as in every URL. Undefined for nothing. */
const decoded = (text: string | undefined, what: string): string | undefined => {
  if (text === undefined || text === '') return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error(`${what} is not percent-encoded`);
  }
};

const nodeOf = (text: string, port: number) => {
  const match = /^(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/.exec(text);
  const given = match?.[2] === undefined ? port : Number(match[2]);
  if (match === null || given < 1 || given > 65_535) throw new Error(`"${text}" is not HOST:PORT`);
  return { host: (match[1] as string).replace(/^\[|\]$/g, ''), port: given };
};

const readPem = (file: string, what: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`${what}: ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
};

/**
 * Reads REDIS_URL. It says all of a connection in one value, files included, so that nothing else has to be handed on.
 * @throws Error with what is wrong, and without the password.
 */
export const parseRedisUrl = (url: string): RedisAddress => {
  const scheme = SCHEMES.exec(url);
  if (scheme === null) throw new Error(FORMS);
  const kind = (scheme[2] ?? 'single') as RedisAddress['kind'];
  const isTls = scheme[1] === 'rediss';
  const [beforeQuery, query = ''] = url.slice(scheme[0].length).split('?', 2) as [string, string?];
  // A password may hold anything but is percent-encoded, so the last @ ends it in any case.
  const at = beforeQuery.lastIndexOf('@');
  const [user, ...password] = beforeQuery.slice(0, Math.max(0, at)).split(':');
  const [hosts = '', path = '', ...more] = beforeQuery.slice(at + 1).split('/');
  if (more.length > 0 || hosts === '') throw new Error(FORMS);
  const nodes = hosts.split(',').map((text) => nodeOf(text, PORT[kind]));
  if (kind === 'single' && nodes.length > 1)
    throw new Error('names several hosts: say redis+cluster:// or redis+sentinel://');

  const parameters = new URLSearchParams(query);
  const allowed = [
    ...(isTls ? Object.keys(FILES) : []),
    ...(kind === 'sentinel' ? ['sentinel_username', 'sentinel_password', 'db'] : []),
  ];
  for (const name of parameters.keys())
    if (!allowed.includes(name))
      throw new Error(
        name in FILES ? `${name} needs TLS: say rediss` : `does not know "${name}" after the question mark`,
      );
  if (parameters.has('cert_file') !== parameters.has('key_file'))
    throw new Error('cert_file and key_file are needed together');
  if (kind === 'cluster' && path !== '' && path !== '0') throw new Error('a cluster has database 0 only');
  if (kind === 'sentinel' && path === '')
    throw new Error('names no master: redis+sentinel://HOST:PORT/MASTER');
  const db = kind === 'sentinel' ? (parameters.get('db') ?? '') : path;
  if (!/^\d{0,5}$/.test(db)) throw new Error(`"${db}" is not the number of a database`);

  return {
    kind,
    nodes,
    masterName: kind === 'sentinel' ? decoded(path, 'the name of the master') : undefined,
    username: decoded(user, 'the user'),
    password: decoded(password.join(':'), 'the password'),
    sentinelUsername: parameters.get('sentinel_username') ?? undefined,
    sentinelPassword: parameters.get('sentinel_password') ?? undefined,
    db: Number(db),
    tls: isTls
      ? Object.fromEntries(
          Object.entries(FILES).flatMap(([name, option]) => {
            const file = parameters.get(name);
            return file === null ? [] : [[option, readPem(file, name)]];
          }),
        )
      : undefined,
  };
};
