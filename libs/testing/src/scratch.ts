import type { ChildProcess } from 'node:child_process';
import { hash } from 'node:crypto';
import { appendFileSync, createWriteStream, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { inject } from 'vitest';
import { testEngine } from './engine.ts';

/** Known to all tests; never to a deployment. */
export const TEST_SECRET = 'a-secret-for-tests-only-0123456789abcdef';

/** Where the keys of a service under test begin in Redis. */
export const TEST_PREFIX = 'test';

/** An empty folder. It is kept until the end of the run, when all that was left anywhere is searched for secrets. */
export const scratchDirectory = (): string => mkdtempSync(join(tmpdir(), 'aitbc-'));

/** Names a secret that its form does not give away, to be looked for at the end of the run. */
export const rememberSecret = <T extends string>(secret: T): T => {
  appendFileSync(join(tmpdir(), 'known-secrets'), `${secret}\n`);
  return secret;
};

/** Keeps what a process says, to be searched at the end of the run. */
export const keepOutput = (child: ChildProcess): void => {
  child.stdout?.pipe(createWriteStream(join(tmpdir(), `process-${child.pid}.log`), { flags: 'a' }));
};

/** An empty Redis database that no other test worker uses (16 to share, two workers). */
export const scratchRedis = async (): Promise<string> => {
  const url = new URL(inject('redisUrl'));
  url.pathname = `/${Number(process.env.VITEST_POOL_ID ?? 1) % 16}`;
  const redis = new Redis(url.href);
  await redis.flushdb();
  redis.disconnect();
  return url.href;
};

/** Names all that belongs to a folder on a server that serves many. */
const nameOf = (directory: string): string => `t${hash('sha256', directory).slice(0, 12)}`;

/** For `POSTGRES_URL`: services with one folder find each other's neighbours there, and nobody else. */
export const scratchPostgres = (directory = scratchDirectory()): string =>
  `${inject('postgresUrl')}?schema=${nameOf(directory)}`;

/**
 * An empty database for a service, on the engine that is under test: a file in the folder, or a schema that goes with
 * the folder. The same folder gives the same database.
 */
export const scratchDatabase = (service: string, directory = scratchDirectory()): string =>
  testEngine === 'sqlite'
    ? `sqlite:///${join(directory, `${service}.db`)}`
    : `${scratchPostgres(directory)}_${service}`;

/** What a service's config schema needs, for a service started inside a test. Port 0 takes a free one. */
export const serviceEnv = (name: string, directory: string, redisUrl: string): Record<string, string> => ({
  NODE_ENV: 'test',
  LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
  SECRET_KEY: rememberSecret(TEST_SECRET),
  REDIS_URL: redisUrl,
  REDIS_PREFIX: TEST_PREFIX,
  HOST: '127.0.0.1',
  PORT: '0',
  DATABASE_URL: scratchDatabase(name, directory),
});
