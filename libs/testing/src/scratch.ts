import type { ChildProcess } from 'node:child_process';
import { hash } from 'node:crypto';
import { appendFileSync, createWriteStream, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { inject } from 'vitest';

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

/** A file in the folder; or, where TEST_DATABASE_URL names a PostgreSQL, a schema that goes with the folder. */
const databaseUrl = (name: string, directory: string): string => {
  const { TEST_DATABASE_URL: server } = process.env;
  if (server === undefined) return `sqlite:///${join(directory, `${name}.db`)}`;
  return `${server}?schema=${name}_${hash('sha256', directory).slice(0, 12)}`;
};

/** What a service's config schema needs, for a service started inside a test. Port 0 takes a free one. */
export const serviceEnv = (name: string, directory: string, redisUrl: string): Record<string, string> => ({
  NODE_ENV: 'test',
  LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
  SECRET_KEY: rememberSecret(TEST_SECRET),
  REDIS_URL: redisUrl,
  REDIS_PREFIX: TEST_PREFIX,
  HOST: '127.0.0.1',
  PORT: '0',
  DATABASE_URL: databaseUrl(name, directory),
});
