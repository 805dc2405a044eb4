import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { TestProject } from 'vitest/node';
import { findBroker } from './broker.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    redisUrl: string;
  }
}

/**
 * One folder for all that the run leaves, and in it one broker for the whole run; every worker takes a database number
 * of its own in that. The folder is where temporary files go, so tests need not know of it, and has no reason to be
 * tidied before its end: until then it is evidence.
 */
export default async (project: TestProject) => {
  const folder = mkdtempSync(join(tmpdir(), 'aitbc-run-'));
  process.env.TMPDIR = folder;
  const broker = await findBroker({ dataDir: folder, log: () => {} });
  // The append-only file then tells of every write since the start, however often the databases are emptied.
  if (broker.kind !== 'redis_url' && broker.kind !== 'js-redis-server') {
    const redis = new Redis(broker.url);
    await redis.config('SET', 'auto-aof-rewrite-percentage', '0');
    redis.disconnect();
  }
  project.provide('redisUrl', broker.url);
  return async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  };
};
