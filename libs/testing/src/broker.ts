import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Log } from '@aitbc/chassis';
import { connectRedis, parseRedisUrl } from '@aitbc/chassis/redis';
import { freePort } from './ports.ts';

export type BrokerKind = 'redis_url' | 'redis-server' | 'valkey-server' | 'docker' | 'js-redis-server';

export type Broker = {
  readonly url: string;
  readonly kind: BrokerKind;
  /** Changes when the broker died and came back; missing when it is not ours or not running. */
  readonly pid?: number | undefined;
  /** What a person should know about this broker before trusting it. */
  readonly banner?: string;
  /** Ends it for good, or until `start`. A broker that we were only pointed at (`REDIS_URL`) is left alone. */
  stop(): Promise<void>;
  /** Brings a stopped broker back on the same address with the same data. */
  start(): Promise<void>;
};

export type FindBrokerOptions = {
  dataDir: string;
  log: (line: string) => void;
  env?: NodeJS.ProcessEnv;
  /**
   * A broker that we start asks everybody for it, and `url` holds it. Everybody on this machine can reach loopback; a
   * password is what keeps the mailboxes to those who were told. Letters and digits.
   */
  password?: string;
};

type Program = {
  kind: BrokerKind;
  /** @param config a file that names the password, in its folder: what stands here is shown to everybody by `ps`. */
  argv: (port: number, config: string | undefined) => string[];
  /** Where the program sees its folder, if not where we see it. */
  folder?: string;
  /** Ends the broker when this process died without doing so. */
  farewell: (pid: number) => string[];
  banner?: string;
};

/** A reason, in words, why this way of getting a broker is closed. */
type Unavailable = string;

const image = 'redis:7-bookworm';
const durable = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''];
const settings = [...durable, '--maxmemory-policy', 'noeviction', '--daemonize', 'no'];

export async function findBroker({
  dataDir,
  log,
  env = process.env,
  password,
}: FindBrokerOptions): Promise<Broker> {
  if (env.REDIS_URL) return givenBroker(env.REDIS_URL);
  const dir = resolve(dataDir, 'redis');
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const closed: Unavailable[] = [];
  for (const look of [installed('redis-server'), installed('valkey-server'), inDocker, inJavaScript]) {
    const found = look(dir, env, log);
    if (typeof found === 'string') {
      closed.push(found);
      continue;
    }
    try {
      return await keepRunning(found, dir, env, log, password);
    } catch (error) {
      closed.push(`${found.kind} did not start: ${(error as Error).message}`);
    }
  }
  throw new Error(
    [
      'No message broker found. Do one of these:',
      '  - install Redis: apt-get install redis-server (Debian, Ubuntu), brew install redis (macOS), or valkey',
      '  - start Docker, which then runs Redis in a container',
      '  - point REDIS_URL at a Redis or Valkey that is running, e.g. REDIS_URL=redis://127.0.0.1:6379',
      'Tried:',
      ...closed.map((reason) => `  - ${reason}`),
    ].join('\n'),
  );
}

async function givenBroker(url: string): Promise<Broker> {
  let hosts: string;
  try {
    // The address may carry a password, so only its hosts are repeated.
    hosts = parseRedisUrl(url)
      .nodes.map(({ host, port }) => `${host}:${port}`)
      .join(', ');
  } catch (error) {
    throw new Error(`REDIS_URL is not usable: ${(error as Error).message}`);
  }
  const problem = await untilPong(url, 5_000, () => undefined);
  if (problem) throw new Error(`REDIS_URL points at ${hosts}, which does not answer PING: ${problem}`);
  return { url, kind: 'redis_url', stop: async () => {}, start: async () => {} };
}

const installed =
  (name: 'redis-server' | 'valkey-server') =>
  (dir: string, env: NodeJS.ProcessEnv): Program | Unavailable => {
    const path = onPath(name, env);
    if (!path) return `${name} is not on PATH`;
    const local = ['--bind', '127.0.0.1', '--protected-mode', 'yes', '--dir', dir];
    return {
      kind: name,
      argv: (port, config) => [path, ...given(config), '--port', String(port), ...local, ...settings],
      farewell: (pid) => ['kill', '-TERM', String(pid)],
    };
  };

const given = (value: string | undefined): string[] => (value === undefined ? [] : [value]);

function inDocker(dir: string, env: NodeJS.ProcessEnv, log: (line: string) => void): Program | Unavailable {
  const docker = onPath('docker', env);
  if (!docker) return 'docker is not on PATH';
  const succeeds = (timeout: number, ...args: string[]) =>
    spawnSync(docker, args, { env, stdio: 'ignore', timeout }).status === 0;
  if (!succeeds(5_000, 'info')) return 'docker is installed, but its engine does not answer';
  if (!succeeds(5_000, 'image', 'inspect', image)) {
    log(`fetching the container image ${image}`);
    if (!succeeds(180_000, 'pull', '--quiet', image)) return `docker could not fetch ${image}`;
  }
  const name = `aitbc-broker-${process.pid}-${Date.now().toString(36)}`;
  const user = `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`; // so that the data stays ours to delete
  const inside = ['--bind', '0.0.0.0', '--protected-mode', 'no', '--dir', '/data'];
  const run = ['run', '--rm', '--name', name, '--user', user, '--volume', `${dir}:/data`];
  return {
    kind: 'docker',
    folder: '/data',
    argv: (port, config) => {
      // A client killed hard leaves its container, and the name with it.
      succeeds(10_000, 'rm', '--force', name);
      const publish = ['--publish', `127.0.0.1:${port}:6379`];
      return [docker, ...run, ...publish, image, 'redis-server', ...given(config), ...inside, ...settings];
    },
    farewell: () => [docker, 'stop', name],
  };
}

function inJavaScript(_dir: string, env: NodeJS.ProcessEnv): Program | Unavailable {
  if (env.NODE_ENV === 'production')
    return 'js-redis-server keeps everything in memory and is refused in production';
  try {
    createRequire(import.meta.url).resolve('js-redis-server');
  } catch {
    return 'js-redis-server, an optional package, is not installed';
  }
  const script = fileURLToPath(new URL('./js-broker.ts', import.meta.url));
  return {
    kind: 'js-redis-server',
    argv: (port) => [process.execPath, script, String(port)],
    farewell: (pid) => ['kill', '-TERM', String(pid)],
    banner:
      'No Redis was found, so messages go through one written in JavaScript: in memory only and about ' +
      '100 times slower. Fine for a look around; for anything else install redis-server.',
  };
}

function onPath(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const candidates = (env.PATH ?? '').split(delimiter).map((folder) => join(folder, name));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Starts the program and starts it again whenever it dies, always on the same port and data. */
async function keepRunning(
  program: Program,
  dir: string,
  env: NodeJS.ProcessEnv,
  log: (line: string) => void,
  password: string | undefined,
): Promise<Broker> {
  const logFile = join(dir, 'broker.log');
  let port = await freePort();
  let child: ChildProcess | undefined;
  let wanted = true;
  let deaths = 0;

  const launch = (): void => {
    const config = password === undefined ? undefined : writeConfig(dir, password, program.folder);
    const [command, ...args] = program.argv(port, config) as [string, ...string[]];
    const output = openSync(logFile, 'a', 0o600);
    // A group of its own: Ctrl-C in the terminal must not take the broker away before those who use it.
    const started = spawn(command, args, {
      env: password === undefined ? env : { ...env, BROKER_PASSWORD: password },
      detached: true,
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    const since = Date.now();
    const release = started.pid ? endWithUs(program.farewell(started.pid)) : () => {};
    started.unref();
    child = started;
    const ended = () => {
      release();
      if (child !== started) return;
      child = undefined;
      if (!wanted) return;
      deaths = Date.now() - since > 60_000 ? 0 : deaths + 1;
      const wait = Math.min(1_000 * 2 ** (deaths - 1), 30_000);
      log(`${program.kind} ended unexpectedly, starting it again in ${wait / 1_000} s`);
      setTimeout(() => wanted && !child && launch(), wait).unref();
    };
    started.once('error', ended).once('exit', ended);
  };

  const url = () => `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${port}`;
  const start = async (): Promise<void> => {
    wanted = false; // a first start that fails is reported, not repeated
    launch();
    const problem = await untilPong(url(), 20_000, () => (child ? undefined : lastLines(logFile)));
    if (problem) {
      await stop();
      throw new Error(problem);
    }
    wanted = true;
  };
  const stop = async (): Promise<void> => {
    wanted = false;
    const leaving = child;
    if (!leaving) return;
    const gone = once(leaving, 'exit');
    leaving.kill('SIGTERM');
    const force = setTimeout(() => leaving.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(force);
  };

  try {
    await start();
  } catch {
    port = await freePort(); // somebody may have taken the first between choosing and listening
    await start();
  }
  return {
    kind: program.kind,
    url: url(),
    ...(program.banner === undefined ? {} : { banner: program.banner }),
    get pid() {
      return child?.pid;
    },
    start,
    stop,
  };
}

/** For the owner alone, also where a file of that name was readable before. @returns where the program finds it. */
function writeConfig(dir: string, password: string, folder = dir): string {
  const file = join(dir, 'broker.conf');
  writeFileSync(file, '', { mode: 0o600 });
  chmodSync(file, 0o600);
  writeFileSync(file, `requirepass ${password}\n`);
  return join(folder, 'broker.conf');
}

/**
 * A broker outlives a parent that was killed, so a shell holds the other end of a pipe of ours:
 * when we are gone, however we went, its `read` ends and it says the farewell. Returns how to let go of it.
 */
export function endWithUs(farewell: string[]): () => void {
  const watcher = spawn('sh', ['-c', 'read _; "$@"', 'sh', ...farewell], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  watcher.once('error', () => {}).unref();
  return () => watcher.kill('SIGKILL');
}

/** Waits for PONG; answers with the problem if it never comes. */
async function untilPong(
  url: string,
  timeoutMs: number,
  gone: () => string | undefined,
): Promise<string | undefined> {
  const deadline = Date.now() + timeoutMs;
  let problem = 'no answer';
  const log = {
    warn: ({ err }: { err: string }) => {
      problem = err || problem;
    },
  };
  const redis = connectRedis(url, log as unknown as Log);
  try {
    while (Date.now() < deadline) {
      const died = gone();
      if (died !== undefined) return died;
      if (redis.status === 'ready' && (await redis.ping().catch(() => '')) === 'PONG') return undefined;
      await sleep(50);
    }
    return problem;
  } finally {
    redis.disconnect();
  }
}

function lastLines(file: string): string {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.slice(-3).join(' | ') || 'it ended without a word';
}
