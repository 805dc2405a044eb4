import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import {
  aclUser,
  eventually,
  freePort,
  hasRedisServer,
  type RedisServer,
  scratchDirectory,
  startCluster,
  startSentinel,
  startServer,
} from '@aitbc/testing';
import { afterEach, describe, expect, test } from 'vitest';
import { ConfigError, commonConfig, createLog, loadConfig } from '../index.ts';
import {
  brokerProblem,
  connectRedis,
  leastRights,
  parseRedisUrl,
  type RedisClient,
  watchBroker,
} from './index.ts';

let stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  stops = [];
});
const log = createLog('test', 'silent');
const options = { prefix: 'test', isProduction: false };

const startOne = async (settings: readonly string[] = []): Promise<RedisServer> => {
  const server = await startServer(scratchDirectory(), settings);
  stops.push(async () => {
    server.client.disconnect();
    await server.kill();
  });
  return server;
};
const connect = (url: string): RedisClient => {
  const redis = connectRedis(url, log);
  stops.push(async () => redis.disconnect());
  return redis;
};
/** What `/health/ready` says of this address, once it says more than that it is connecting. */
const healthOf = (redisUrl: string, isProduction = false): Promise<string> => {
  const redis = connect(redisUrl);
  const health = watchBroker({ redis, redisUrl, prefix: 'test', isProduction, log });
  return eventually(() => {
    const said = health();
    return said?.includes(' ') === true && !/^connection is \w+$/.test(said) && said;
  });
};

describe('REDIS_URL', () => {
  test('is one server, Sentinels or a cluster', () => {
    expect(parseRedisUrl('redis://:p%40ss@127.0.0.1:6380/3')).toMatchObject({
      kind: 'single',
      nodes: [{ host: '127.0.0.1', port: 6380 }],
      password: 'p@ss',
      db: 3,
      tls: undefined,
    });
    expect(parseRedisUrl('rediss://user:pw@redis.example')).toMatchObject({
      username: 'user',
      nodes: [{ host: 'redis.example', port: 6379 }],
      tls: {},
    });
    expect(parseRedisUrl('redis+sentinel://a,[::1]:26380/main?sentinel_password=s&db=2')).toMatchObject({
      kind: 'sentinel',
      nodes: [
        { host: 'a', port: 26_379 },
        { host: '::1', port: 26_380 },
      ],
      masterName: 'main',
      sentinelPassword: 's',
      db: 2,
    });
    expect(parseRedisUrl('redis+cluster://u:p@a:1,b:2')).toMatchObject({
      kind: 'cluster',
      nodes: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
    });
  });

  test.each([
    ['http://a', 'expected redis://HOST:PORT'],
    ['redis://', 'expected redis://HOST:PORT'],
    ['redis://a:1,b:2', 'say redis+cluster:// or redis+sentinel://'],
    ['redis://a:99999', '"a:99999" is not HOST:PORT'],
    ['redis://a/x', '"x" is not the number of a database'],
    ['redis+sentinel://a:1', 'names no master'],
    ['redis+cluster://a:1/3', 'a cluster has database 0 only'],
    ['redis://a?ca_file=/x', 'ca_file needs TLS'],
    ['rediss://a?ca_file=/is/not/there', '/is/not/there cannot be read (ENOENT)'],
    ['rediss://a?cert_file=/x', 'cert_file and key_file are needed together'],
    ['redis://a?family=6', 'does not know "family"'],
    ['redis://user:se%cret@a', 'the password is not percent-encoded'],
  ])('%s is refused: %s', (url, problem) => {
    const env = { SECRET_KEY: 'x'.repeat(32), REDIS_URL: url };
    expect(() => loadConfig(commonConfig, env)).toThrow(ConfigError);
    expect(() => loadConfig(commonConfig, env)).toThrow(problem);
    expect(() => loadConfig(commonConfig, env)).not.toThrow(/cret/);
  });
});

describe.skipIf(!hasRedisServer)('what does not fit is named', () => {
  test('a server that throws work away, or forgets', async () => {
    const server = await startOne();
    const redis = connect(`redis://127.0.0.1:${server.port}`);
    await eventually(() => redis.status === 'ready');
    expect(await brokerProblem(redis, options)).toBeNull();
    await server.client.config('SET', 'maxmemory-policy', 'allkeys-lru');
    expect(await brokerProblem(redis, options)).toContain('maxmemory-policy is allkeys-lru');
    await server.client.config('SET', 'maxmemory-policy', 'noeviction');
    await server.client.config('SET', 'appendonly', 'no');
    expect(await brokerProblem(redis, { ...options, isProduction: true })).toContain('set appendonly to yes');
  });

  test('a single server named as a cluster, and as Sentinels', async () => {
    const { port } = await startOne();
    expect(await healthOf(`redis+cluster://127.0.0.1:${port}`)).toContain('this is a single server');
    expect(await healthOf(`redis+sentinel://127.0.0.1:${port}/main`)).toContain('and this is a Redis');
  });

  test('a cluster named as a single server', async () => {
    const cluster = await startCluster(scratchDirectory());
    stops.push(cluster.stop);
    const [first] = cluster.servers as [RedisServer];
    expect(await healthOf(`redis://127.0.0.1:${first.port}`)).toContain('say redis+cluster://');
  });

  test('Sentinels that do not know the master', async () => {
    const sentinel = await startSentinel(scratchDirectory());
    stops.push(sentinel.stop);
    expect(await healthOf(sentinel.url.replace('/main', '/other'))).toContain('knows a master "other"');
  });

  test('a Redis that is too old', async () => {
    const info = async () => 'redis_version:6.0.16\r\nmaxmemory_policy:noeviction\r\n';
    const old = { isCluster: false, info } as unknown as RedisClient;
    expect(await brokerProblem(old, options)).toContain('redis 6.0.16 is too old: 6.2 or newer');
  });

  test('a wrong password, none, and each right that is missing', async () => {
    const rights = leastRights('test');
    const server = await startOne([
      aclUser('good', 'pw', rights),
      aclUser('few', 'pw', [...rights, '-zadd', '-evalsha']),
      aclUser('elsewhere', 'pw', leastRights('other')),
      aclUser('blind', 'pw', [...rights, '-info']),
    ]);
    const url = (user: string) => `redis://${user}@127.0.0.1:${server.port}`;
    const good = connect(url('good:pw'));
    await eventually(() => good.status === 'ready');
    expect(await brokerProblem(good, options)).toBeNull();
    expect(await healthOf(url('good:wrong'))).toContain('user or password in REDIS_URL are wrong');
    expect(await healthOf(url('few:pw'))).toContain('lacks rights: ZADD');
    expect(await healthOf(url('elsewhere:pw'))).toContain('lacks rights');
    expect(await healthOf(url('blind:pw'))).toContain("'info'");
  });
});

test('the least rights name every command of the scripts, ours and those of this BullMQ', () => {
  const main = createRequire(import.meta.url).resolve('bullmq');
  const scripts = join(dirname(main), '..', 'esm', 'scripts');
  const root = join(import.meta.dirname, '../../../..');
  const texts = [
    ...readdirSync(scripts).map((name) => join(scripts, name)),
    join(root, 'services/jobs/src/dispatcher/pool.lua'),
    join(root, 'services/gateway/src/rate-limits.lua'),
  ].map((file) => readFileSync(file, 'utf8'));
  const used = new Set(
    texts.flatMap((text) =>
      [...text.matchAll(/call\(\s*['"](\w+)['"]/g)].map(([, name]) => `+${name?.toLowerCase()}`),
    ),
  );
  expect(used.size).toBeGreaterThan(50);
  expect([...used].filter((right) => !leastRights('x').includes(right))).toEqual([]);
});

test('deploy/README.md names the least rights as they are', () => {
  const page = readFileSync(join(import.meta.dirname, '../../../../deploy/README.md'), 'utf8').replace(
    /\s+/g,
    ' ',
  );
  expect(page).toContain(leastRights('aitbc').join(' '));
});

test.skipIf(!hasRedisServer)(
  'TLS with a CA of one’s own: without it the server is not trusted, and that is said',
  async () => {
    const dir = scratchDirectory();
    const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: dir, stdio: 'pipe' });
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
    openssl('req', '-x509', ...ec, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=a CA for a test');
    openssl(
      ...[
        'req',
        '-x509',
        ...ec,
        '-CA',
        'ca.pem',
        '-CAkey',
        'ca.key',
        '-keyout',
        'redis.key',
        '-out',
        'redis.pem',
      ],
      ...[
        '-subj',
        '/CN=redis',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-addext',
        'basicConstraints=CA:FALSE',
      ],
    );
    const port = await freePort();
    await startOne([
      `tls-port ${port}`,
      `tls-cert-file ${dir}/redis.pem`,
      `tls-key-file ${dir}/redis.key`,
      `tls-ca-cert-file ${dir}/ca.pem`,
    ]);
    const files = `cert_file=${dir}/redis.pem&key_file=${dir}/redis.key`;
    const redis = connect(`rediss://127.0.0.1:${port}?ca_file=${dir}/ca.pem&${files}`);
    await eventually(() => redis.status === 'ready');
    expect(await redis.ping()).toBe('PONG');
    expect(await healthOf(`rediss://127.0.0.1:${port}?${files}`)).toContain('?ca_file= names the CA');
  },
);
