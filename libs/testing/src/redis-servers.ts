import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { endWithUs } from './broker.ts';
import { eventually } from './eventually.ts';
import { freePort } from './ports.ts';

/** Without them a machine has no clusters and no Sentinels: such tests are skipped by name. */
export const hasRedisServer = ['redis-server', 'redis-cli'].every(
  (name) => spawnSync(name, ['--version']).status === 0,
);

/** A server that a test may kill: its processes and files are its own. */
export interface RedisServer {
  readonly port: number;
  readonly client: Redis;
  readonly isRunning: boolean;
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** On the same port, with what its append-only file holds. */
  start(): Promise<void>;
}

/** One server, for a test that wants it set up in its own way. */
export const startServer = (folder: string, settings: readonly string[] = []): Promise<RedisServer> =>
  openServer(folder, 'server', [...DURABLE, ...settings]);

const say = (port: number, ...words: string[]): string => {
  const { stdout, stderr, status } = spawnSync('redis-cli', ['-p', String(port), ...words], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`redis-cli ${words.join(' ')}: ${stdout}${stderr}`);
  return stdout;
};

/** @param settings lines of redis.conf beyond port and folder */
const openServer = async (
  folder: string,
  name: string,
  settings: readonly string[],
  more: readonly string[] = [],
): Promise<RedisServer> => {
  const dir = join(folder, name);
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const config = join(dir, 'redis.conf');
  writeFileSync(config, [`port ${port}`, 'bind 127.0.0.1', `dir ${dir}`, ...settings, ''].join('\n'));
  const client = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => 100 });
  client.on('error', () => {});
  let child: ChildProcess | undefined;
  const server: RedisServer = {
    port,
    client,
    get isRunning() {
      return child !== undefined;
    },
    kill: async (signal = 'SIGKILL') => {
      const leaving = child;
      if (leaving === undefined) return;
      const gone = once(leaving, 'exit');
      leaving.kill(signal);
      await gone;
      child = undefined;
    },
    start: async () => {
      const output = openSync(join(dir, 'output.log'), 'a');
      const started = spawn('redis-server', [config, ...more], { stdio: ['ignore', output, output] });
      closeSync(output);
      started.once('exit', endWithUs(['kill', '-KILL', String(started.pid)]));
      child = started;
      await eventually(() => say(port, 'ping').includes('PONG') || say(port, 'ping').includes('NOAUTH'));
    },
  };
  await server.start();
  return server;
};

const DURABLE = ['appendonly yes', 'appendfsync everysec', 'save ""', 'maxmemory-policy noeviction'];

const stopAll = async (servers: readonly RedisServer[]): Promise<void> => {
  for (const server of servers) {
    server.client.disconnect();
    await server.kill();
  }
};

/** A line of redis.conf: a user with these ACL rules. The file does not hold the password. */
export const aclUser = (name: string, password: string, rules: readonly string[]): string =>
  `user ${name} on #${hash('sha256', password)} ${rules.join(' ')}`;

/**
 * Three masters on free ports, with a replica each if asked for; `url` is what REDIS_URL takes.
 * @param options.settings lines of redis.conf for each server
 */
export const startCluster = async (
  folder: string,
  options: { replicas?: 0 | 1; settings?: readonly string[] } = {},
) => {
  const { replicas = 0 } = options;
  const settings = [
    ...DURABLE,
    ...(options.settings ?? []),
    'cluster-enabled yes',
    'cluster-node-timeout 1000',
    // A copy that has just begun may take over too: a test kills masters before they are ten seconds old.
    'cluster-replica-validity-factor 0',
    // The other masters go on when one is away.
    'cluster-require-full-coverage no',
    'repl-diskless-sync-delay 0',
  ];
  const servers: RedisServer[] = [];
  for (let n = 0; n < 3 * (1 + replicas); n += 1) {
    // Beside its port each has one for the others; by default it lies 10,000 higher, often beyond all ports.
    servers.push(await openServer(folder, `node-${n}`, [...settings, `cluster-port ${await freePort()}`]));
  }
  const nodes = servers.map(({ port }) => `127.0.0.1:${port}`);
  say(
    servers[0]?.port as number,
    '--cluster',
    'create',
    ...nodes,
    '--cluster-replicas',
    String(replicas),
    '--cluster-yes',
  );
  const infoOf = (server: RedisServer): string => say(server.port, 'cluster', 'info');
  await eventually(
    () =>
      servers.every((server) => infoOf(server).includes('cluster_state:ok')) &&
      servers.every((server) => {
        const info = say(server.port, 'info', 'replication');
        return info.includes('role:master') || info.includes('master_link_status:up');
      }),
    { withinMs: 30_000, everyMs: 100 },
  );
  return {
    url: `redis+cluster://${nodes.slice(0, 3).join(',')}`,
    servers,
    /** The master that holds a key now. */
    masterOf: (key: string): RedisServer => {
      const alive = servers.find(({ isRunning }) => isRunning) as RedisServer;
      const slot = Number(say(alive.port, 'cluster', 'keyslot', key));
      const holder = say(alive.port, 'cluster', 'nodes')
        .split('\n')
        .map((line) => line.split(' '))
        .find(
          ([, , flags = '', , , , , , ...ranges]) =>
            flags.includes('master') &&
            !flags.includes('fail') &&
            ranges.some((range) => {
              const [from, to] = range.split('-').map(Number) as [number, number?];
              return slot >= from && slot <= (to ?? from);
            }),
        );
      const port = Number(/:(\d+)@/.exec(holder?.[1] ?? '')?.[1]);
      const found = servers.find((server) => server.port === port);
      if (found === undefined) throw new Error(`no master holds ${key}`);
      return found;
    },
    stop: () => stopAll(servers),
  };
};

/** One master, one replica, three Sentinels that agree within a second or two. */
export const startSentinel = async (folder: string, options: { settings?: readonly string[] } = {}) => {
  const ofServer = [...DURABLE, ...(options.settings ?? [])];
  const master = await openServer(folder, 'server-1', ofServer);
  const replica = await openServer(folder, 'server-2', [
    ...ofServer,
    `replicaof 127.0.0.1 ${master.port}`,
    'repl-diskless-sync-delay 0',
  ]);
  await eventually(() => say(replica.port, 'info', 'replication').includes('master_link_status:up'));
  const sentinels: RedisServer[] = [];
  for (let n = 1; n <= 3; n += 1) {
    const settings = [
      `sentinel monitor main 127.0.0.1 ${master.port} 2`,
      'sentinel down-after-milliseconds main 1000',
      'sentinel failover-timeout main 5000',
    ];
    sentinels.push(await openServer(folder, `sentinel-${n}`, settings, ['--sentinel']));
  }
  const knows = (sentinel: RedisServer) => say(sentinel.port, 'sentinel', 'master', 'main');
  const after = (text: string, name: string) => new RegExp(`^${name}\\n(.*)$`, 'm').exec(text)?.[1];
  await eventually(
    () =>
      sentinels.every(
        (sentinel) =>
          after(knows(sentinel), 'num-other-sentinels') === '2' &&
          after(knows(sentinel), 'num-slaves') === '1',
      ),
    { withinMs: 30_000, everyMs: 100 },
  );
  const servers = [master, replica];
  return {
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/main`,
    servers,
    sentinels,
    /** As the Sentinels say now. */
    master: (): RedisServer => {
      const port = Number(after(knows(sentinels[0] as RedisServer), 'port'));
      return servers.find((server) => server.port === port) as RedisServer;
    },
    stop: () => stopAll([...sentinels, ...servers]),
  };
};
