import { spawn, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Queue, QueueEvents, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Broker, findBroker } from './broker.ts';

let dataDir: string;
let brokers: Broker[];
const lines: string[] = [];
const log = (line: string) => void lines.push(line);

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'broker-'));
  brokers = [];
  lines.length = 0;
});

afterEach(async () => {
  for (const broker of brokers) await broker.stop();
  await rm(dataDir, { recursive: true, force: true });
});

async function find(env: NodeJS.ProcessEnv, password?: string): Promise<Broker> {
  const broker = await findBroker({ dataDir, log, env, ...(password === undefined ? {} : { password }) });
  brokers.push(broker);
  return broker;
}

/** An environment whose PATH holds these programs and nothing else. */
async function only(...programs: string[]): Promise<NodeJS.ProcessEnv> {
  const bin = join(dataDir, 'bin');
  await mkdir(bin);
  for (const name of programs) await symlink(which(name) as string, join(bin, name));
  return { PATH: bin };
}

const which = (name: string) =>
  spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim() || undefined;

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function ask<T>(broker: Broker, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(broker.url, { maxRetriesPerRequest: 1 });
  redis.on('error', () => {});
  try {
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}

const hasRedis = which('redis-server') !== undefined;
const hasDocker =
  spawnSync('docker', ['image', 'inspect', 'redis:7-bookworm'], { stdio: 'ignore' }).status === 0;

describe.skipIf(!hasRedis)('an installed redis-server', () => {
  test('is started, durable and local, and gone after stop', async () => {
    const broker = await find(await only('redis-server'));
    expect(broker.kind).toBe('redis-server');
    const pid = broker.pid as number;
    const settings = await ask(broker, (redis) =>
      redis.config('GET', 'appendonly', 'appendfsync', 'maxmemory-policy', 'bind', 'protected-mode'),
    );
    expect(settings).toEqual(expect.arrayContaining(['everysec', 'noeviction', '127.0.0.1']));
    expect(isAlive(pid)).toBe(true);
    await broker.stop();
    expect(isAlive(pid)).toBe(false);
    expect(broker.pid).toBeUndefined();
  });

  test('with a password answers nobody without it, and shows it to nobody', async () => {
    const password = 'a0b1c2d3e4f5';
    const broker = await find(await only('redis-server'), password);
    expect(await ask(broker, (redis) => redis.ping())).toBe('PONG');
    const stranger = { ...broker, url: broker.url.replace(`:${password}@`, '') };
    await expect(ask(stranger, (redis) => redis.get('any'))).rejects.toThrow(/NOAUTH/);
    const config = join(dataDir, 'redis', 'broker.conf');
    expect((await stat(config)).mode & 0o777).toBe(0o600);
    const shown = spawnSync('ps', ['-o', 'args=', '-p', String(broker.pid)], { encoding: 'utf8' }).stdout;
    expect(shown).toContain('redis-server');
    expect(shown).not.toContain(password);
    await broker.stop();
    await broker.start();
    expect(await ask(broker, (redis) => redis.ping())).toBe('PONG');
  });

  test('keeps its data: across stop and start, and for the next one in the same folder', async () => {
    const env = await only('redis-server');
    const first = await find(env);
    await ask(first, (redis) => redis.set('kept', 'yes'));
    await first.stop();
    await first.start();
    expect(await ask(first, (redis) => redis.get('kept'))).toBe('yes');
    await first.stop();
    const second = await find(env);
    expect(await ask(second, (redis) => redis.get('kept'))).toBe('yes');
  });

  test('comes back on the same address after kill -9', async () => {
    const broker = await find(await only('redis-server'));
    const pid = broker.pid as number;
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(broker.pid ?? pid).not.toBe(pid), { timeout: 10_000 });
    await vi.waitFor(() => ask(broker, (redis) => redis.ping()), { timeout: 10_000 });
    expect(lines.join('\n')).toContain('ended unexpectedly');
  });

  test('does not outlive a process that was killed without stopping it', async () => {
    const module = pathToFileURL(join(import.meta.dirname, 'broker.ts')).href;
    const code = `const { findBroker } = await import(${JSON.stringify(module)});
      const broker = await findBroker({ dataDir: ${JSON.stringify(dataDir)}, log() {} });
      console.log(broker.pid); setInterval(() => {}, 1000);`;
    const env = await only('redis-server', 'sh');
    const owner = spawn(process.execPath, ['--input-type=module', '-e', code], { env });
    const pid = Number(await new Promise<Buffer>((done) => owner.stdout.once('data', done)));
    expect(isAlive(pid)).toBe(true);
    owner.kill('SIGKILL');
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 10_000 });
  });

  test('REDIS_URL wins over it and is left running by stop', async () => {
    const env = await only('redis-server');
    const running = await find(env);
    const given = await find({ ...env, REDIS_URL: running.url });
    expect(given).toMatchObject({ kind: 'redis_url', url: running.url });
    await given.stop();
    expect(await ask(running, (redis) => redis.ping())).toBe('PONG');
  });
});

test('a REDIS_URL that nobody answers is an error that does not repeat its password', async () => {
  const found = find({ REDIS_URL: 'redis://:open-sesame@127.0.0.1:1' });
  await expect(found).rejects.toThrow(/^REDIS_URL points at 127\.0\.0\.1:1, .*ECONNREFUSED/);
}, 20_000);

test.skipIf(!hasDocker)(
  'a container, when Docker answers and no server is installed',
  async () => {
    const broker = await find(await only('docker'));
    expect(broker.kind).toBe('docker');
    await ask(broker, (redis) => redis.set('kept', 'yes'));
    await broker.stop();
    await broker.start();
    expect(await ask(broker, (redis) => redis.get('kept'))).toBe('yes');
  },
  60_000,
);

describe('the one written in JavaScript', () => {
  test('is the last resort, says so, and carries a BullMQ job there and back', async () => {
    const broker = await find(await only());
    expect(broker.kind).toBe('js-redis-server');
    expect(broker.banner).toMatch(/in memory only/);
    const connection = { url: broker.url, maxRetriesPerRequest: null };
    const queue = new Queue('round-trip', { connection });
    const events = new QueueEvents('round-trip', { connection });
    const worker = new Worker('round-trip', async (job) => job.data.n * 2, { connection });
    try {
      await events.waitUntilReady();
      const [plain, late, urgent] = await Promise.all([
        queue.add('double', { n: 1 }),
        queue.add('double', { n: 2 }, { delay: 50, jobId: 'late' }),
        queue.add('double', { n: 3 }, { priority: 1 }),
      ]);
      const answers = [plain, late, urgent].map((job) => job.waitUntilFinished(events, 20_000));
      expect(await Promise.all(answers)).toEqual([2, 4, 6]);
    } finally {
      await Promise.all([worker.close(), events.close(), queue.close()]);
    }
  }, 40_000);

  test('asks for a password that it was given', async () => {
    const broker = await find(await only(), 'a0b1c2d3e4f5');
    expect(broker.kind).toBe('js-redis-server');
    expect(await ask(broker, (redis) => redis.set('any', 'thing'))).toBe('OK');
    const stranger = { ...broker, url: broker.url.replace(':a0b1c2d3e4f5@', '') };
    await expect(ask(stranger, (redis) => redis.get('any'))).rejects.toThrow(/NOAUTH/);
  });

  test('is refused in production, with a word on what to install', async () => {
    const found = find({ ...(await only()), NODE_ENV: 'production' });
    await expect(found).rejects.toThrow(/apt-get install redis-server[\s\S]*refused in production/);
  });
});
